"""How one piece of evidence is made: look for its packets, keep them, have them decoded, treat what was decoded.

A generator that never waits: it is resumed until it returns. Whatever becomes of the decoding, packets that were found
are kept and an event says that there is evidence.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import shutil
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from schoolwacht.event import KEYWORD_MAX, Event, clip
from schoolwacht_agent.evidence.catalogue import Catalogue
from schoolwacht_agent.evidence.dissect import Decoded, Described, Job
from schoolwacht_agent.evidence.packets import Packet, Want, capture_file
from schoolwacht_agent.evidence.policy import Treat
from schoolwacht_agent.evidence.recent import Packets
from schoolwacht_agent.evidence.run import Failed, Run
from schoolwacht_agent.evidence.settings import EvidenceTable
from schoolwacht_agent.evidence.signing import Signer, statement
from schoolwacht_agent.evidence.store import Manifest, Store
from schoolwacht_agent.evidence.tree import make_tree, unknown
from schoolwacht_agent.health import Condition, Finding, said

log = logging.getLogger(__name__)

T = TypeVar("T", Decoded, Described)
#: Seconds of looking for packets before other work has its turn.
_TURN_SECONDS = 0.01


class Counts(msgspec.Struct):
    """What became of signals; totals."""

    #: Pieces kept, pieces decoded, and pieces whose decoding failed.
    taken: int = 0
    decoded: int = 0
    quarantined: int = 0
    #: Signals of which no packet was found, that had evidence already, and that were more than the bound.
    without_packets: int = 0
    repeated: int = 0
    over_limit: int = 0
    #: Pieces that the disk refused.
    unkept: int = 0


class Piece(NamedTuple):
    """What evidence is to be made of: the beginning of its event, and the packets that are wanted."""

    event: Event
    want: Want


class Maker:
    """Makes pieces of evidence.

    Args:
        settings: ``[evidence]``.
        agent: its name.
        directory: of evidence, below the state directory.
        store: where it is kept.
        packets: where to look for packets.
        signer: the agent's key.
        treat: the step that minimises events.
    """

    def __init__(
        self,
        settings: EvidenceTable,
        agent: str,
        directory: Path,
        store: Store,
        packets: Packets,
        signer: Signer,
        treat: Treat,
    ) -> None:
        self.counts = Counts()
        self._settings = settings
        self._agent = agent
        self._work = directory / "work"
        self._store = store
        self._packets = packets
        self._signer = signer
        self._treat = treat
        self._tshark = shutil.which(settings.tshark)
        self._catalogue = Catalogue(directory / "fields.json", Path(self._tshark or settings.tshark))
        shutil.rmtree(self._work, ignore_errors=True)

    def make(self, piece: Piece) -> Generator[None, None, list[Event]]:
        """Make one piece; returns its events, of which only the tree is minimised."""
        found = yield from self._look(piece)
        packets = bounded(found, self._settings.packets, self._settings.packets_kib << 10)
        if not packets:
            self.counts.without_packets += 1
            return []
        self.counts.taken += 1
        pcap = capture_file(packets, packets[0].link)
        manifest = self._manifest(piece.event, pcap, len(packets))
        if self._tshark is None:
            fault = f"{self._settings.tshark} is not installed at the school"
            return [self._keep(piece.event, msgspec.structs.replace(manifest, fault=fault), pcap, b"")]
        try:
            decoded = yield from self._run(Decoded, capture=pcap, packets=len(packets))
        except Failed as failed:
            manifest = msgspec.structs.replace(manifest, fault=clip(str(failed), KEYWORD_MAX))
            told = self._quarantine(manifest, pcap, failed)
            return [self._keep(piece.event, manifest, pcap, b""), told]
        self.counts.decoded += 1
        fault = (yield from self._learn(decoded)) or decoded.fault
        tree = make_tree(
            decoded.packets, self._catalogue.fields, piece.event, self._treat, self._settings.tree_kib << 10
        )
        return [self._keep(piece.event, msgspec.structs.replace(manifest, fault=fault), pcap, tree)]

    def _look(self, piece: Piece) -> Generator[None, None, list[Packet]]:
        settings = self._settings
        moment = piece.event.timestamp.timestamp()
        since, until = moment - settings.before_seconds, moment + settings.after_seconds + 1
        found: list[Packet] = []
        turn = time.monotonic() + _TURN_SECONDS
        for some in self._packets.search(piece.want, since, until):
            found += some
            if len(found) >= settings.packets:
                break
            if time.monotonic() > turn:
                yield
                turn = time.monotonic() + _TURN_SECONDS
        return found

    def _run(
        self, kind: type[T], *, capture: bytes = b"", packets: int = 0, names: frozenset[str] = frozenset()
    ) -> Generator[None, None, T]:
        settings = self._settings
        job = Job(
            self._tshark or "", settings.dissect_mib << 20, settings.dissect_seconds, packets=packets, names=names
        )
        try:
            run = Run(self._work, job, kind, seconds=settings.dissect_seconds, capture=capture)
        except OSError as error:
            raise Failed(f"decoding could not be started: {error.strerror}") from error
        try:
            while not run.done():
                yield
            return run.answer()
        finally:
            run.end()

    def _learn(self, decoded: Decoded) -> Generator[None, None, str]:
        """Have tshark tell of the fields that are new. Returns what went wrong; then they are left out of the tree."""
        names = unknown(decoded.packets, self._catalogue.fields)
        if not names:
            return ""
        try:
            described = yield from self._run(Described, names=names)
        except Failed as failed:
            log.warning("tshark did not tell of its fields: %s (%r)", failed, failed.words)
            return clip(f"tshark did not tell of its fields: {failed}", KEYWORD_MAX)
        self._catalogue.add(names, described.fields)
        return ""

    def _quarantine(self, manifest: Manifest, pcap: bytes, failed: Failed) -> Event:
        self.counts.quarantined += 1
        self._store.set_apart(manifest.id, pcap, f"{failed}\n{failed.words}\n")
        text = f"evidence {manifest.id} could not be decoded and is quarantined: {failed}"
        log.warning("%s%s", text, f" ({failed.words!r})" if failed.words else "")
        return said(Finding(Condition.QUARANTINED, self.counts.quarantined, text), datetime.now(UTC))

    def _keep(self, event: Event, manifest: Manifest, pcap: bytes, tree: bytes) -> Event:
        fault = manifest.fault
        try:
            self._store.put(manifest, pcap, tree)
        except OSError as error:
            self.counts.unkept += 1
            log.warning("evidence cannot be kept: %s", error)
            fault = fault or "the packets could not be kept at the school"
        event.evidence_id = manifest.id
        event.evidence_taken = manifest.taken
        event.evidence_packets = manifest.packets
        event.evidence_bytes = manifest.bytes
        event.evidence_sha256 = manifest.sha256
        event.evidence_signature = manifest.signature
        event.evidence_public_key = manifest.public_key
        event.evidence_fault = fault or None
        event.evidence_tree = tree.decode() or None
        if self._settings.pcap_leaves:
            event.evidence_pcap = base64.b64encode(pcap).decode()
        return event

    def _manifest(self, event: Event, pcap: bytes, packets: int) -> Manifest:
        taken = datetime.now(UTC)
        name = f"{taken:%Y%m%dT%H%M%S}-{secrets.token_hex(6)}"
        digest = hashlib.sha256(pcap).hexdigest()
        return Manifest(
            id=name,
            agent=self._agent,
            taken=taken,
            sha256=digest,
            signature=self._signer.sign(statement(self._agent, name, taken, digest)),
            public_key=self._signer.public,
            packets=packets,
            bytes=len(pcap),
            rule_id=event.rule_id,
            rule_name=event.rule_name,
            ruleset=event.rule_ruleset,
            severity=event.signal_severity,
            signal_time=event.timestamp,
            source=_end(event.source_ip, event.source_port),
            destination=_end(event.destination_ip, event.destination_port),
            transport=event.network_transport,
            community_id=event.network_community_id,
        )


def bounded(found: list[Packet], packets: int, max_bytes: int) -> list[Packet]:
    """The first of what was found that fit, of one link type, in the order of their times."""
    kept: list[Packet] = []
    room = max_bytes - 24
    for packet in found:
        if packet.link != found[0].link:
            continue
        room -= 16 + len(packet.data)
        if room < 0 or len(kept) == packets:
            break
        kept.append(packet)
    return sorted(kept, key=lambda packet: packet.seconds)


def _end(address: str | None, port: int | None) -> str | None:
    if address is None or port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

"""The kept evidence: ``ID.pcap``, its manifest ``ID.json`` and the decoded tree ``ID.tree.json`` in one directory.

Promise: bounded by bytes and by days, the oldest erased first; a piece of evidence is there whole (its manifest is
written last and synced) or not at all. What made the decoding process fail lies in ``quarantine``, the newest few.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from schoolwacht_agent.evidence.signing import statement, verify

log = logging.getLogger(__name__)

QUARANTINED = 16
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{12}")
_TREE, _PCAP, _MANIFEST = ".tree.json", ".pcap", ".json"


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a piece of evidence. It stays at the school: ends and names are in the clear."""

    id: str
    agent: str
    taken: datetime
    sha256: str
    signature: str
    public_key: str
    packets: int
    bytes: int
    rule_id: str | None = None
    rule_name: str | None = None
    ruleset: str | None = None
    severity: str | None = None
    signal_time: datetime | None = None
    source: str | None = None
    destination: str | None = None
    transport: str | None = None
    community_id: str | None = None
    #: Why there is no tree, or why it is not whole.
    fault: str = ""


class Report(msgspec.Struct, frozen=True):
    """Pieces kept, captures quarantined, and bytes of both."""

    kept: int
    quarantined: int
    bytes: int


class Store:
    """Evidence on disk.

    Args:
        directory: of its own.
        max_bytes: of all files in it.
        max_age: after which evidence is erased.
    """

    def __init__(self, directory: Path, max_bytes: int, max_age: timedelta) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age = max_age
        #: Pieces erased to make room, and erased by age.
        self.evicted = self.expired = 0

    @property
    def quarantine(self) -> Path:
        """Where captures lie that made the decoding process fail."""
        return self._directory / "quarantine"

    def put(self, manifest: Manifest, pcap: bytes, tree: bytes) -> None:
        """Keep a piece. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.forget(len(pcap) + len(tree) + 4096)
        place = self._directory / manifest.id
        _write(place.with_name(manifest.id + _PCAP), pcap)
        if tree:
            _write(place.with_name(manifest.id + _TREE), tree)
        _write(place.with_name(manifest.id + _MANIFEST), msgspec.json.format(msgspec.json.encode(manifest)))

    def ids(self) -> list[str]:
        """The pieces that are there, oldest first."""
        with suppress(OSError):
            names = (path.name.removesuffix(_MANIFEST) for path in self._directory.glob(f"*{_MANIFEST}"))
            return sorted(name for name in names if _ID.fullmatch(name))
        return []

    def manifest(self, id: str) -> Manifest | None:  # noqa: A002 - the field's name everywhere
        """What is known of a piece; None if there is none of that id, or it cannot be read."""
        if not _ID.fullmatch(id):
            return None
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self._directory / f"{id}{_MANIFEST}").read_bytes(), type=Manifest)
        return None

    def pcap(self, id: str) -> bytes:  # noqa: A002 - the field's name everywhere
        """The packets of a piece that :meth:`manifest` knows. Raises OSError."""
        return (self._directory / f"{id}{_PCAP}").read_bytes()

    def tree(self, id: str) -> bytes:  # noqa: A002 - the field's name everywhere
        """The decoded packets as they were sent; empty if they could not be decoded."""
        with suppress(OSError):
            return (self._directory / f"{id}{_TREE}").read_bytes()
        return b""

    def forget(self, room: int = 0) -> None:
        """Erase what is too old, and the oldest until ``room`` more bytes fit."""
        ids = self.ids()
        oldest = (datetime.now(UTC) - self._max_age).strftime("%Y%m%dT%H%M%S")
        while ids and ids[0][: len(oldest)] < oldest:
            self._erase(ids.pop(0))
            self.expired += 1
        while ids and self.size() + room > self._max_bytes:
            self._erase(ids.pop(0))
            self.evicted += 1

    def size(self) -> int:
        """Bytes on disk, quarantine included."""
        return sum(path.stat().st_size for path in self._files())

    def report(self) -> Report:
        """What is there."""
        quarantined = len(list(self.quarantine.glob(f"*{_PCAP}")))
        return Report(len(self.ids()), quarantined, self.size())

    def set_apart(self, id: str, pcap: bytes, reason: str) -> None:  # noqa: A002 - the field's name everywhere
        """Quarantine packets that made the decoding process fail. Never raises."""
        try:
            self.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in sorted(self.quarantine.glob(f"*{_PCAP}"))[: 1 - QUARANTINED or None]:
                old.unlink(missing_ok=True)
                old.with_suffix(".reason").unlink(missing_ok=True)
            _write(self.quarantine / f"{id}{_PCAP}", pcap)
            _write(self.quarantine / f"{id}.reason", reason.encode())
        except OSError as error:
            log.warning("%s: cannot be written: %s", self.quarantine, error.strerror)

    def _files(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from (path for path in self._directory.rglob("*") if path.is_file())

    def _erase(self, id: str) -> None:  # noqa: A002 - the field's name everywhere
        # The manifest first: a piece that is half gone must not look whole.
        for suffix in (_MANIFEST, _TREE, _PCAP):
            (self._directory / f"{id}{suffix}").unlink(missing_ok=True)


def genuine(manifest: Manifest, pcap: bytes) -> str:
    """What is wrong with a piece of evidence, in plain words; empty if hash and signature hold."""
    if hashlib.sha256(pcap).hexdigest() != manifest.sha256:
        return "the capture file is not the one that was signed: its SHA-256 differs"
    signed = statement(manifest.agent, manifest.id, manifest.taken, manifest.sha256)
    if not verify(manifest.public_key, manifest.signature, signed):
        return "the signature is not right"
    return ""


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)

"""Whether an agent can work on this machine: ``schoolwacht-agent doctor``. Each check says what to do if it fails.

Nothing is changed, save a small file that is written to the state directory and removed again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from schoolwacht.errors import ConfigError, SchoolwachtError
from schoolwacht.wire import encode_batch
from schoolwacht_agent import config
from schoolwacht_agent.answer import Meaning
from schoolwacht_agent.app import CAPTURE, spool_of
from schoolwacht_agent.config import EngineName, Settings
from schoolwacht_agent.detections import left_out, listed
from schoolwacht_agent.evidence.examine import try_decoding
from schoolwacht_agent.evidence.run import Failed
from schoolwacht_agent.evidence.sandbox import Layer
from schoolwacht_agent.health import last_beat
from schoolwacht_agent.minimise.keys import checked
from schoolwacht_agent.minimise.open import key_file
from schoolwacht_agent.sources import SOURCES, choose
from schoolwacht_agent.sources.bpf import compile_filter
from schoolwacht_agent.spool import look
from schoolwacht_agent.standpoint.follow import Mapping
from schoolwacht_agent.standpoint.settings import StandpointKind
from schoolwacht_agent.status import is_alive
from schoolwacht_agent.uplink import open_session, post_frame, tls_context

#: Numbers of the capabilities of Linux (capabilities(7)).
_CAPABILITIES = {"CAP_NET_RAW": 13}
#: Clocks may differ by so many seconds before it is worth a word.
CLOCK_SECONDS = 30.0


class Level(StrEnum):
    """How a check ended."""

    FINE = "fine"
    WARNING = "warning"
    FAULT = "fault"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. ``remedy`` says what to do; empty if all is fine."""

    check: str
    level: Level
    text: str
    remedy: str = ""


def examine(path: Path) -> Iterator[Finding]:
    """Every check of the agent that ``path`` (agent.toml) describes, as they are done."""
    try:
        settings = config.load(path)
    except ConfigError as error:
        yield Finding(
            "configuration", Level.FAULT, str(error), "correct the file; docs/configuration.md has every setting"
        )
        return
    yield Finding("configuration", Level.FINE, f"{path} is right")
    key = _key(settings)
    yield key if isinstance(key, Finding) else Finding("key", Level.FINE, "the agent's key is there")
    checks: tuple[Callable[[Settings], Finding | None], ...] = (
        check_state, check_room, check_engine, check_detections, check_filter, check_interface, check_rights,
        check_standpoint, check_privacy, check_sight, check_spool, check_evidence,
    )  # fmt: skip
    for check in checks:
        found = check(settings)
        if found is not None:
            yield found
    yield from _collectors(settings, "" if isinstance(key, Finding) else key)


def _key(settings: Settings) -> str | Finding:
    try:
        return config.key(settings)
    except ConfigError as error:
        return Finding("key", Level.FAULT, str(error), "put the key that enrolment printed into uplink.key_file")


def check_privacy(settings: Settings) -> Finding:
    """What leaves is minimised, and can be unmasked by whom it should be."""
    table = settings.minimise
    if not table.enabled:
        return Finding(
            "privacy",
            Level.WARNING,
            "nothing is minimised: addresses, names and URLs leave the school as they are",
            "set minimise.enabled = true (docs/privacy.md)",
        )
    path = key_file(table, Path(settings.agent.state))
    remedy = "run `schoolwacht-agent key create` before the first start; what was sent before stays a pseudonym"
    if not table.key_file and not path.exists():
        return Finding(
            "privacy", Level.WARNING, f"no {path} yet: with a key of its own nothing can be unmasked", remedy
        )
    try:
        key = checked(path, table.period)
    except ConfigError as error:
        return Finding("privacy", Level.FAULT, str(error), "put the board's key there, mode 600")
    if not key.register:
        return Finding("privacy", Level.WARNING, f"{path} is the agent's own: nothing can be unmasked", remedy)
    return Finding(
        "privacy", Level.FINE, f"what leaves is minimised, to {table.detail.value} where no zone says another"
    )


def check_state(settings: Settings) -> Finding:
    """The state directory can be written and synced."""
    state = Path(settings.agent.state)
    probe = state / f".doctor-{os.getpid()}"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"probe")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        return Finding("state", Level.FAULT, f"{state}: {error.strerror}", "let the agent's account write there")
    return Finding("state", Level.FINE, f"{state} can be written")


def check_room(settings: Settings) -> Finding:
    """The disk can hold a full spool."""
    state = Path(settings.agent.state)
    while not state.exists():
        state = state.parent
    report = look(spool_of(settings)) if spool_of(settings).exists() else None
    free = shutil.disk_usage(state).free + (report.bytes if report is not None else 0)
    wanted = settings.spool.max_bytes
    if free < wanted:
        text = f"{free >> 20:,} MiB are free, the spool may grow to {wanted >> 20:,} MiB"
        return Finding("room", Level.WARNING, text, "make room or lower spool.max_bytes")
    return Finding("room", Level.FINE, f"{free >> 20:,} MiB are free for a spool of {wanted >> 20:,} MiB")


def check_engine(settings: Settings) -> Finding:
    """The engine can run here."""
    try:
        name, _ = choose(settings.source)
    except SchoolwachtError as error:
        return Finding("engine", Level.FAULT, error.message, "install it, or set source.engine")
    if settings.source.engine is EngineName.AUTO and name is not next(iter(SOURCES)):
        preferred = next(iter(SOURCES))
        reason = SOURCES[preferred]().missing(settings.source)
        text = f"{name.value}; {preferred.value} would be preferred: {reason}"
        return Finding(
            "engine", Level.WARNING, text, f"install {preferred.value}, or set source.engine to say that this is meant"
        )
    return Finding("engine", Level.FINE, f"{name.value} can run")


def check_detections(settings: Settings) -> Finding | None:
    """What the engine that runs here cannot detect."""
    try:
        _, engine = choose(settings.source)
        missing = left_out(engine.sees(settings.source))
    except SchoolwachtError:
        return None  # check_engine says why
    if not missing:
        return Finding("detections", Level.FINE, "the engine gives what every detection needs")
    remedy = "install Suricata and set source.engine to auto; docs/detections.md says what each one is"
    return Finding("detections", Level.WARNING, f"this engine leaves out {listed(missing)}", remedy)


def check_filter(settings: Settings) -> Finding | None:
    """The capture filter can be compiled."""
    if not settings.source.filter:
        return None
    try:
        compile_filter(settings.source.filter)
    except SchoolwachtError as error:
        return Finding("filter", Level.FAULT, str(error), "correct source.filter: pcap-filter(7) has the language")
    return Finding("filter", Level.FINE, f"only {settings.source.filter!r} is looked at")


def check_standpoint(settings: Settings) -> Finding | None:
    """The mapping of a path of many schools can be used."""
    if settings.standpoint.kind is StandpointKind.GATEWAY:
        if settings.zones:
            return Finding("standpoint", Level.FINE, f"a gateway with {len(settings.zones)} zones")
        return None
    try:
        mapping = Mapping(Path(settings.standpoint.mapping), zones=frozenset(zone.name for zone in settings.zones))
    except ConfigError as error:
        return Finding("standpoint", Level.FAULT, str(error), "correct the file of standpoint.mapping")
    return Finding("standpoint", Level.FINE, f"{mapping.table.size:,} lines for {mapping.schools:,} schools")


def check_sight(settings: Settings) -> Finding | None:
    """What the agent that runs here says of its own blindness."""
    found = last_beat(Path(settings.agent.state), CAPTURE)
    if found is None:
        return None
    if not is_alive(*found):
        text = "the agent has run here and does not capture now"
        return Finding("sight", Level.WARNING, text, "start it; if it was started, its log says why the capture ended")
    troubles = found[0].troubles
    if not troubles:
        return Finding("sight", Level.FINE, "the agent that runs here sees what it should")
    text = "; ".join(trouble.text for trouble in troubles)
    return Finding("sight", Level.WARNING, text, "; ".join(dict.fromkeys(one.remedy for one in troubles if one.remedy)))


def check_interface(settings: Settings) -> Finding | None:
    """The interface is there and up."""
    name = settings.source.interface
    if not name:
        if settings.source.suricata.eve:
            return None
        return Finding("interface", Level.FAULT, "source.interface is not set", "name the interface of the mirror port")
    state = Path("/sys/class/net") / name / "operstate"
    try:
        value = state.read_text(encoding="ascii").strip()
    except OSError:
        there = ", ".join(sorted(path.name for path in Path("/sys/class/net").glob("*")))
        return Finding("interface", Level.FAULT, f"there is no interface {name}", f"choose one of: {there}")
    if value not in {"up", "unknown"}:
        return Finding("interface", Level.FAULT, f"{name} is {value}", f"plug the cable in, or: ip link set {name} up")
    return Finding("interface", Level.FINE, f"{name} is up")


def check_rights(settings: Settings) -> Finding | None:
    """This account may capture."""
    if not settings.source.interface:
        return None
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
            if missing:
                text = f"this account lacks {', '.join(missing)}"
                return Finding(
                    "rights", Level.FAULT, text, "run this as the service does: AmbientCapabilities=CAP_NET_RAW"
                )
    return Finding("rights", Level.FINE, "this account may capture")


def check_spool(settings: Settings) -> Finding:
    """The spool can be read, and has lost nothing."""
    try:
        report = look(spool_of(settings)) if spool_of(settings).exists() else None
    except OSError as error:
        return Finding(
            "spool", Level.FAULT, f"{spool_of(settings)}: {error.strerror}", "run this as the agent's account"
        )
    if report is None:
        return Finding("spool", Level.FINE, "there is none yet; it is made at the first start")
    text = f"{report.waiting:,} events wait, {report.delivered:,} were delivered"
    if report.lost:
        lost = ", ".join(f"{count:,} {name}" for name, count in report.lost.items())
        return Finding(
            "spool", Level.WARNING, f"{text}; lost: {lost}", "raise spool.max_bytes, or look why nothing was delivered"
        )
    if report.rejected:
        where = spool_of(settings) / "rejected"
        return Finding(
            "spool", Level.WARNING, f"{text}; {report.rejected:,} were set aside", f"the reasons stand in {where}"
        )
    return Finding("spool", Level.FINE, text)


def check_evidence(settings: Settings) -> Finding | None:
    """Packets can be decoded here, apart from everything else."""
    if not settings.evidence.enabled:
        return None
    try:
        decoded, seconds = try_decoding(settings.evidence)
    except (Failed, OSError) as error:
        words = f" ({error.words})" if isinstance(error, Failed) and error.words else ""
        said = f"packets cannot be decoded: {error}{words}"
        remedy = "install the package tshark, or set evidence.tshark; until then evidence is kept undecoded"
        return Finding("evidence", Level.WARNING, said, remedy)
    text = f"a packet is decoded in {seconds:.1f} s, held by: {', '.join(decoded.sandbox)}"
    wanted = (Layer.NAMESPACES, Layer.LANDLOCK, Layer.SYSCALLS)
    lacking = [layer.value for layer in wanted if layer not in decoded.sandbox]
    if lacking:
        remedy = "allow user namespaces, use Linux 5.13 or later, or run it as a service of its own"
        return Finding("evidence", Level.WARNING, f"{text}; not by: {', '.join(lacking)}", remedy)
    return Finding("evidence", Level.FINE, text)


def _collectors(settings: Settings, key: str) -> Iterator[Finding]:
    if not settings.uplink.collectors:
        yield Finding("collector", Level.FAULT, "uplink.collectors is empty", "name the collector's address")
        return
    try:
        context = tls_context(settings.uplink)
    except ConfigError as error:
        yield Finding(
            "collector", Level.FAULT, str(error), "name the PEM file of the authority, or leave uplink.ca_file out"
        )
        return
    for url in settings.uplink.collectors:
        yield from asyncio.run(_collector(settings, url, key, context))


async def _collector(settings: Settings, url: str, key: str, context: ssl.SSLContext) -> list[Finding]:
    """Send a batch without events: shows name, network, TLS, the key and the store at once."""
    async with open_session(settings.uplink, key, context) as session:
        answer, date = await post_frame(session, url.rstrip("/"), encode_batch("0" * 16, [], []), items=0)
    if answer.meaning is Meaning.FOREIGN and date is None:
        remedy = "look at name, route, firewall and certificate (uplink.ca_file)"
        return [Finding("collector", Level.FAULT, f"{url} {answer.said}", remedy)]
    if answer.meaning is Meaning.VERDICTS:
        found = Finding("collector", Level.FINE, f"{url} takes batches of this agent")
    elif answer.meaning is Meaning.REFUSED:
        found = Finding("collector", Level.FAULT, f"{url} {answer.said}", "enrol the agent again, or enable it there")
    elif answer.meaning in {Meaning.BUSY, Meaning.SLOWER}:
        found = Finding(
            "collector", Level.WARNING, f"{url} {answer.said}", "try again; if it stays, tell the collector's people"
        )
    else:
        found = Finding(
            "collector", Level.FAULT, f"{url} {answer.said}", "look whether this is the collector's intake address"
        )
    return [found, *_clock(date)]


def _clock(date: str | None) -> list[Finding]:
    """The clock, by the collector's Date."""
    try:
        there = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return []
    difference = time.time() - there
    if abs(difference) > CLOCK_SECONDS:
        text = f"the clock differs from the collector's by {difference:+,.0f} s"
        return [Finding("clock", Level.WARNING, text, "switch time synchronisation on (timedatectl set-ntp true)")]
    return [Finding("clock", Level.FINE, "the clock agrees with the collector's")]

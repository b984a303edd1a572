"""The agent's wiring, by hand: what runs in which process, and with what.

``run`` is the parent of two processes: capture (source → steps → spool) and forwarder (spool → uplink). They meet only
in the spool, so that either can die, hang or wait without costing the other anything. Under a service manager they can
also run as two services (``run --only``), each with no more rights than it needs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from msgspec import structs

from schoolwacht.errors import SchoolwachtError, SpoolError
from schoolwacht.event import Event
from schoolwacht_agent import unable
from schoolwacht_agent.attend import Attendant
from schoolwacht_agent.capture import Capture
from schoolwacht_agent.config import EngineName, Settings, SourceTable, key
from schoolwacht_agent.cycles import look_seldom
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.evidence.open import keep_recent, open_evidence, written_by_suricata
from schoolwacht_agent.evidence.recent import Packets
from schoolwacht_agent.health import Beats, Condition, Finding, last_beat, said
from schoolwacht_agent.indicators.fetch import Fetcher
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.minimise.journal import Journal, Position, recover, split
from schoolwacht_agent.minimise.open import open_minimise
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.shed import Shed
from schoolwacht_agent.sight import Sight
from schoolwacht_agent.sources import choose
from schoolwacht_agent.spool import Reader, SetAside, Writer
from schoolwacht_agent.standpoint.open import open_standpoint
from schoolwacht_agent.steps import Steps
from schoolwacht_agent.supervise import Supervisor
from schoolwacht_agent.unkept import Unkept
from schoolwacht_agent.uplink import Uplink

log = logging.getLogger(__name__)

CAPTURE, FORWARDER = "capture", "forwarder"


def spool_of(settings: Settings) -> Path:
    """The spool's directory."""
    return Path(settings.agent.state) / "spool"


def open_writer(settings: Settings) -> Writer:
    """The spool, for writing. Raises SpoolError."""
    table = settings.spool
    return Writer(spool_of(settings), max_bytes=table.max_bytes, max_age_seconds=table.max_age_hours * 3600.0)


def open_uplink(settings: Settings, reader: Reader, *, noted: Callable[[str], None] = lambda _: None) -> Uplink:
    """The uplink over an open spool. Raises ConfigError if collectors or key are missing."""
    aside = SetAside(spool_of(settings) / "rejected", settings.spool.rejected_max_bytes)
    return Uplink(reader, aside, settings.uplink, key(settings), noted=noted)


def run(settings: Settings, path: Path) -> None:
    """Supervise both parts until SIGTERM or SIGINT. Raises ConfigError if the forwarder could never deliver."""
    key(settings)
    state = Path(settings.agent.state)
    command = [sys.executable, "-m", "schoolwacht_agent", "run", "--config", str(path)]
    command += ["--supervised", str(os.getpid()), "--only"]

    def died(part: str, restarts: int, happened: str) -> None:
        if part == CAPTURE:
            _tell(settings, restarts, happened)

    Supervisor({name: [*command, name] for name in (CAPTURE, FORWARDER)}, state, died=died, reloading=[CAPTURE]).run()


def _tell(settings: Settings, restarts: int, happened: str) -> None:
    """Let the collector know that the capture is down; while it is, the spool has no other writer."""
    _spooled(settings, Finding(Condition.RESTARTED, restarts, happened))


def _spooled(settings: Settings, finding: Finding) -> bool:
    """Keep a health event while no capture has the spool; whether that worked."""
    try:
        with open_writer(settings) as writer:
            writer.append([said(finding, datetime.now(UTC))], writer.mark)
    except SpoolError as error:
        log.warning("%s", error)
        return False
    return True


def capture(settings: Settings, *, parent: int | None = None) -> None:
    """The capturing process: until SIGTERM, SIGINT, the end of the source or of ``parent``.

    Raises SourceError, SpoolError.
    """
    state = Path(settings.agent.state)
    name, engine = choose(settings.source)
    before = last_beat(state, CAPTURE)
    with open_writer(settings) as writer:
        attached = bool(name is not EngineName.PACKETS and settings.source.suricata.eve)
        position, mark = split(writer.mark)
        source = engine.live(_with_evidence(settings), state / name.value, mark)
        homes = Homes(settings.agent.home)
        standpoint = open_standpoint(homes, settings.standpoint, settings.zones, state=state)
        minimise = open_minimise(settings.minimise, settings.zones, homes, standpoint, state)
        journal, missing = _go_on(minimise, state, position)
        unkept = Unkept(state, ONCE[name])
        recent = keep_recent(settings.evidence, state, source)
        place: Packets | None = recent
        if name is not EngineName.PACKETS and not attached:
            place = written_by_suricata(settings.evidence, state / EngineName.SURICATA.value)
        evidence = open_evidence(settings.evidence, settings.agent.name, state, place, minimise)
        interface = "" if name is EngineName.SURICATA and attached else settings.source.interface
        sight, shed = Sight(source.counters, interface=interface, state=state), Shed(source.counters)
        steps = Steps(standpoint, settings.behave, state / "baselines", minimise, evidence, matcher=Matcher(state))
        attendant = Attendant(
            source,
            standpoint,
            sight,
            shed,
            Beats(state, CAPTURE),
            spool=spool_of(settings),
            period=float(settings.agent.health_seconds),
            parent=parent,
            figures=steps.figures,
        )
        if before is not None and not attached:
            # Somebody else's Suricata went on meanwhile, and what it wrote is read now.
            attendant.tell(Finding(Condition.BLIND, before[1], f"nothing was captured for {before[1]:.0f} s"))
        if missing or unkept.before:
            attendant.tell(_cut(missing, unkept.before))
        capturing = Capture(
            source,
            steps,
            writer,
            held=attendant.hold,
            attended=attendant.attend,
            seen=sight.see,
            shed=shed,
            journal=journal,
            unkept=unkept,
        )
        attendant.stop = capturing.stop
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: capturing.stop())
        signal.signal(signal.SIGHUP, lambda *_: standpoint.reload())
        log.info("capturing with %s", name.value)
        try:
            capturing.run()
        finally:
            steps.close()
            if recent is not None:
                recent.close()


#: How many events of a list cannot be had again, by engine: lines of a file can.
ONCE: MappingProxyType[EngineName, Callable[[list[Event]], int]] = MappingProxyType(
    {
        EngineName.PACKETS: len,
        EngineName.BOTH: lambda events: sum(event.event_module == EngineName.PACKETS for event in events),
        EngineName.SURICATA: lambda _: 0,
    }
)


def _go_on(minimise: Minimise | None, state: Path, position: Position | None) -> tuple[Journal | None, int]:
    """Let ``minimise`` go on where the last process was; how much of what that had counted is missing."""
    if minimise is None:
        return None, 0
    kept = recover(state / "counts", position)
    minimise.restore(kept.sums, kept.sightings)
    return Journal(state / "counts", minimise), kept.missing_events + kept.missing_counts


def _cut(missing: int, unkept: int) -> Finding:
    """What the last process, which ended at once, had counted or seen and is lost."""
    text = f"the capture ended at once: {unkept:,} events that it had seen were not kept"
    if missing:
        text += f"; of its open sums and sightings {missing:,} counts could not be read again"
    return Finding(Condition.CUT, unkept + missing, text)


def _with_evidence(settings: Settings) -> SourceTable:
    """The settings of the source; without evidence nobody needs the packets that Suricata would write."""
    if settings.evidence.enabled:
        return settings.source
    suricata = structs.replace(settings.source.suricata, alert_packets_mib=0)
    return structs.replace(settings.source, suricata=suricata)


def forward(settings: Settings, *, parent: int | None = None) -> None:
    """The forwarding process: until SIGTERM, SIGINT or the end of ``parent``. Raises ConfigError, SpoolError."""
    with Reader(spool_of(settings)) as reader:
        asyncio.run(_forward(settings, reader, parent))


async def _forward(settings: Settings, reader: Reader, parent: int | None) -> None:
    beats = Beats(Path(settings.agent.state), FORWARDER)
    uplink = open_uplink(settings, reader, noted=lambda text: beats.beat(hindrance=text, now=True))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, uplink.stop)
    attending = asyncio.create_task(_attend(uplink, beats, parent))
    fetching = asyncio.create_task(Fetcher(Path(settings.agent.state), settings.uplink, key(settings)).run())
    fetching.add_done_callback(_ended)
    try:
        await uplink.run()
    finally:
        attending.cancel()
        fetching.cancel()
        beats.beat(now=True, delivered=uplink.delivered, rejected=uplink.rejected)


def _ended(fetching: asyncio.Task[None]) -> None:
    """Fetching never ends by itself, unless it is switched off: events must go on without it."""
    if not fetching.cancelled() and (fault := fetching.exception()) is not None:
        log.error("indicators are fetched no more until the forwarder starts again", exc_info=fault)


async def _attend(uplink: Uplink, beats: Beats, parent: int | None) -> None:
    while True:
        beats.beat(delivered=uplink.delivered, rejected=uplink.rejected)
        if parent is not None and os.getppid() != parent:
            log.warning("the supervisor is gone; stopping")
            uplink.stop()
            return
        await asyncio.sleep(1.0)


def part(name: str, settings: Settings, *, parent: int | None = None) -> None:
    """Run one part, CAPTURE or FORWARDER. Raises SchoolwachtError."""
    parts: dict[str, Callable[..., None]] = {CAPTURE: capture, FORWARDER: forward}
    if name == CAPTURE:
        look_seldom()
    state = Path(settings.agent.state)
    try:
        parts[name](settings, parent=parent)
    except SchoolwachtError as error:
        _cannot(settings, name, error, patient=parent is None and "INVOCATION_ID" in os.environ)
        raise
    unable.clear(state, name)


def _cannot(settings: Settings, name: str, error: SchoolwachtError, *, patient: bool) -> None:
    """A part cannot work: say so where people look, and, if ``patient``, wait: systemd starts it again at once."""
    state = Path(settings.agent.state)
    found = unable.note(state, name, error)
    if found.times >= unable.TOLD_FROM:
        log.error("the %s %s; %s", name, found, unable.REMEDY)
    if name == CAPTURE and found.is_due(settings.agent.health_seconds):
        finding = Finding(Condition.UNABLE, found.times, f"the capture {found}")
        if _spooled(settings, finding):
            unable.told(state, name, found)
    if patient:
        # The part's own handlers would take a SIGTERM, and systemd wait for the end of this.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        log.info("the %s ends in %.0f s, to be started again", name, found.wait)
        time.sleep(found.wait)

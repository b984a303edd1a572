"""Capture files to events: printed, or sent through spool and uplink as if they came from the interface.

One source a file, one stretch of traffic a file. A file that is at fault is named; the others are still done.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.derive import derive
from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht.match import IndicatorSet
from schoolwacht.nest import nest
from schoolwacht.terminal import Progress, progress
from schoolwacht_agent.app import open_uplink, open_writer, spool_of
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.capture import Capture
from schoolwacht_agent.config import Settings, SourceTable
from schoolwacht_agent.evidence.collect import Evidence
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.pace import Pace
from schoolwacht_agent.sources import Engine, choose
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.spool import Reader, Writer, look
from schoolwacht_agent.standpoint.port import Standpoint
from schoolwacht_agent.steps import Steps
from schoolwacht_agent.uplink import Uplink

#: Share of the spool at which reading waits for the uplink: a replay must not push its own events out.
FULL = 0.8


class Plan(NamedTuple):
    """What to replay and how. ``speed`` is None to play as fast as possible, with the times of the capture."""

    captures: Sequence[Path]
    source: SourceTable
    standpoint: Standpoint
    behave: BehaveSettings
    speed: float | None = None
    indicators: IndicatorSet | None = None
    #: Makes the step of that name for one capture; None keeps everything as it is.
    minimise: Callable[[], Minimise | None] = lambda: None
    #: Makes the step of that name for one capture, from the step before.
    evidence: Callable[[Path, Minimise | None], Evidence | None] = lambda *_: None

    def steps(self, capture: Path) -> Steps:
        """The steps for one capture."""
        minimise = self.minimise()
        return Steps(
            self.standpoint,
            self.behave,
            matcher=Matcher(indicators=self.indicators),
            minimise=minimise,
            evidence=self.evidence(capture, minimise),
        )

    def lists(self, source: Source) -> Iterable[list[Event]]:
        """The lists of a source at the pace that is asked for."""
        return source.read() if self.speed is None else Pace(self.speed).play(source.read())


class Result(NamedTuple):
    """How a replay ended. ``faults`` says what was wrong with captures."""

    faults: list[SourceError]
    delivered: int = 0
    rejected: int = 0
    #: Why not everything was delivered, in plain words; empty if it was.
    undelivered: str = ""
    interrupted: bool = False


def show(plan: Plan, *, as_json: bool, signals_only: bool) -> Result:
    """Print events to stdout. Raises SourceError if no engine can run."""
    line = json_line if as_json else short_line

    def take(events: list[Event]) -> None:
        chosen = [event for event in events if event.event_dataset is Dataset.SIGNAL or not signals_only]
        if chosen:
            sys.stdout.write("".join(line(event) for event in chosen))

    def play(source: Source, capture: Path, line: Progress) -> None:
        steps = plan.steps(capture)
        for events in plan.lists(source):
            take(steps.through(events))
            line.update(events=source.counters.events, packets=source.counters.packets)
        take(steps.finish())

    faults = _each(plan, play)
    sys.stdout.flush()
    return Result(faults)


def send(plan: Plan, settings: Settings) -> Result:
    """Keep events in the spool and deliver them meanwhile, until all are settled.

    Raises ConfigError, SpoolError, and SourceError if no engine can run.
    """
    with Reader(spool_of(settings)) as reader:
        return asyncio.run(_send(plan, settings, reader))


def json_line(event: Event) -> str:
    """An event as a line of nested ECS JSON."""
    derive(event)
    return msgspec.json.encode(nest(msgspec.to_builtins(event))).decode() + "\n"


def short_line(event: Event) -> str:
    """An event as a short line for people. Text from the network comes in escapes where it is not plain."""
    moment = event.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    what = (
        event.message
        or event.dns_question_name
        or event.tls_client_server_name
        or event.url_full
        or event.sighting_value
        or event.network_protocol
        or ""
    )
    ends = f"{_end(event.source_ip, event.source_port)} > {_end(event.destination_ip, event.destination_port)}"
    parts = [moment, f"{event.event_dataset.value:8}", ends, event.network_direction or "", event.rule_id or "", what]
    return " ".join(part for part in parts if part).encode("unicode_escape").decode() + "\n"


def _end(address: str | None, port: int | None) -> str:
    if address is None:
        return "-"
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _each(plan: Plan, play: Callable[[Source, Path, Progress], None]) -> list[SourceError]:
    """Play every capture; the faults of those that have one."""
    # Whether an interface could be opened, or who writes an EVE file here, does not matter to captures.
    elsewhere = msgspec.structs.replace(plan.source.suricata, eve="")
    _, engine = choose(msgspec.structs.replace(plan.source, interface="", suricata=elsewhere))
    faults = []
    for capture in plan.captures:
        with progress(str(capture)) as line:
            try:
                play(_opened(engine, capture, plan), capture, line)
            except SourceError as error:
                faults.append(error)
    return faults


def _opened(engine: Engine, capture: Path, plan: Plan) -> Source:
    return engine.offline(capture, plan.source)


async def _send(plan: Plan, settings: Settings, reader: Reader) -> Result:
    uplink = open_uplink(settings, reader)
    stopping = threading.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        uplink.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    with open_writer(settings) as writer:
        keeping = asyncio.create_task(asyncio.to_thread(_keep, plan, writer, stopping))
        delivering = asyncio.create_task(_deliver(uplink, keeping))
        try:
            faults = await keeping
        except BaseException:
            uplink.stop()
            await delivering
            raise
        reached_end = await delivering
    undelivered = "" if reached_end else _undelivered(settings, uplink, interrupted=stopping.is_set())
    return Result(faults, uplink.delivered, uplink.rejected, undelivered, interrupted=stopping.is_set())


async def _deliver(uplink: Uplink, keeping: asyncio.Task[list[SourceError]]) -> bool:
    """Deliver while events come, and what is left when no more come."""
    while not keeping.done():
        if not await uplink.drain():
            return False
        await asyncio.sleep(0.05)
    return await uplink.drain()


def _keep(plan: Plan, writer: Writer, stopping: threading.Event) -> list[SourceError]:
    """Play every capture into the spool, in a thread."""

    def play(source: Source, capture: Path, line: Progress) -> None:
        capturing = Capture(source, plan.steps(capture), writer)
        capturing.run(_attended(plan.lists(source), source, line))

    def _attended(lists: Iterable[list[Event]], source: Source, line: Progress) -> Iterator[list[Event]]:
        for events in lists:
            if stopping.is_set():
                source.stop()
                return
            line.update(events=source.counters.events, packets=source.counters.packets)
            yield events
            while writer.fullness > FULL and not stopping.is_set():
                time.sleep(0.1)

    return _each(plan, play)


def _undelivered(settings: Settings, uplink: Uplink, *, interrupted: bool) -> str:
    report = look(spool_of(settings))
    waiting = report.waiting if report is not None else 0
    why = "interrupted" if interrupted else "the collector refuses the agent's key" if uplink.refused else "stopped"
    return f"{why}; {waiting} events wait in {spool_of(settings)} and are sent next time"

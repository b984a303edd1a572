"""The whole line on one machine, for ``analyse`` and ``demo``.

A collector in this process, agents as processes of their own, everything below one directory that is gone afterwards.

Promise: whatever ends the block (success, a fault, Ctrl-C, SIGTERM), the agents have ended and the directory is gone.
Limits: a SIGKILL leaves the directory; its name begins with ``schoolwacht-``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from schoolwacht.errors import SchoolwachtError
from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.app import Collector, make_store
from schoolwacht_collector.config import Settings
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.indicators import load_indicators
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School
from schoolwacht_collector.registry import enrol
from schoolwacht_console.inert import inert

T = TypeVar("T")
AGENT = (sys.executable, "-m", "schoolwacht_agent.cli")
_CONFIGURATION = "agent.toml"
_KEY_VARIABLE = "SCHOOLWACHT_AGENT_KEY"
#: How long an agent that was asked to end may take before it is killed.
_GRACE_SECONDS = 5.0
_LOOKS = 10


class Stopped(SchoolwachtError):  # noqa: N818 - it was asked for
    """The process was told to end (SIGTERM)."""


class AgentPlan(NamedTuple):
    """An agent to run: its name, school, home networks, engine, Suricata rule files and captures."""

    name: str
    school: School
    home: tuple[str, ...]
    captures: tuple[Path, ...]
    engine: str = "auto"
    rules: tuple[Path, ...] = ()
    #: Whether it minimises what it sends, as at a school; off where nothing leaves the analyst's own machine.
    minimise: bool = False


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in a loop of its own; Ctrl-C and SIGTERM unwind it before they are raised.

    Raises KeyboardInterrupt, Stopped, and what ``work`` raises.
    """

    async def guarded() -> T:
        task = asyncio.create_task(work)
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        try:
            return await task
        except asyncio.CancelledError:
            if stopped:
                raise Stopped("told to end") from None
            raise

    return asyncio.run(guarded())


@contextmanager
def throwaway(name: str) -> Iterator[Path]:
    """A directory of one's own that is gone after the block."""
    with tempfile.TemporaryDirectory(prefix=f"schoolwacht-{name}-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


async def add_indicators(store: Store, files: Iterable[Path]) -> int:
    """Put the indicators of files into the store; faulty lines are named on stderr. How many lines were faulty.

    Raises IndicatorError for a file that cannot be read.
    """
    faulty = 0
    for file in files:
        found, faults = load_indicators(file)
        await store.put_many(Kind.INDICATOR, found)
        faulty += len(faults)
        for fault in faults:
            sys.stderr.write(f"schoolwacht: {inert(str(fault))}\n")
    return faulty


@asynccontextmanager
async def agent(
    plan: AgentPlan, collector: Collector, directory: Path, *, options: Sequence[str] = (), quiet: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Enrol an agent and run ``schoolwacht-agent replay … --send`` for its captures until the block ends.

    Its stderr is ours (the agent shows its own progress there), or with ``quiet`` a pipe, as its stdout is.
    """
    enrolment = await enrol(collector.store, plan.name, [plan.school])
    process = await asyncio.create_subprocess_exec(
        *AGENT,
        "replay",
        *map(str, plan.captures),
        "--send",
        "--config",
        str(_configure(plan, collector.intake_url, directory)),
        "--engine",
        plan.engine,
        *(part for network in plan.home for part in ("--home", network)),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if quiet else None,
        env=os.environ | {_KEY_VARIABLE: enrolment.key},
    )
    try:
        yield process
    finally:
        await _end(process)


class Spooled(NamedTuple):
    """What an agent's spool says of itself: events that a collector took or refused, that wait, that were dropped."""

    delivered: int
    rejected: int
    waiting: int
    lost: int

    @property
    def seen(self) -> int:
        """Every event that the agent made of its packets."""
        return self.delivered + self.rejected + self.waiting + self.lost


async def spooled(name: str, directory: Path) -> Spooled | None:
    """The account of the agent of that name, which :func:`agent` ran; None if it never had a spool."""
    configuration = directory / name / _CONFIGURATION
    process = await asyncio.create_subprocess_exec(
        *AGENT, "status", "--json", "--config", str(configuration), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    report = msgspec.json.decode(said)["spool"] if said else None
    if report is None:
        return None
    lanes = (report["signals"], report["events"])
    return Spooled(
        report["delivered"],
        report["rejected"],
        sum(lane["waiting"] for lane in lanes),
        sum(count for lane in lanes for count in lane["lost"].values()),
    )


async def settle(settings: Settings) -> Store:
    """The store of a collector that has ended, opened, with every signal folded into its alert. Close it after use.

    Raises StoreError.
    """
    store = make_store(settings)
    await store.open()
    folder = Folder(store)
    for _ in range(_LOOKS):
        await folder.look()
        if await unfolded(store) == 0:
            break
    return store


async def unfolded(store: Store) -> int:
    """How many stored signals no alert counts yet."""
    everything = Search(Kind.SIGNAL, All(), SECTOR)
    signals = sum(tally.number for tally in (await store.tally(everything, "event.dataset")).values())
    alerts = rows(store, Search(Kind.ALERT, All(), SECTOR, limit=1000))
    return signals - sum([int(row["alert.count"]) async for row in alerts])


def _configure(plan: AgentPlan, intake_url: str, directory: Path) -> Path:
    state = directory / plan.name
    state.mkdir(mode=0o700)
    values = {
        "agent": {"name": plan.name, "state": str(state)},
        "source": {
            "engine": plan.engine,
            "suricata": {"rules": [str(rule.resolve()) for rule in plan.rules]},
        },
        "minimise": {"enabled": plan.minimise, "detail": "full"},
        "uplink": {"collectors": [intake_url]},
    }
    path = state / _CONFIGURATION
    path.write_bytes(_toml(values))
    return path


def _toml(tables: dict[str, Any], prefix: str = "") -> bytes:
    """Tables of texts and lists of texts as TOML. A JSON text is a TOML basic string."""
    lines: list[bytes] = []
    for name, value in tables.items():
        inner = {key: each for key, each in value.items() if isinstance(each, dict)}
        lines.append(f"[{prefix}{name}]".encode())
        lines += [f"{key} = ".encode() + msgspec.json.encode(each) for key, each in value.items() if key not in inner]
        if inner:
            lines.append(_toml(inner, f"{prefix}{name}."))
    return b"\n".join(lines)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _GRACE_SECONDS)
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # Not process.terminate(): that polls, and may thus reap the child before asyncio's own watcher does.
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)

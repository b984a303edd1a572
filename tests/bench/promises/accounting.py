"""Promise 12: every loss is counted. Under faults of each sort, what was seen is what is accounted for.

    python -m tests.bench.promises.accounting [--events 150000]

A real capturing process follows an EVE file, a real forwarding process delivers. In turn: the store is out, so that a
spool of 16 MiB overflows; both processes are killed; lines come that are no EVE; the store is back but rejects one
event in a thousand for ever. Then, to the event: lines = stored + set aside + declared lost + declared unreadable.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict as Word
from schoolwacht_agent.spool import Report, look
from tests.bench.agents import Part, Tables, environment
from tests.bench.promises.eve_agent import EveAgent
from tests.bench.promises.verdict import Verdict
from tests.schoolwacht_agent.collecting import StubCollector, collecting, status

_KEY = "bench.secret"
_BAD_LINES = 500
_POISON_EVERY = 1000
_PATIENCE = 120.0


def main() -> None:
    """Break, count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=150_000)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    verdict = Verdict("12. Every loss is counted")
    with tempfile.TemporaryDirectory() as directory, environment(SCHOOLWACHT_AGENT_KEY=_KEY):
        asyncio.run(_measure(verdict, Path(directory), options.events))
    verdict.end()


async def _measure(verdict: Verdict, root: Path, events: int) -> None:
    async with collecting(_KEY) as stub:
        stub.judge = _judge
        stub.script = [status(503)] * 1_000_000
        tables: Tables = {
            # Minimised, the agent would also write sightings, and of a lost event nobody knows what it was.
            "minimise": {"enabled": False},
            "spool": {"max_bytes": 16 << 20},
            "uplink": {"collectors": [stub.url], "backoff_seconds": 0.5},
        }
        agent = EveAgent(root, tables)
        invalid = await _live(agent, stub, events)
        report = look(agent.spool)
    assert report is not None
    stored = sum(one.event_dataset is Dataset.DNS for one in stub.events.values())
    lost = sum(report.events.lost.values())
    lines = agent.written + _BAD_LINES
    verdict.note(
        f"{lines:,} lines = {stored:,} stored + {report.rejected:,} set aside + {lost:,} lost + {invalid} no EVE"
    )
    verdict.exactly("lines that no figure accounts for", lines - stored - report.rejected - lost - invalid, 0)
    verdict.exactly("events that wait", report.waiting, 0)
    verdict.exactly("signals and health events lost", sum(report.signals.lost.values()), 0)
    verdict.exactly("every sort of loss occurred", min(report.rejected, lost, invalid, 1), 1)


def _judge(event: Event) -> tuple[Word, str]:
    name = event.dns_question_name or ""
    poison = name.startswith("n") and name.split(".")[0].endswith(f"{7:03}")
    return (Word.REJECTED, "poison") if poison else (Word.DELIVERED, "")


async def _live(agent: EveAgent, stub: StubCollector, events: int) -> int:
    """Let everything happen; returns how many lines the agent says it could not read."""
    capture, forwarder = agent.start("capture"), agent.start("forwarder")
    try:
        for piece in range(6):
            agent.write(events // 6)
            await asyncio.sleep(1.5)
            victim = capture if piece % 2 else forwarder
            victim.process.kill()
            await asyncio.to_thread(victim.process.wait)
            if victim is capture:
                capture = agent.start("capture")
            else:
                forwarder = agent.start("forwarder")
        await _until(lambda: _accounted(agent.spool) >= agent.written)
        with agent.eve.open("a", encoding="utf-8") as file:
            file.write("{no EVE\n" * _BAD_LINES)
        agent.write(1)
        await _until(lambda: _invalid(capture) >= _BAD_LINES)
        stub.script.clear()
        await _until(lambda: _accounted(agent.spool) >= agent.written and _waiting(agent.spool) == 0)
        return _invalid(capture)
    finally:
        await asyncio.to_thread(capture.stop)
        await asyncio.to_thread(forwarder.stop)


def _report(spool: Path) -> Report | None:
    return look(spool)


def _accounted(spool: Path) -> int:
    report = _report(spool)
    if report is None:
        return 0
    return report.delivered + report.rejected + report.waiting + sum(report.lost.values())


def _waiting(spool: Path) -> int:
    report = _report(spool)
    return report.waiting if report is not None else -1


def _invalid(part: Part) -> int:
    beat = part.beat()
    return beat.figures.get("invalid", 0) if beat is not None else 0


async def _until(what: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain for {what.__name__}")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()

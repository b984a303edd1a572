"""Promise 1: no event lost once it is on the agent's disk or acknowledged. Long form of tests/line/test_kill.py.

    python -m tests.bench.promises.kills [--number 1000] [--seed 1]

Collector, capturing process and forwarding process of one line are killed (SIGKILL) in random order and at random
moments of their life, also while they start, while an engine writes its file on. Each victim is started again at once.
In the end everything that was written must stand in the store once. A kill costs about a second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from schoolwacht_agent.spool import look
from tests.bench.promises.verdict import Verdict
from tests.line.test_kill import Line

#: Longest life of a victim before it is killed, seconds; it takes about one to start.
_LIFE = 2.5
_DRAIN_SECONDS = 300.0


def main() -> None:
    """Kill and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    verdict = Verdict("1. No event lost once it is on the agent's disk or acknowledged")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        line = Line(Path(directory), '[store]\nkind = "sqlite"\n')
        await line.command("init")
        await line.command("enrol", "gw", "--school", "00AA01", "--board", "99001", "--key-file", str(line.key))
        killed = await kill(line, options.number, random.Random(options.seed))
        names = await arrived(line)
        report = look(line.root / "agent" / "spool")
    verdict.note(", ".join(f"{number} × {name}" for name, number in sorted(killed.items())))
    verdict.note(f"{line.written:,} events written, {time.monotonic() - began:,.0f} s")
    verdict.exactly("kills", killed.total(), options.number)
    verdict.exactly("events missing", line.written - len(set(names)), 0)
    verdict.exactly("events doubled", len(names) - len(set(names)), 0)
    verdict.exactly("events that the spool says it lost", sum(report.lost.values()) if report else -1, 0)
    verdict.end()


async def kill(line: Line, number: int, chance: random.Random) -> Counter[str]:
    """Kill so many times; returns how often each part was the victim."""
    killed: Counter[str] = Counter()
    async with line.running() as processes:
        for _ in range(number):
            victim = chance.choice(sorted(processes))
            line.write(chance.randint(1, 60))
            await asyncio.sleep(chance.uniform(0.0, _LIFE) * chance.random())
            processes[victim].kill()
            await processes[victim].wait()
            killed[victim] += 1
            processes[victim] = await line.start(victim)
    return killed


async def arrived(line: Line) -> list[str]:
    """Let the line run undisturbed until all is there; the names in the store, each as often as it stands there."""
    async with line.running():
        line.write(50)
        until = time.monotonic() + _DRAIN_SECONDS
        names: list[str] = []
        while len(set(names)) < line.written and time.monotonic() < until:
            await asyncio.sleep(1.0)
            report = look(line.root / "agent" / "spool")
            if report is not None and report.waiting == 0:
                names = await line.stored_names()
    return names


if __name__ == "__main__":
    main()

"""Promise 2: no loss window at a power cut. Long form of tests/schoolwacht_agent/spool/test_machine.py.

    python -m tests.bench.promises.power_cut [--sequences 100000] [--first 0] [--steps 30] [--processes 1]

The real writer, reader and recovery run over a model of a disk that keeps, page by page and name by name, any subset of
what was not synced, forgets dirty pages after a failed sync, and fails where it is told to. A sequence is random steps
(append, deliver, kill, power cut, failing operations, restarts) and ends with a power cut and a full drain; then every
event that ``append`` had returned for must have arrived once, and the account must be exact. In every
fourth sequence the spool is so small that it always drops, and the account of that must be exact. A sequence follows
from its number: a failing one is played again with ``--first NUMBER --sequences 1``.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from schoolwacht.wire import Verdict as Word
from tests.bench.promises.verdict import Verdict
from tests.schoolwacht_agent.spool.test_machine import FAULTS, FullSpoolMachine, SpoolMachine


class Played(NamedTuple):
    """What came of some sequences: steps by kind, events that were kept, and sequences that failed, with the reason."""

    steps: Counter[str]
    events: int
    failed: list[tuple[int, str]]


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first sequence")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    verdict = Verdict("2. No loss window at a power cut")
    began = time.monotonic()
    parts = [
        (options.first + part, options.first + options.sequences, options.processes, options.steps)
        for part in range(options.processes)
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        played = pool.starmap(play_all, parts)
    steps: Counter[str] = sum((one.steps for one in played), Counter())
    failed = sorted(one for part in played for one in part.failed)
    for number, reason in failed[:10]:
        verdict.note(f"sequence {number}: {reason}")
    verdict.note(f"{options.sequences:,} sequences, {steps.total():,} steps")
    verdict.note(f"{steps['cut']:,} power cuts, {steps['kill']:,} kills, {steps['fault']:,} failing operations")
    verdict.note(f"{sum(one.events for one in played):,} events kept, {time.monotonic() - began:,.0f} s")
    verdict.exactly("sequences with an event lost, doubled or miscounted", len(failed), 0)
    verdict.end()


def play_all(first: int, end: int, every: int, steps: int) -> Played:
    """Play the sequences of ``range(first, end, every)``."""
    logging.disable(logging.CRITICAL)
    played = Played(Counter(), 0, [])
    for number in range(first, end, every):
        try:
            events = play(number, steps, played.steps)
        except Exception as error:  # noqa: BLE001 - whatever a sequence raises is its failure
            played.failed.append((number, f"{type(error).__name__}: {error}"))
        else:
            played = played._replace(events=played.events + events)
    return played


def play(number: int, steps: int, counts: Counter[str]) -> int:
    """Play one sequence; raises AssertionError if the promise is broken. Returns how many events were kept."""
    chance = random.Random(number)
    machine = FullSpoolMachine() if number % 4 == 3 else SpoolMachine()
    machine.begin(chance.getrandbits(30))
    for _ in range(steps):
        kind = chance.choices(list(STEPS), weights=[weight for weight, _ in STEPS.values()])[0]
        counts[kind] += 1
        STEPS[kind][1](machine, chance)
        machine.account_is_exact()
    counts["cut"] += 1
    machine.teardown()
    return machine.position


def _append(machine: SpoolMachine, chance: random.Random) -> None:
    power = chance.random() < 0.8
    machine.append(chance.randint(0, 3), chance.randint(0, 6), chance.choice((0, 10, 150)), power)


def _deliver(machine: SpoolMachine, chance: random.Random) -> None:
    verdicts = chance.choices(list(Word), weights=[6, 1, 1], k=12)
    settles, power = chance.random() < 0.8, chance.random() < 0.8
    machine.deliver(chance.randint(1, 12), chance.randint(1, 1000), verdicts, settles, power)


def _fault(machine: SpoolMachine, chance: random.Random) -> None:
    machine.fault(chance.choice(FAULTS), chance.randint(0, 25), chance.random() < 0.3)


def _wait(machine: SpoolMachine, chance: random.Random) -> None:
    if isinstance(machine, FullSpoolMachine):
        machine.wait(chance.randint(1, 24 * 20))


def _failing_start(machine: SpoolMachine, chance: random.Random) -> None:
    machine.start_on_a_failing_disk(chance.choice(FAULTS), chance.randint(0, 30), chance.random() < 0.8)


#: Kind of step → how likely it is, and the step.
STEPS: dict[str, tuple[int, Callable[[SpoolMachine, random.Random], None]]] = {
    "append": (40, _append),
    "deliver": (20, _deliver),
    "fault": (10, _fault),
    "heal": (5, lambda machine, _: machine.heal()),
    "kill": (5, lambda machine, _: machine.kill()),
    "cut": (10, lambda machine, _: machine.cut_power()),
    "restart writer": (3, lambda machine, _: machine.restart_writer()),
    "restart reader": (3, lambda machine, _: machine.restart_reader()),
    "wait": (3, _wait),
    "failing start": (4, _failing_start),
}


if __name__ == "__main__":
    main()

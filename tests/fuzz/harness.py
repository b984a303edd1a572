"""Runs a harness for a time or a number of inputs, damaged at random, and counts."""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.fuzz.damage import damaged

#: Seconds that one input may take. The longest packet is 64 KiB, the longest line 1 MB.
SLOW = 2.0


class Harness(NamedTuple):
    """``entry`` must return whatever bytes it is given; ``samples`` are real ones."""

    name: str
    entry: Callable[[bytes], object]
    samples: Sequence[bytes]
    #: Bytes of a sample that are used.
    size: int = 1 << 16
    #: Seconds that one input may take.
    slow: float = SLOW


class Finding(Exception):  # noqa: N818 - what a harness is for
    """An input that a parser does not bear."""


def play(
    harness: Harness, *, rounds: int | None = None, seconds: float | None = None, seed: int = 1
) -> tuple[int, float]:
    """Damaged samples until either bound is reached; how many, and the seconds of the slowest. Raises Finding."""
    until = None if seconds is None else time.monotonic() + seconds
    worst = 0.0
    inputs = damaged(harness.samples, random.Random(seed), size=harness.size)
    for count, data in enumerate(inputs, start=1):
        began = time.perf_counter()
        one(harness, data)
        worst = max(worst, time.perf_counter() - began)
        if count == rounds or (until is not None and time.monotonic() >= until):
            return count, worst
    raise AssertionError("damaged() never ends")


def one(harness: Harness, data: bytes) -> None:
    """One input. Raises Finding."""
    began = time.perf_counter()
    try:
        harness.entry(data)
    except Exception as error:
        raise Finding(f"{harness.name} raised {error!r} for {data[:2000].hex()}") from error
    took = time.perf_counter() - began
    if took > harness.slow:
        raise Finding(f"{harness.name} took {took:.1f} s for {data[:2000].hex()}")


def main(harnesses: Sequence[Harness]) -> None:
    """The command line of a module of harnesses."""
    parser = argparse.ArgumentParser(description="Feed parsers hostile input and count it.")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each harness")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", help="one harness, by name")
    arguments = parser.parse_args()
    chosen = [one for one in harnesses if arguments.only in (None, one.name)]
    logging.disable(logging.CRITICAL)
    total = 0
    for harness in chosen:
        count, worst = play(harness, seconds=arguments.seconds, seed=arguments.seed)
        total += count
        print(
            f"{harness.name:16} {count:10,} inputs, slowest {worst * 1000:8.1f} ms, seed {arguments.seed}", flush=True
        )
    print(f"{'all':16} {total:10,} inputs, 0 stops")

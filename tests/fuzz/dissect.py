"""Hostile input for the dissectors of the packet engine: one message, or one direction of a stream."""

from __future__ import annotations

from tests.fuzz.harness import Harness, main
from tests.schoolwacht_agent.sources.packets.dissect.test_fuzz import CASES

HARNESSES = [
    Harness(f"dissect {name}".replace(" ", "-"), dissect, samples, 1 << 14)
    for name, (dissect, samples) in CASES.items()
]

if __name__ == "__main__":
    main(HARNESSES)

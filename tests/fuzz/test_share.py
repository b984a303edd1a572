"""A short share of every harness, the same in each run, and the inputs by name that must do no harm."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from tests.fuzz import dissect, eve, packets, rare, wire
from tests.fuzz.harness import SLOW, Finding, Harness, one, play

HARNESSES = [*dissect.HARNESSES, *packets.HARNESSES, *eve.HARNESSES, *wire.HARNESSES]
#: Inputs of a harness in the tests; a run of minutes by hand has millions.
ROUNDS = 250


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What is set aside is logged, once for each reason and reader."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("harness", HARNESSES, ids=lambda harness: harness.name)
def test_damaged_input_is_read_or_refused(harness: Harness) -> None:
    assert play(harness, rounds=ROUNDS)[0] == ROUNDS


def test_odd_lines_cost_themselves_only() -> None:
    lines = eve.odd_lines()
    assert len(lines) > 1000
    for line in lines:
        one(eve.HARNESSES[0], line)


@pytest.mark.parametrize("name", rare.LOOPS)
def test_a_packet_that_makes_scapy_loop_costs_two_seconds_at_most(name: str) -> None:
    lead = rare.Lead()
    try:
        lead.ask(b"l" + rare.PLAIN)
        began = time.monotonic()
        lead.ask(b"l" + rare.LOOPS[name])
        assert lead.ask(b"l" + rare.PLAIN) == rare.INNER
        assert time.monotonic() - began < SLOW + 5  # a start of scapy on a busy machine is not what is meant
    finally:
        lead.close()


def test_a_harness_tells_what_a_parser_does_not_bear() -> None:
    def breaks(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError(data)

    with pytest.raises(Finding, match=r"raised KeyError.* for [0-9a-f]*ff"):
        play(Harness("breaks", breaks, [b"abc"]), rounds=10_000)

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.flows import Flow, Half
from schoolwacht_agent.sources.packets.gaps import OPEN_SECONDS, GapMeter
from schoolwacht_agent.sources.port import Counters
from tests.schoolwacht_agent.sources.packets.made import ACK, FIN, RST, SYN, down, up
from tests.schoolwacht_agent.sources.packets.played import Timed, batch_of

MSS = 1000


class Watched:
    """One direction of a sampled connection."""

    def __init__(self, first: int = 5_000) -> None:
        self.counters = Counters()
        self.meter = GapMeter(self.counters, 1)
        self.flow = Flow(6, 0.0, {}, 4)
        self.flow.up = self.half = Half(self.flow, b"up", 0.0)
        self.flow.down = Half(self.flow, b"down", 0.0)
        self.first = first
        self.see(0, 0.0, size=0)

    def see(self, offset: int, seconds: float, *, size: int = MSS, flags: int = ACK) -> None:
        self.meter.see(self.half, (self.first + offset) & 0xFFFFFFFF, size, flags, seconds)

    @property
    def figures(self) -> tuple[int, int]:
        """Bytes seen, and missing, when the connection is over."""
        self.meter.close(self.flow)
        return self.counters.tcp_bytes, self.counters.tcp_missing


@pytest.mark.parametrize("first", [0, 5_000, 0xFFFFFFFF - 1_500, 0x7FFFFFFF])
def test_what_comes_in_order_has_no_gap(first: int) -> None:
    watched = Watched(first)
    for number in range(10):
        watched.see(number * MSS, number * 0.1)
    assert watched.figures == (10 * MSS, 0)


@pytest.mark.parametrize("first", [0, 0xFFFFFFFF - 1_500])
def test_a_segment_that_never_comes_is_missing(first: int) -> None:
    watched = Watched(first)
    for number in (0, 1, 3, 4):
        watched.see(number * MSS, number * 0.1)
    assert watched.figures == (4 * MSS, MSS)


def test_a_hole_is_told_after_three_seconds_while_the_connection_goes_on() -> None:
    watched = Watched()
    watched.see(MSS, 0.1)
    assert watched.counters.tcp_missing == 0
    watched.see(2 * MSS, 0.1 + OPEN_SECONDS)
    assert watched.counters.tcp_missing == MSS


def test_what_comes_late_fills_its_hole() -> None:
    watched = Watched()
    for place in (0, 5 * MSS, MSS, 3 * MSS, 2 * MSS, 4 * MSS):
        watched.see(place, 0.1)
    assert watched.figures == (6 * MSS, 0)


def test_a_retransmission_counts_once() -> None:
    watched = Watched()
    for place in (0, MSS, 0, MSS):
        watched.see(place, 0.1)
    watched.see(MSS, 0.2, size=2 * MSS)
    assert watched.figures == (3 * MSS, 0)


def test_a_keep_alive_a_reset_and_a_forged_segment_make_no_hole() -> None:
    watched = Watched()
    watched.see(0, 0.1)
    watched.see(MSS - 1, 0.2, size=1)
    watched.see(900_000, 0.3, size=0, flags=RST)
    watched.see(1 << 30, 0.4)
    assert watched.figures == (MSS, 0)


def test_syn_and_fin_take_a_number_each() -> None:
    watched = Watched()
    watched.see(0, 0.0, size=0, flags=SYN)
    watched.see(1, 0.1)
    watched.see(1 + MSS, 0.2, size=0, flags=FIN | ACK)
    watched.see(2 + MSS, 0.3, size=0)
    assert watched.figures == (MSS, 0)


@given(
    st.integers(0, 0xFFFFFFFF),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 3)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_seen_and_missing_are_all_that_was_sent(
    first: int, segments: list[tuple[int, int]], chance: random.Random
) -> None:
    """Whatever order and overlap: bytes that some segment covered are seen, the others below the highest missing."""
    watched = Watched(first)
    chance.shuffle(segments)
    covered: set[int] = set()
    for place, size in segments:
        watched.see(place * MSS, 0.1, size=size * MSS)
        covered |= set(range(place, place + size))
    highest = max(covered, default=-1) + 1
    assert watched.figures == (len(covered) * MSS, (highest - len(covered)) * MSS)


def _counted(frames: list[bytes | Timed], sample: int = 1) -> Counters:
    counters = Counters()
    engine = Engine(PacketsTable(), counters, sample=sample)
    engine.feed(batch_of(frames))
    engine.close()
    engine.end()
    return counters


def _download(*lost: int) -> list[bytes | Timed]:
    frames: list[bytes | Timed] = [
        up(flags=SYN, sequence=99), down(flags=SYN | ACK, sequence=499), up(sequence=100), up(b"x" * 10, sequence=100)
    ]  # fmt: skip
    for number in range(100):
        if number not in lost:
            frames.append(down(b"y" * MSS, sequence=500 + number * MSS))
        frames.append(up(sequence=110))
    return frames


def test_the_engine_finds_what_the_mirror_lost() -> None:
    whole, lossy = _counted(_download()), _counted(_download(20, 21, 70))
    assert (whole.tcp_bytes, whole.tcp_missing) == (100 * MSS + 10, 0)
    assert (lossy.tcp_bytes, lossy.tcp_missing) == (97 * MSS + 10, 3 * MSS)


def test_of_sixteen_connections_one_is_looked_at() -> None:
    frames = [up(flags=SYN, source=port, sequence=99) for port in range(1000, 1032)]
    frames += [up(b"z" * 100, source=port, sequence=100) for port in range(1000, 1032)]
    assert _counted(list(frames), sample=16).tcp_bytes == 200

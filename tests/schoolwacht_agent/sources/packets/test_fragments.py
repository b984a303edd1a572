"""Fragments: any order, overlaps, gaps, bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.fragments import Fragments

WHOLE = bytes(range(256)) * 4


def add(
    fragments: Fragments, offset: int, size: int, *, key: int = 1, now: float = 0, data: bytes = WHOLE
) -> bytes | None:
    last = offset + size >= len(data)
    found = fragments.add(key, offset, last, b"head%d" % offset, data[offset : offset + size], now)
    if found is None:
        return None
    assert found[0] == b"head0"
    return found[1]


@given(data=st.data())
def test_in_any_order_and_however_often_the_pieces_make_the_whole(data: st.DataObject) -> None:
    size = data.draw(st.integers(8, len(WHOLE)))
    offsets = list(range(0, len(WHOLE), size))
    again = data.draw(st.lists(st.sampled_from(offsets), max_size=8))
    order = data.draw(st.permutations([*offsets, *again]))
    fragments = Fragments(1 << 20)
    found = [whole for offset in order if (whole := add(fragments, offset, size)) is not None]
    assert found[0] == WHOLE


def test_of_overlapping_fragments_the_first_wins_where_it_lies() -> None:
    fragments = Fragments(1 << 20)
    assert fragments.add(1, 0, False, b"h", b"A" * 16, 0) is None
    assert fragments.add(1, 8, True, b"h", b"B" * 16, 0) == (b"h", b"A" * 16 + b"B" * 8)


def test_a_gap_is_waited_for() -> None:
    fragments = Fragments(1 << 20)
    assert add(fragments, 0, 512) is None
    assert add(fragments, 768, 256) is None
    assert add(fragments, 512, 256) == WHOLE


def test_packets_with_different_keys_do_not_mix() -> None:
    fragments = Fragments(1 << 20)
    assert add(fragments, 0, 512, key=1) is None
    assert add(fragments, 512, 512, key=2) is None
    assert add(fragments, 512, 512, key=1) == WHOLE


def test_a_packet_longer_than_ip_allows_is_given_up() -> None:
    fragments = Fragments(1 << 20)
    assert fragments.add(1, 65_528, True, b"h", bytes(64), 0) is None
    assert fragments.evicted == 1


def test_an_empty_fragment_is_given_up() -> None:
    fragments = Fragments(1 << 20)
    assert fragments.add(1, 0, False, b"h", b"", 0) is None
    assert fragments.evicted == 1


def test_too_many_pieces_are_given_up() -> None:
    fragments = Fragments(1 << 20)
    for offset in range(0, 8 * 1_025, 8):
        fragments.add(1, offset, False, b"h", bytes(8), 0)
    assert fragments.evicted == 1


def test_beyond_the_bound_the_oldest_is_given_up() -> None:
    fragments = Fragments(2_000)
    add(fragments, 0, 1_000, key=1)
    add(fragments, 0, 900, key=2)
    assert fragments.evicted == 0
    add(fragments, 0, 512, key=3)
    assert fragments.evicted == 1
    assert add(fragments, 900, 124, key=2) == WHOLE


def test_what_waits_for_too_long_is_given_up() -> None:
    fragments = Fragments(1 << 20, seconds=30)
    add(fragments, 0, 512, key=1, now=0)
    add(fragments, 0, 512, key=2, now=20)
    fragments.advance(30)
    assert fragments.evicted == 1
    assert add(fragments, 512, 512, key=1, now=30) is None
    assert add(fragments, 512, 512, key=2, now=30) == WHOLE


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8_191), st.booleans(), st.binary(max_size=64)), max_size=200)
)
def test_whatever_comes_the_bound_holds(pieces: list[tuple[int, int, bool, bytes]]) -> None:
    fragments = Fragments(500)
    for now, (key, offset, last, payload) in enumerate(pieces):
        fragments.add(key, offset * 8, last, b"h", payload, now)
        fragments.advance(now)
        assert 0 <= fragments._held <= 500
        assert fragments._held == sum(packet.held for packet in fragments._waiting.values())

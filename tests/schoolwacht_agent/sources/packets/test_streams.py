"""Streams: order, retransmissions, gaps, wrap-around, bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.streams import EARLY_MAX, STREAM_MAX, Budget, Reading, Stream

TEXT = bytes(range(256)) * 8


def stream(expected: int = 0, limit: int = 1 << 20) -> Stream:
    return Stream(Budget(limit), expected)


@given(data=st.data(), start=st.sampled_from([0, 1_000, (1 << 32) - 700, (1 << 31) - 3]))
def test_segments_in_any_order_and_again_give_the_bytes_in_order(data: st.DataObject, start: int) -> None:
    size = data.draw(st.integers(200, len(TEXT)))
    offsets = list(range(0, len(TEXT), size))
    again = data.draw(st.lists(st.integers(0, len(TEXT) - 1), max_size=4))
    taken = stream(start)
    for offset in data.draw(st.permutations([*offsets, *again])):
        taken.push((start + offset) & 0xFFFFFFFF, TEXT[offset : offset + size])
    assert taken.data == TEXT
    assert not taken.lost
    assert taken.expected == (start + len(TEXT)) & 0xFFFFFFFF


def test_a_segment_that_was_seen_brings_nothing_new() -> None:
    taken = stream()
    assert taken.push(0, TEXT[:100])
    assert not taken.push(0, TEXT[:100])
    assert not taken.push(50, TEXT[50:100])
    assert taken.push(50, TEXT[50:120])
    assert taken.data == TEXT[:120]


def test_of_a_retransmission_with_other_bytes_the_first_stand() -> None:
    taken = stream()
    taken.push(0, b"first")
    taken.push(0, b"OTHER and more")
    assert taken.data == b"first and more"


def test_an_early_segment_waits() -> None:
    taken = stream()
    assert not taken.push(100, TEXT[100:200])
    assert taken.data == b""
    assert taken.push(0, TEXT[:100])
    assert taken.data == TEXT[:200]


def test_a_gap_that_is_not_closed_is_left_behind_and_said() -> None:
    taken = stream()
    taken.push(0, TEXT[:100])
    told = [taken.push(200 + 10 * number, TEXT[:10]) for number in range(EARLY_MAX + 1)]
    assert told == [False] * EARLY_MAX + [True]
    assert taken.lost
    assert taken.data == TEXT[:10] * (EARLY_MAX + 1)


def test_bytes_that_were_used_are_gone_and_the_next_are_due() -> None:
    taken = stream()
    taken.push(0, TEXT[:100])
    taken.use(40)
    assert taken.data == TEXT[40:100]
    taken.use(60)
    assert taken.held == 0
    assert taken.push(100, TEXT[100:110])


def test_more_than_is_there_may_be_stepped_over() -> None:
    taken = stream()
    taken.push(0, TEXT[:100])
    taken.use(1_000)
    assert not taken.push(500, TEXT[500:600])
    assert taken.data == b""
    assert taken.push(900, TEXT[900:1_100])
    assert taken.data == TEXT[1_000:1_100]


def test_what_lies_within_a_step_is_not_kept() -> None:
    taken = stream()
    taken.push(0, TEXT[:100])
    taken.push(600, TEXT[600:700])
    taken.use(1_000)
    assert taken.held == 0


def test_more_than_a_stream_may_hold_is_given_up() -> None:
    taken = stream()
    sequence = 0
    while taken.reading is Reading.ON:
        taken.push(sequence, TEXT)
        taken.hold()
        sequence += len(TEXT)
        assert taken.held <= STREAM_MAX + len(TEXT)
    assert taken.reading is Reading.SHUT
    assert taken.held == 0


def test_a_shut_stream_takes_nothing() -> None:
    taken = stream()
    taken.shut()
    assert not taken.push(0, b"x")
    assert taken.held == 0


def test_a_stream_that_seeks_begins_where_it_is_told() -> None:
    taken = stream()
    taken.push(0, TEXT[:10])
    taken.seek()
    assert taken.held == 0
    taken.begin(7_000)
    assert taken.push(7_000, b"GET")
    assert taken.data == b"GET"


def test_a_stream_that_knew_where_it_would_begin_says_if_it_began_elsewhere() -> None:
    for begun, lost in ((10, False), (11, True)):
        taken = stream()
        taken.push(0, TEXT[:10])
        taken.seek(due=True)
        taken.begin(begun)
        assert taken.lost is lost


def test_beyond_the_bound_of_all_the_one_that_holds_longest_is_given_up() -> None:
    budget = Budget(250)
    one, two, three = (Stream(budget, 0) for _ in range(3))
    for taken in (one, two, three):
        taken.push(0, TEXT[:100])
        taken.hold()
    assert budget.evicted == 1
    assert [taken.reading for taken in (one, two, three)] == [Reading.SHUT, Reading.ON, Reading.ON]


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["push", "use", "seek", "begin", "hold", "shut"]),
        st.integers(0, (1 << 32) - 1) | st.integers(0, 4_000),
        st.integers(1, 1_460),
    ),
    max_size=120,
)


@given(STEPS)
def test_whatever_comes_the_bounds_hold(steps: list[tuple[int, str, int, int]]) -> None:
    budget = Budget(20_000)
    streams = [Stream(budget, 0) for _ in range(4)]
    for number, step, place, size in steps:
        taken = streams[number]
        match step:
            case "push":
                taken.push(place, TEXT[:size])
                taken.hold()
            case "use":
                taken.use(size)
            case "seek":
                taken.seek()
            case "begin":
                if taken.reading is Reading.SEEK:
                    taken.begin(place)
            case "hold":
                taken.hold()
            case _:
                taken.shut()
        assert budget._total == sum(one.held for one in streams) <= 20_000

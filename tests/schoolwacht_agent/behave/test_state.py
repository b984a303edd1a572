"""The detectors' bounded state, against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.behave.state import KEPT, Distinct, Ladder, Rate, Recent

TIMES = st.floats(0, 1000, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 5), TIMES), max_size=60), st.integers(1, 300))
def test_a_window_counts_as_brute_force_does_in_any_order_of_time(seen: list[tuple[int, float]], window: int) -> None:
    distinct, newest = Distinct(), float("-inf")
    held: dict[int, float] = {}
    for value, at in seen:
        newest = max(newest, at)
        held = {other: when for other, when in held.items() if when >= newest - window}
        if at < newest - window:
            assert distinct.add(value, at, window, weight=value) == 0
            continue
        held[value] = max(at, held.get(value, at))
        assert distinct.add(value, at, window, weight=value) == len(held)
        assert distinct.weight == sum(held)


@given(st.lists(TIMES, max_size=60), st.integers(1, 300))
def test_a_rate_counts_as_brute_force_does_in_any_order_of_time(times: list[float], window: int) -> None:
    rate = Rate()
    for number, at in enumerate(times):
        newest = max(times[: number + 1])
        expected = sum(when >= newest - window for when in times[: number + 1])
        assert rate.add(at, window) == (expected if at >= newest - window else 0)


def test_a_flood_is_counted_up_to_the_bound() -> None:
    rate = Rate()
    assert max(rate.add(n / 1000, 60) for n in range(KEPT + 500)) == KEPT


def test_the_table_forgets_what_was_used_longest_ago_and_counts_it() -> None:
    table: Recent[str, Rate] = Recent(2, Rate)
    first = table.of("a")
    table.of("b")
    assert table.of("a") is first
    table.of("c")
    assert table.evicted == 1
    assert not table.known("b")
    assert table.of("a") is first


def test_the_ladder_speaks_at_the_threshold_at_ten_times_and_after_a_pause() -> None:
    ladder = Ladder()
    assert [
        ladder.speaks(figure, 10, at, quiet=60) for figure, at in ((9, 0), (10, 1), (11, 2), (99, 3), (100, 4))
    ] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert ladder.speaks(10, 10, 100, quiet=60)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.quota import Quota


def test_a_pause_fills_the_bucket_and_no_more() -> None:
    now = [0.0]
    quota = Quota(rate=10, burst=100, clock=lambda: now[0])
    assert quota.wait("a") == 0
    quota.charge("a", 150)
    assert quota.wait("a") == 5.1
    now[0] += quota.wait("a")
    assert quota.wait("a") == 0
    now[0] += 1e6
    quota.charge("a", 100)
    assert quota.wait("a") > 0


def test_agents_have_buckets_of_their_own() -> None:
    quota = Quota(rate=1, burst=10, clock=lambda: 0.0)
    quota.charge("greedy", 1000)
    assert quota.wait("greedy") > 900
    assert quota.wait("modest") == 0


def test_without_a_rate_there_is_no_bound() -> None:
    quota = Quota(rate=0, burst=10, clock=lambda: 0.0)
    quota.charge("a", 1 << 40)
    assert quota.wait("a") == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 2000)), max_size=60))
def test_no_span_gets_more_than_burst_and_rate_and_one_batch(steps: list[tuple[float, int]]) -> None:
    now, taken, largest = [0.0], 0, 0
    quota = Quota(rate=100, burst=3000, clock=lambda: now[0])
    for pause, size in steps:
        now[0] += pause
        if quota.wait("a") == 0:
            quota.charge("a", size)
            taken += size
            largest = max(largest, size)
        assert taken <= 3000 + 100 * now[0] + largest + 1e-6

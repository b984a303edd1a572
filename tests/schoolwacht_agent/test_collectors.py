from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.collectors import REFUSED_FIRST, REFUSED_MAX, Collectors


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(time: Time, *urls: str, chance: float = 0.5) -> Collectors:
    return Collectors(urls or ("a", "b"), longest=60.0, clock=time, chance=lambda: chance)


def test_the_first_is_preferred_and_tried_again_after_its_rest() -> None:
    time = Time()
    collectors = made(time)
    assert collectors.choose() == ("a", 0.0)
    collectors.fails("a")
    assert collectors.choose() == ("b", 0.0)
    time.now += 0.5
    assert collectors.choose() == ("a", 0.0)


def test_when_all_rest_the_shortest_rest_is_waited_for() -> None:
    time = Time()
    collectors = made(time)
    collectors.fails("a", 10.0)
    collectors.fails("b", 2.0)
    url, wait = collectors.choose()
    assert url is None
    assert 2.0 <= wait <= 2.5


@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_a_rest_after_failures_is_random_below_the_bound(failures: int, chance: float) -> None:
    time = Time()
    collectors = made(time, "a", chance=chance)
    for _ in range(failures):
        collectors.fails("a")
    _, wait = collectors.choose()
    assert 0 <= wait <= 60.0


def test_a_success_forgets_the_failures() -> None:
    time = Time()
    collectors = made(time, "a")
    for _ in range(10):
        collectors.fails("a")
    assert collectors.works("a")
    assert not collectors.works("a")
    collectors.fails("a")
    assert collectors.choose()[1] <= 1.0


def test_a_refused_key_is_tried_again_only_after_minutes() -> None:
    time = Time()
    collectors = made(time, "a", chance=0.0)
    collectors.refuses("a")
    assert collectors.choose()[1] >= REFUSED_FIRST / 2
    for _ in range(30):
        collectors.refuses("a")
    assert REFUSED_MAX / 2 <= collectors.choose()[1] <= REFUSED_MAX


def test_a_rest_for_all_holds_every_collector_back() -> None:
    time = Time()
    collectors = made(time)
    collectors.rest(5.0)
    assert collectors.choose()[0] is None
    time.now += 7.0
    assert collectors.choose() == ("a", 0.0)


def test_when_most_events_were_taken_the_rest_is_short() -> None:
    time = Time()
    collectors = made(time, chance=0.99)
    for _ in range(20):
        collectors.rest(None, little=True)
    assert collectors.choose()[1] <= 1.0

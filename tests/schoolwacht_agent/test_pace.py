from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.pace import DATES, MOMENTS, TICK, Pace

THEN = datetime(2019, 5, 1, 12, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= TICK
        self.seconds += seconds

    def pace(self, speed: float = 1.0) -> Pace:
        return Pace(speed, now=self.now, monotonic=self.monotonic, sleep=self.sleep)


def at(seconds: float, **changes: object) -> Event:
    return Event(THEN + timedelta(seconds=seconds), Dataset.FLOW, **changes)  # type: ignore[arg-type]


def test_events_come_when_they_are_due_and_say_that_they_happened_then() -> None:
    world = World()
    seen = []
    for events in world.pace().play([[at(0), at(2)], [at(5)]]):
        seen += [(world.seconds, event.timestamp) for event in events]
    assert [due for due, _ in seen] == pytest.approx([0, 2, 5])
    assert [moment for _, moment in seen] == [START + timedelta(seconds=due) for due in (0, 2, 5)]


def test_at_double_speed_everything_takes_half_the_time() -> None:
    world = World()
    flow = at(10, event_start=THEN + timedelta(seconds=4), event_end=THEN + timedelta(seconds=10))
    flow.event_duration = 6_000_000_000
    played = [event for events in world.pace(2.0).play([[at(0)], [flow]]) for event in events]
    assert world.seconds == pytest.approx(5)
    assert played[1].event_end == START + timedelta(seconds=5)
    assert played[1].event_start == START + timedelta(seconds=2)
    assert played[1].event_duration == 3_000_000_000


def test_a_certificate_keeps_its_age() -> None:
    event = at(0, tls_server_not_before=THEN - timedelta(days=30), tls_server_not_after=THEN + timedelta(days=60))
    (played,) = next(World().pace(9.0).play([[event]]))
    assert played.tls_server_not_before == START - timedelta(days=30)
    assert played.tls_server_not_after == START + timedelta(days=60)


def test_a_date_at_the_end_of_the_calendar_stays() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    (played,) = next(World().pace().play([[at(0, tls_server_not_after=last)]]))
    assert played.tls_server_not_after == last


def test_while_nothing_is_due_there_are_ticks() -> None:
    lists = list(World().pace().play([[at(0), at(1)]]))
    assert [] in lists


def test_every_time_of_an_event_is_looked_after() -> None:
    times = {item.name for item in msgspec.structs.fields(Event) if "datetime" in str(item.type)}
    # The collector's, and what is made behind the pace.
    assert times - set(MOMENTS) - set(DATES) == {"event_ingested", "evidence_taken"}


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(speed)


@given(st.lists(st.lists(st.floats(-100, 100), max_size=4), max_size=4), st.floats(0.5, 1000))
def test_no_event_is_lost_and_none_lies_in_the_future(lists: list[list[float]], speed: float) -> None:
    world = World()
    count = 0
    for events in world.pace(speed).play([[at(seconds) for seconds in one] for one in lists]):
        for event in events:
            assert event.timestamp <= world.now() + timedelta(milliseconds=1)
            count += 1
    assert count == sum(map(len, lists))

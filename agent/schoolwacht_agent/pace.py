"""A step for demonstration and replay: a capture's events come at the speed of the capture, as if it happened now.

Times are mapped, not only moved: the first event of the capture lies at the moment when playing begins, and what came
*t* seconds after it comes *t / speed* seconds after that. So no event lies in the future whatever the speed. The dates
of certificates are moved by the same distance and not squeezed.

Limits: a source gives events nearly, not wholly, in the order of their times; one that is late comes at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from schoolwacht.event import Event

#: The times of an event that say when something happened.
MOMENTS = ("timestamp", "event_start", "event_end")
#: Dates that things carry with them.
DATES = ("tls_server_not_before", "tls_server_not_after")
#: Longest time without a list, seconds: who takes the lists can look after other things.
TICK = 0.25


class Pace:
    """Plays one capture.

    Args:
        speed: how many times faster than the capture; above 0.
        now: the moment (aware, UTC).
        monotonic: seconds, only differences count.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        speed: float = 1.0,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not speed > 0:
            raise ValueError("a speed is above 0")
        self._speed = speed
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._first: datetime | None = None
        self._start = datetime.min.replace(tzinfo=UTC)
        self._began = 0.0

    def play(self, lists: Iterable[list[Event]]) -> Iterator[list[Event]]:
        """The events of ``lists``, changed in place, each when it is due; empty lists while none is."""
        for events in lists:
            due: list[Event] = []
            for event in sorted(events, key=lambda one: one.timestamp):
                wait = self._wait(event)
                if wait > 0 and due:
                    yield due
                    due = []
                while wait > 0:
                    self._sleep(min(wait, TICK))
                    wait = self._wait(event)
                    if wait > 0:
                        yield []
                self._shift(event)
                due.append(event)
            yield due

    def _wait(self, event: Event) -> float:
        if self._first is None:
            self._first = event.timestamp
            self._start = self._now()
            self._began = self._monotonic()
        due = (event.timestamp - self._first).total_seconds() / self._speed
        return due - (self._monotonic() - self._began)

    def _shift(self, event: Event) -> None:
        assert self._first is not None
        for name in MOMENTS:
            moment = getattr(event, name)
            if moment is not None:
                setattr(event, name, self._start + (moment - self._first) / self._speed)
        if event.event_duration is not None:
            event.event_duration = round(event.event_duration / self._speed)
        distance = self._start - self._first
        for name in DATES:
            date = getattr(event, name)
            if date is not None:
                setattr(event, name, _moved(date, distance))


def _moved(date: datetime, distance: timedelta) -> datetime:
    """A date of a certificate can be any; one that would leave the calendar stays."""
    try:
        return date + distance
    except OverflowError:
        return date

"""What is known of one value: first and last seen, at how many schools and boards, in all and on each day. Pure.

Everything here only grows towards what was seen (earliest, latest, union), so that a sighting which is counted twice
changes nothing. After :data:`FORGOTTEN` without a sighting a value counts as new again: ``since`` is then the
first sighting of its present run, and the schools of ``early`` are those of that run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from schoolwacht_collector.prevalence import sketch

FORGOTTEN = timedelta(days=30)
#: The first schools of a run are kept one by one, and so many days.
EARLY = 64
DAYS = 30


class Arrival(NamedTuple):
    """The first sighting of a value at one school in its present run. ``at`` is its own time, seconds since 1970."""

    at: float
    school: str
    board: str
    agent: str


class Day(NamedTuple):
    """At how many schools and boards a value was seen on one day (UTC, its ordinal)."""

    day: int
    schools: int
    boards: int


class Known(msgspec.Struct, array_like=True):
    """One value. ``schools`` and the like are sketches (:mod:`.sketch`) as the store keeps them."""

    kind: str
    value: str
    first: datetime
    last: datetime
    since: datetime
    early: list[Arrival] = []
    schools: bytes = b""
    boards: bytes = b""
    day: int = 0
    day_schools: bytes = b""
    day_boards: bytes = b""
    days: list[Day] = []


class Value:
    """A value being counted: :class:`Known` with its sketches unpacked."""

    __slots__ = ("boards", "day_boards", "day_schools", "known", "schools")

    def __init__(self, known: Known) -> None:
        self.known = known
        self.schools, self.boards, self.day_schools, self.day_boards = (
            sketch.unpack(data) if data else 0
            for data in (known.schools, known.boards, known.day_schools, known.day_boards)
        )

    def see(self, first: datetime, last: datetime, arrival: Arrival) -> bool:
        """Count a sighting in; whether that changed anything."""
        known = self.known
        before = (known.first, known.last, known.since, self.schools, self.boards, self.day_schools, len(known.early))
        if first - known.last > FORGOTTEN:
            known.since, known.early = first, []
        elif first < known.since and known.since - last <= FORGOTTEN:
            known.since = first
        known.first, known.last = min(known.first, first), max(known.last, last)
        self._arrive(arrival)
        school = sketch.bit_of(arrival.school, sketch.SCHOOL_BITS)
        board = sketch.bit_of(arrival.board, sketch.BOARD_BITS)
        self.schools |= school
        self.boards |= board
        self._on_day(last.toordinal(), school, board)
        return before != (
            known.first, known.last, known.since, self.schools, self.boards, self.day_schools, len(known.early),
        )  # fmt: skip

    def _arrive(self, arrival: Arrival) -> None:
        known = self.known
        if arrival.at < known.since.timestamp():
            return
        for place, one in enumerate(known.early):
            if one.school == arrival.school:
                if arrival.at < one.at:
                    known.early[place] = arrival
                return
        known.early.append(arrival)
        if len(known.early) > EARLY:
            known.early.remove(max(known.early))

    def _on_day(self, day: int, school: int, board: int) -> None:
        known = self.known
        if day > known.day:
            if known.day:
                known.days = [*known.days, self.today()][-DAYS:]
            known.day, self.day_schools, self.day_boards = day, 0, 0
        if day == known.day:  # a day that has ended is not counted on
            self.day_schools |= school
            self.day_boards |= board

    def today(self) -> Day:
        """The newest day's numbers."""
        return Day(
            self.known.day,
            sketch.number(self.day_schools, sketch.SCHOOL_BITS),
            sketch.number(self.day_boards, sketch.BOARD_BITS),
        )

    def packed(self) -> Known:
        """The value as the store keeps it."""
        known = self.known
        known.schools, known.boards = sketch.pack(self.schools), sketch.pack(self.boards)
        known.day_schools, known.day_boards = sketch.pack(self.day_schools), sketch.pack(self.day_boards)
        return known

    @property
    def school_count(self) -> int:
        """At how many schools it was seen, ever."""
        return sketch.number(self.schools, sketch.SCHOOL_BITS)

    @property
    def board_count(self) -> int:
        """At how many boards."""
        return sketch.number(self.boards, sketch.BOARD_BITS)


def begun(kind: str, value: str, first: datetime, last: datetime) -> Value:
    """A value that was never seen."""
    return Value(Known(kind, value, first, last, first))


def day_of(ordinal: int) -> str:
    """A day's ordinal as ISO 8601."""
    return datetime.fromordinal(ordinal).replace(tzinfo=UTC).date().isoformat()

"""The Dutch school calendar: what kind of hour it is at a school, so that like is compared with like.

Pure: a moment in, its local hour and the kind of its day out; no clock, no time zone database. Local time is that of
Amsterdam by the rule of Directive 2000/84/EC (summer time from the last Sunday of March to the last of October,
01:00 UTC). Holidays come from ``holidays.toml`` (which names its source) by region; a school that differs gives its
own, and its exam weeks. Public holidays follow from the date and from Easter (Gregorian computus, Meeus).
"""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

_EPOCH = date(1970, 1, 1).toordinal()
_HOUR = 3600


class Region(StrEnum):
    """Holiday region of the Netherlands."""

    NORTH = "north"
    MIDDLE = "middle"
    SOUTH = "south"


class Day(StrEnum):
    """What kind of day it is: hours are compared with hours of days of the same kind."""

    SCHOOL = "school"
    EXAMS = "exams"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class Phase(StrEnum):
    """What goes on at a school at an hour, for people who read a signal."""

    LESSONS = "lessons"
    EXAMS = "exams"
    EVENING = "evening"
    NIGHT = "night"
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


class Moment(NamedTuple):
    """An hour at a school. ``number`` counts days (proleptic Gregorian ordinal), ``weekday`` from Monday = 0."""

    number: int
    weekday: int
    hour: int
    day: Day
    phase: Phase


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """Days from ``first`` to ``last``, both included."""

    first: Annotated[date, Meta(description="First day of it, such as 2026-10-10.")]
    last: Annotated[date, Meta(description="Last day of it, which still belongs to it.")]


class CalendarSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.calendar]``."""

    region: Annotated[Region, Meta(description="Holiday region of the school: north, middle or south.")] = Region.MIDDLE
    holidays: Annotated[
        tuple[Span, ...],
        Meta(description="The school's own holidays; with any, those of the region count only where none overlaps."),
    ] = ()
    exam_weeks: Annotated[tuple[Span, ...], Meta(description="Weeks of exams, which are like no other.")] = ()
    lessons_from: Annotated[int, Meta(ge=0, le=23, description="Hour at which lessons begin, local time.")] = 8
    lessons_to: Annotated[int, Meta(ge=1, le=24, description="Hour at which lessons end, local time.")] = 17


class _Holiday(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    north: tuple[date, date] | None = None
    middle: tuple[date, date] | None = None
    south: tuple[date, date] | None = None


class _Holidays(Struct, frozen=True, forbid_unknown_fields=True):
    holiday: tuple[_Holiday, ...]


class Calendar:
    """Says of any moment what kind of hour it is at this school. Answers of the last 64 hours asked are kept."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._settings = settings
        self._holidays = (*settings.holidays, *_without_overlap(published(settings.region), settings.holidays))
        self._look_up = lru_cache(maxsize=64)(self._moment)

    def moment(self, at: float) -> Moment:
        """The hour that holds ``at`` (seconds since 1970)."""
        return self._look_up(int(at) // _HOUR)

    def _moment(self, hours: int) -> Moment:
        local = hours + (2 if is_summer_time(hours) else 1)
        today = date.fromordinal(_EPOCH + local // 24)
        hour = local % 24
        kind = self.kind(today)
        return Moment(today.toordinal(), today.weekday(), hour, kind, self._phase(kind, hour))

    def kind(self, day: date) -> Day:
        """What kind of day it is. A weekend is a weekend in exam weeks, too, but not in holidays."""
        if any(span.first <= day <= span.last for span in self._holidays) or day in public_holidays(day.year):
            return Day.HOLIDAY
        if day.weekday() >= 5:
            return Day.WEEKEND
        if any(span.first <= day <= span.last for span in self._settings.exam_weeks):
            return Day.EXAMS
        return Day.SCHOOL

    def _phase(self, kind: Day, hour: int) -> Phase:
        if kind is Day.HOLIDAY:
            return Phase.HOLIDAY
        if kind is Day.WEEKEND:
            return Phase.WEEKEND
        if hour < 6 or hour >= 23:
            return Phase.NIGHT
        if self._settings.lessons_from <= hour < self._settings.lessons_to:
            return Phase.EXAMS if kind is Day.EXAMS else Phase.LESSONS
        return Phase.EVENING if hour >= self._settings.lessons_to else Phase.NIGHT


def is_summer_time(hours: int) -> bool:
    """Whether summer time holds in an hour (number since 1970, UTC)."""
    year = date.fromordinal(_EPOCH + hours // 24).year
    return _changes(year, 3) <= hours < _changes(year, 10)


@lru_cache(maxsize=64)
def _changes(year: int, month: int) -> int:
    """The hour, since 1970 in UTC, of the last Sunday of a month of 31 days at 01:00 UTC."""
    last = date(year, month, 31)
    return (last.toordinal() - (last.weekday() + 1) % 7 - _EPOCH) * 24 + 1


@lru_cache(maxsize=64)
def easter(year: int) -> date:
    """Easter Sunday (Gregorian). Source: J. Meeus, Astronomical Algorithms, chapter 8."""
    century, of_century = divmod(year, 100)
    moon = (19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    shift = (year % 19 + 11 * moon + 22 * week) // 451
    month, day = divmod(moon + week - 7 * shift + 114, 31)
    return date(year, month, day + 1)


@lru_cache(maxsize=64)
def public_holidays(year: int) -> frozenset[date]:
    """Days on which Dutch schools are closed by law or custom, besides the holidays.

    New Year, Good Friday, Easter, King's Day (26 April if the 27th is a Sunday), Liberation Day, Ascension Day with
    the Friday after it, Whitsun, Christmas.
    """
    sunday = easter(year)
    king = date(year, 4, 27)
    fixed = {date(year, 1, 1), date(year, 5, 5), date(year, 12, 25), date(year, 12, 26)}
    moving = {sunday + timedelta(days=days) for days in (-2, 0, 1, 39, 40, 49, 50)}
    return frozenset(fixed | moving | {king - timedelta(days=1) if king.weekday() == 6 else king})


@lru_cache(maxsize=4)
def published(region: Region) -> tuple[Span, ...]:
    """The published holidays of a region."""
    text = files(__package__).joinpath("holidays.toml").read_text(encoding="utf-8")
    holidays = msgspec.convert(tomllib.loads(text), _Holidays).holiday
    spans = (getattr(holiday, region.value) for holiday in holidays)
    return tuple(Span(*span) for span in spans if span is not None)


def _without_overlap(published_spans: tuple[Span, ...], own: tuple[Span, ...]) -> tuple[Span, ...]:
    """Published spans save those that a school's own dates replace."""
    return tuple(
        span for span in published_spans if not any(span.first <= one.last and one.first <= span.last for one in own)
    )

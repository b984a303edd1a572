from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.behave.calendar import (
    Calendar,
    CalendarSettings,
    Day,
    Phase,
    Region,
    Span,
    easter,
    public_holidays,
    published,
)

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def at(year: int, month: int, day: int, hour: int = 10) -> float:
    """An hour at a Dutch school."""
    return datetime(year, month, day, hour, tzinfo=AMSTERDAM).timestamp()


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 12, 31), timezones=st.just(UTC)))
def test_the_hour_is_that_of_amsterdam(moment: datetime) -> None:
    local = moment.astimezone(AMSTERDAM)
    told = Calendar(CalendarSettings()).moment(moment.timestamp())
    assert (told.number, told.weekday, told.hour) == (local.date().toordinal(), local.weekday(), local.hour)


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (2024, date(2024, 3, 31)),
        (2025, date(2025, 4, 20)),
        (2026, date(2026, 4, 5)),
        (2027, date(2027, 3, 28)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter_is_on_its_sunday(year: int, sunday: date) -> None:
    assert easter(year) == sunday


def test_schools_are_closed_on_public_holidays() -> None:
    closed = public_holidays(2026)
    for day in (date(2026, 4, 6), date(2026, 4, 27), date(2026, 5, 14), date(2026, 5, 15), date(2026, 5, 25)):
        assert day in closed
    assert date(2026, 5, 13) not in closed


def test_kings_day_is_never_a_sunday() -> None:
    assert date(2025, 4, 26) in public_holidays(2025)
    assert date(2025, 4, 27) not in public_holidays(2025)


@pytest.mark.parametrize(
    ("moment", "day", "phase"),
    [
        (at(2026, 11, 24, 10), Day.SCHOOL, Phase.LESSONS),
        (at(2026, 11, 24, 19), Day.SCHOOL, Phase.EVENING),
        (at(2026, 11, 24, 2), Day.SCHOOL, Phase.NIGHT),
        (at(2026, 11, 28, 10), Day.WEEKEND, Phase.WEEKEND),
        (at(2026, 12, 23, 10), Day.HOLIDAY, Phase.HOLIDAY),
        (at(2026, 12, 26, 10), Day.HOLIDAY, Phase.HOLIDAY),
    ],
)
def test_an_hour_has_its_kind_of_day_and_phase(moment: float, day: Day, phase: Phase) -> None:
    told = Calendar(CalendarSettings()).moment(moment)
    assert (told.day, told.phase) == (day, phase)


def test_regions_have_holidays_of_their_own() -> None:
    kinds = {region: Calendar(CalendarSettings(region=region)).moment(at(2026, 7, 8)).day for region in Region}
    assert kinds == {Region.NORTH: Day.HOLIDAY, Region.MIDDLE: Day.SCHOOL, Region.SOUTH: Day.SCHOOL}


def test_a_school_s_own_dates_replace_those_of_its_region() -> None:
    own = Calendar(CalendarSettings(holidays=(Span(date(2026, 10, 10), date(2026, 10, 18)),)))
    assert own.moment(at(2026, 10, 13)).day is Day.HOLIDAY
    assert own.moment(at(2026, 10, 20)).day is Day.SCHOOL
    assert own.moment(at(2026, 12, 22)).day is Day.HOLIDAY


def test_exam_weeks_are_days_of_their_own_kind() -> None:
    exams = Calendar(CalendarSettings(exam_weeks=(Span(date(2027, 5, 10), date(2027, 5, 27)),)))
    assert exams.moment(at(2027, 5, 12)) == (date(2027, 5, 12).toordinal(), 2, 10, Day.EXAMS, Phase.EXAMS)
    assert exams.moment(at(2027, 5, 15)).day is Day.WEEKEND
    assert exams.moment(at(2027, 5, 17)).day is Day.HOLIDAY  # Whit Monday


@pytest.mark.parametrize("region", list(Region))
def test_published_holidays_run_from_saturday_to_sunday_and_do_not_overlap(region: Region) -> None:
    spans = sorted(published(region), key=lambda span: span.first)
    for span in spans:
        assert (span.first.weekday(), span.last.weekday()) == (5, 6)
        assert timedelta(days=8) <= span.last - span.first <= timedelta(days=43)
    assert all(one.last < other.first for one, other in pairwise(spans))

"""Periods (epochs) of pseudonyms: numbered without a gap, named as people write them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


class Period(StrEnum):
    """How long one key holds."""

    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


def number_of(period: Period, moment: datetime) -> int:
    """The number of the period that holds ``moment`` (aware)."""
    moment = moment.astimezone(UTC)
    match period:
        case Period.WEEK:
            return (moment.toordinal() - 1) // 7
        case Period.MONTH:
            return moment.year * 12 + moment.month - 1
        case Period.YEAR:
            return moment.year


def start_of(period: Period, number: int) -> datetime:
    """The first moment of a period; the last that a datetime can say where it lies beyond year 9999."""
    try:
        match period:
            case Period.WEEK:
                return _EPOCH + timedelta(days=7 * number)
            case Period.MONTH:
                return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
            case Period.YEAR:
                return datetime(number, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return _LAST


def name_of(period: Period, number: int) -> str:
    """``202611``, ``2026w48`` (ISO week) or ``2026``: it stands in every pseudonym that is a name."""
    start = start_of(period, number)
    match period:
        case Period.WEEK:
            year, week, _ = start.isocalendar()
            return f"{year}w{week:02}"
        case Period.MONTH:
            return f"{start.year}{start.month:02}"
        case Period.YEAR:
            return str(start.year)

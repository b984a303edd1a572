"""Times in a query. A time stands for the whole span that it names: ``2026-03-01`` is that day, in UTC.

``2026``, ``2026-03``, ``2026-03-01``, ``2026-03-01T10:15``, with seconds, with a fraction; ``Z`` or an offset such as
``+01:00``, else UTC. ``now``, ``now-15m``, ``now+1h``, ``now-7d/d``: units s, m, h, d, w; ``/`` makes it the whole
minute, hour or day that it lies in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_ISO = re.compile(
    r"""^(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})
        (?:T(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?)?
           (?P<zone>Z|[+-]\d{2}:?\d{2})?)?)?)?$""",
    re.VERBOSE,
)
_NOW = re.compile(r"^now(?P<steps>(?:[+-]\d{1,6}[smhdw])*)(?:/(?P<whole>[mhd]))?$")
_STEP = re.compile(r"([+-]\d{1,6})([smhdw])")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_INSTANT = timedelta(microseconds=1)


class Span(NamedTuple):
    """From ``start`` up to, not including, ``end``."""

    start: datetime
    end: datetime


def span(text: str, *, now: datetime) -> Span | None:
    """The span that a time names, or None if it is none."""
    try:
        return _of_now(text, now) or _of_iso(text)
    except (ValueError, OverflowError):
        return None


def _of_now(text: str, now: datetime) -> Span | None:
    found = _NOW.match(text)
    if found is None:
        return None
    moment = now.astimezone(UTC)
    for number, unit in _STEP.findall(found["steps"]):
        moment += int(number) * _UNITS[unit]
    if (whole := found["whole"]) is None:
        return Span(moment, moment + _INSTANT)
    start = moment.replace(second=0, microsecond=0)
    if whole in "hd":
        start = start.replace(minute=0)
    if whole == "d":
        start = start.replace(hour=0)
    return Span(start, start + _UNITS[whole])


def _of_iso(text: str) -> Span | None:
    found = _ISO.match(text)
    if found is None:
        return None
    fraction = (found["fraction"] or "")[:6]
    start = datetime(
        int(found["year"]),
        int(found["month"] or 1),
        int(found["day"] or 1),
        int(found["hour"] or 0),
        int(found["minute"] or 0),
        int(found["second"] or 0),
        int(fraction.ljust(6, "0")),
        tzinfo=datetime.strptime(zone, "%z").tzinfo if (zone := found["zone"]) else UTC,
    ).astimezone(UTC)
    if fraction:
        return Span(start, start + timedelta(microseconds=10 ** (6 - len(fraction))))
    for part, length in (("second", "s"), ("minute", "m"), ("hour", "h"), ("day", "d")):
        if found[part] is not None:
            return Span(start, start + _UNITS[length])
    month = int(found["month"] or 12)
    year = start.year + month // 12
    return Span(start, start.replace(year=year, month=month % 12 + 1))

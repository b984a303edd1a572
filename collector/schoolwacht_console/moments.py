"""Times as people and programs write them, always in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schoolwacht.errors import QueryError

_SPAN = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Window(NamedTuple):
    """A stretch of time: ``since`` included, ``until`` excluded; None leaves a side open."""

    since: datetime | None
    until: datetime | None


EVER = Window(None, None)


def window(since: str | None, until: str | None, last: str | None, *, now: datetime) -> Window:
    """The window that ``since`` and ``until``, or ``last``, name. Raises QueryError naming the parameter."""
    if last and (since or until):
        raise QueryError("goes with neither since nor until; give one or the other", field="last")
    if last:
        try:
            return Window(now - span(last), None)
        except OverflowError as error:
            raise QueryError("reaches back before the year 1", field="last") from error
    found = Window(
        moment(since, field="since") if since else None,
        moment(until, field="until") if until else None,
    )
    if found.since and found.until and found.since >= found.until:
        raise QueryError("must lie before until", field="since")
    return found


def span(text: str, *, field: str = "last") -> timedelta:
    """A length of time such as ``90s``, ``15m``, ``24h``, ``7d``, ``2w``. Raises QueryError."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or int(match["number"]) == 0:
        raise QueryError(f"{text!r} is no length of time; write 90s, 15m, 24h, 7d or 2w", field=field)
    return timedelta(seconds=int(match["number"]) * _UNITS[match["unit"]])


def moment(text: str, *, field: str) -> datetime:
    """A moment in ISO 8601 (``2026-09-01``, ``2026-09-01T08:30``, ``…+02:00``); without a zone it is UTC.

    Raises QueryError.
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"{text!r} is no moment; write 2026-09-01, 2026-09-01T08:30 or 2026-09-01T08:30:00Z (UTC)", field=field
        ) from error


def iso(when: datetime) -> str:
    """ISO 8601 in UTC ending in Z, with microseconds where there are any."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(when: datetime, *, now: datetime) -> str:
    """How long ago in plain words: ``just now``, ``4 min ago``, ``3 h ago``, ``12 days ago``."""
    seconds = (now - when).total_seconds()
    if seconds < -5:
        return "in the future"
    if seconds < 10:
        return "just now"
    if seconds < 100:
        return f"{seconds:.0f} s ago"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h ago"
    return f"{seconds / 86400:.0f} days ago"

"""Where a page of a search ends: the time and id of its last row, in an opaque token."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from schoolwacht.errors import QueryError
from schoolwacht_collector.index.port import Search
from schoolwacht_collector.query.check import check
from schoolwacht_collector.query.fields import Field, Type, field

#: Rows that one page holds at most, whatever the search asks.
PAGE_MAX = 5000


class Place(NamedTuple):
    """The place of a row in the order of a search: microseconds since 1970 and the row's id."""

    micros: int
    id: str


def token(place: Place) -> str:
    """The ``next`` of a page that ends at ``place``."""
    return base64.urlsafe_b64encode(f"{place.micros}.{place.id}".encode()).decode().rstrip("=")


def place(after: str) -> Place:
    """The place in a token. Raises QueryError if it is none of ours."""
    try:
        text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True).decode()
        micros, dot, name = text.partition(".")
        if dot and abs(number := int(micros)) < 1 << 62:
            return Place(number, name)
    except (binascii.Error, ValueError):
        pass
    raise QueryError("this is no page of a search: use the value of next as it was given", field="after")


def check_search(search: Search) -> None:
    """Raises QueryError unless every store can run this search and answer alike."""
    check(search.where)
    found = field(search.time_field)
    if found.type is not Type.DATE or found.many or found.wide:
        raise QueryError("rows cannot be ordered by this field: it holds no exact time", field=search.time_field)
    for name, moment in (("since", search.since), ("until", search.until)):
        if moment is not None and moment.tzinfo is None:
            raise QueryError("wants a time with its zone", field=name)


def check_tally(by: str) -> Field:
    """The field to count by. Raises QueryError unless it holds text."""
    found = field(by)
    if found.type is not Type.KEYWORD:
        raise QueryError("only text is counted by value", field=by)
    return found


def page_size(limit: int) -> int:
    """How many rows a page holds for a wanted ``limit``. Raises QueryError below one."""
    if limit < 1:
        raise QueryError("a page has one row at least", field="limit")
    return min(limit, PAGE_MAX)

"""What every page and every call of the API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from aiohttp import web
from jinja2 import Environment

from schoolwacht.errors import QueryError
from schoolwacht_collector.index.port import Scope, Store
from schoolwacht_collector.indicators.gate import Gate
from schoolwacht_console.lookup import MAX_PAGE, Directory
from schoolwacht_console.moments import Window, window

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Console:
    """The console's parts. ``now`` gives the time (aware, UTC); ``scope`` is what its users may see."""

    store: Store
    scope: Scope
    directory: Directory
    templates: Environment
    now: Callable[[], datetime]
    gate: Gate


CONSOLE: web.AppKey[Console] = web.AppKey("console", Console)


def choice(request: web.Request, name: str, of: type[Choice]) -> Choice | None:
    """A query parameter that names a member of ``of``; None if absent or blank. Raises QueryError."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return of(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is none of {', '.join(of)}", field=name) from error


def time_window(request: web.Request, *, now: datetime) -> Window:
    """The window named by the parameters ``since``, ``until`` and ``last``. Raises QueryError."""
    query = request.query
    return window(query.get("since"), query.get("until"), query.get("last"), now=now)


def page_size(request: web.Request, default: int) -> int:
    """The parameter ``limit``. Raises QueryError."""
    text = request.query.get("limit")
    if not text:
        return default
    # The length first: a number of thousands of digits costs time, and more than 4,300 are refused by int() itself.
    if not (len(text) <= len(str(MAX_PAGE)) and text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PAGE):
        raise QueryError(f"is a number from 1 to {MAX_PAGE}", field="limit")
    return int(text)

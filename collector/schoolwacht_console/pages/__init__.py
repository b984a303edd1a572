"""The pages: one file each, and one line each in this table.

A page is a coroutine of the request; its template lies in ``templates/``. The table's order is the navigation's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from schoolwacht_console.pages import agents, alert, alerts, search, tuning

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page(NamedTuple):
    """A page: where it is, what answers, and its name in the navigation (None: not in it)."""

    path: str
    answer: Handler
    label: str | None = None
    method: str = "GET"


PAGES = (
    Page("/", alerts.show, "Alerts"),
    Page("/search", search.show, "Search"),
    Page("/agents", agents.show, "Agents"),
    Page("/tuning", tuning.show, "Tuning"),
    Page("/tuning", tuning.add, method="POST"),
    Page("/tuning/{id}/end", tuning.end, method="POST"),
    Page("/alerts/{id}", alert.show),
    Page("/alerts/{id}/state", alert.change, method="POST"),
    Page("/alerts/{id}/snooze", alert.snooze, method="POST"),
)
NAVIGATION = tuple((page.path, page.label) for page in PAGES if page.label is not None)

"""The API below ``/api/v1``: JSON in and out, faults as problem+json. One line a call in :data:`ENDPOINTS`.

Rows keep their dotted ECS names (``"source.ip"``); times are ISO 8601 in UTC. A parameter that a call does not know is
refused, so that a slip of the pen never widens an answer. ``/openapi.json`` describes all of it and is made of the same
table (:mod:`.openapi`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct

from schoolwacht.errors import QueryError
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.indicators.seen import Sightings, at_schools, sightings_of
from schoolwacht_collector.prevalence.ask import KINDS
from schoolwacht_collector.records import Alert, AlertState, Indicator, RegisteredTest, Severity, Tuning
from schoolwacht_collector.tuning.report import TestReport
from schoolwacht_console import hush, ledgers, lookup
from schoolwacht_console.body import JSON, body_of
from schoolwacht_console.context import CONSOLE, choice, page_size, time_window
from schoolwacht_console.lookup import AlertFilter
from schoolwacht_console.problem import Problem
from schoolwacht_console.shapes import (
    Acceptance,
    Added,
    Agents,
    Alerts,
    AlertStory,
    Ending,
    Found,
    Indicators,
    IndicatorStory,
    LedgerView,
    NewIndicators,
    NewTest,
    NewTuning,
    RefusedIndicator,
    Seen,
    Snooze,
    StateChange,
    Tests,
    TuningPreview,
    Tunings,
)
from schoolwacht_console.triage import API_USER, change_alert, keep_indicators

PREFIX = "/api/v1"


class Parameter(NamedTuple):
    """A query parameter: its name, meaning and, where it is a closed set, its values."""

    name: str
    description: str
    values: tuple[str, ...] = ()


_PAGING = (
    Parameter("limit", f"how many, 1 to {lookup.MAX_PAGE}"),
    Parameter("after", "the `next` of the page before"),
)
_TIME = (
    Parameter("since", "from this moment on (ISO 8601, UTC unless it says otherwise)"),
    Parameter("until", "before this moment"),
    Parameter("last", "instead of both: the last 90s, 15m, 24h, 7d or 2w"),
)
_QUERY = Parameter("q", "a query in Lucene syntax over the rows' fields; everything if absent")


async def search(request: web.Request) -> Found:
    """Search events, signals, alerts or indicators."""
    console = request.app[CONSOLE]
    kind = choice(request, "kind", Kind) or Kind.EVENT
    if kind not in lookup.SEARCHABLE:
        raise QueryError(f"{kind.value!r} is none of {', '.join(lookup.SEARCHABLE)}", field="kind")
    found = await lookup.find(
        console.store,
        console.scope,
        kind,
        request.query.get("q", ""),
        time_window(request, now=console.now()),
        limit=page_size(request, lookup.PAGE),
        after=request.query.get("after") or None,
    )
    return Found(found.rows, found.next, found.missing)


async def list_alerts(request: web.Request) -> Alerts:
    """List alerts. Times bound an alert's last change."""
    console = request.app[CONSOLE]
    wanted = AlertFilter(
        state=choice(request, "state", AlertState),
        severity=choice(request, "severity", Severity),
        school=request.query.get("school", ""),
        board=request.query.get("board", ""),
        query=request.query.get("q", ""),
        window=time_window(request, now=console.now()),
    )
    order = request.query.get("order") or "severity"
    if order not in _ORDERS:
        raise QueryError(f"{order!r} is none of {', '.join(_ORDERS)}", field="order")
    found = await lookup.alerts(
        console.store,
        console.scope,
        console.directory,
        wanted,
        by_severity=order == "severity",
        limit=page_size(request, lookup.PAGE),
        after=request.query.get("after") or None,
    )
    return Alerts(found.alerts, found.next)


async def show_alert(request: web.Request) -> AlertStory:
    """One alert with its signals and the traffic around it."""
    console = request.app[CONSOLE]
    found = await lookup.alert(console.store, console.scope, request.match_info["id"])
    if found is None:
        raise Problem(404, "there is no alert of that id")
    story = await lookup.story(console.store, console.scope, found)
    return AlertStory(story.alert, story.signals, story.connections, story.host)


async def change_state(request: web.Request) -> Alert:
    """Acknowledge, close or reopen an alert."""
    change = await body_of(request, StateChange)
    return await change_alert(
        request.app[CONSOLE], request.match_info["id"], change.state, reason=change.reason, by=change.by or API_USER
    )


async def list_agents(request: web.Request) -> Agents:
    """List agents and their counters."""
    console = request.app[CONSOLE]
    found = await lookup.agents(
        console.store,
        console.scope,
        query=request.query.get("q", ""),
        limit=page_size(request, lookup.PAGE),
        after=request.query.get("after") or None,
    )
    missing = await ledgers.unbalanced(console.store, console.scope, [agent.id for agent in found.agents])
    return Agents([ledgers.view_of(agent, missing.get(agent.id)) for agent in found.agents], found.next)


async def show_ledger(request: web.Request) -> LedgerView:
    """What an agent saw, kept and sent by day, what became of it, and what is not accounted for."""
    console = request.app[CONSOLE]
    return _there(await ledgers.show(console.store, console.scope, request.match_info["id"]))


async def accept_ledger(request: web.Request) -> LedgerView:
    """Take what is missing in an agent's ledger as looked into, with the reason."""
    console = request.app[CONSOLE]
    given = await body_of(request, Acceptance)
    name = request.match_info["id"]
    return _there(
        await ledgers.accept(console.store, console.scope, name, reason=given.reason, by=given.by or API_USER)
    )


def _there(view: LedgerView | None) -> LedgerView:
    if view is None:
        raise Problem(404, "there is no agent of that name")
    return view


async def seen(request: web.Request) -> Seen:
    """Since when, and at how many schools and boards, a value is known."""
    console = request.app[CONSOLE]
    value = request.query.get("value", "").strip()
    if not value:
        raise QueryError("is needed: a domain, an address, a fingerprint, a certificate or a user agent", field="value")
    kind = request.query.get("kind") or None
    if kind is not None and kind not in KINDS:
        raise QueryError(f"{kind!r} is none of {', '.join(KINDS)}", field="kind")
    return Seen(await lookup.seen(console.store, console.scope, value, kind))


async def list_indicators(request: web.Request) -> Indicators:
    """List indicators."""
    console = request.app[CONSOLE]
    page = await console.store.search(
        Search(
            Kind.INDICATOR,
            lookup.where(request.query.get("q", "")),
            # Indicators are the sector's: they carry no board and every scope may see them.
            SECTOR,
            limit=page_size(request, lookup.PAGE),
            after=request.query.get("after") or None,
        )
    )
    found = [msgspec.convert(row, Indicator) for row in page.rows]
    return Indicators(found, await sightings_of(console.store, [each.id for each in found]), page.next)


async def show_indicator(request: web.Request) -> IndicatorStory:
    """One indicator and where it was seen."""
    console = request.app[CONSOLE]
    found = await console.store.get(Kind.INDICATOR, request.match_info["id"])
    if found is None or not isinstance(found.record, Indicator):
        raise Problem(404, "there is no indicator of that id")
    seen = await sightings_of(console.store, [found.record.id])
    schools = await at_schools(console.store, found.record.id)
    return IndicatorStory(found.record, seen.get(found.record.id, Sightings()), schools)


async def add_indicators(request: web.Request) -> Added:
    """Add indicators; one that is there already is replaced."""
    wanted = await body_of(request, NewIndicators)
    done = await keep_indicators(
        request.app[CONSOLE], wanted.indicators, force=wanted.force, reason=wanted.reason, by=wanted.by
    )
    return Added(done.kept, [RefusedIndicator(each.type, each.value, why) for each, why in done.refused])


class Endpoint(NamedTuple):
    """A call: where it is, what answers, what it takes and what it gives."""

    method: str
    path: str
    answer: Callable[[web.Request], Awaitable[Struct]]
    reply: type[Struct]
    parameters: tuple[Parameter, ...] = ()
    body: type[Struct] | None = None


_ORDERS = ("severity", "time")
ENDPOINTS = (
    Endpoint(
        "GET",
        "/search",
        search,
        Found,
        (_QUERY, Parameter("kind", "what to search", tuple(lookup.SEARCHABLE)), *_TIME, *_PAGING),
    ),
    Endpoint(
        "GET",
        "/alerts",
        list_alerts,
        Alerts,
        (
            Parameter("state", "only alerts in this state", tuple(AlertState)),
            Parameter("severity", "only alerts of this severity", tuple(Severity)),
            Parameter("school", "a location such as 00AA00, or a part of a school's name"),
            Parameter("board", "a board's number"),
            Parameter("order", "gravest first (the default) or latest change first", _ORDERS),
            _QUERY,
            *_TIME,
            *_PAGING,
        ),
    ),
    Endpoint("GET", "/alerts/{id}", show_alert, AlertStory),
    Endpoint("POST", "/alerts/{id}/state", change_state, Alert, body=StateChange),
    Endpoint("POST", "/alerts/{id}/snooze", hush.snooze_alert, Alert, body=Snooze),
    Endpoint(
        "GET",
        "/tuning",
        hush.list_tunings,
        Tunings,
        (Parameter("in_force", "only rules that nobody has ended, or only those that were", ("yes", "no")), *_PAGING),
    ),
    Endpoint("POST", "/tuning", hush.add_tuning, Tuning, body=NewTuning),
    Endpoint("POST", "/tuning/preview", hush.preview_tuning, TuningPreview, body=NewTuning),
    Endpoint("POST", "/tuning/{id}/end", hush.end_tuning, Tuning, body=Ending),
    Endpoint("GET", "/tests", hush.list_tests, Tests, _PAGING),
    Endpoint("POST", "/tests", hush.add_test, RegisteredTest, body=NewTest),
    Endpoint("GET", "/tests/{id}/report", hush.report_test, TestReport),
    Endpoint("GET", "/agents", list_agents, Agents, (_QUERY, *_PAGING)),
    Endpoint("GET", "/agents/{id}/ledger", show_ledger, LedgerView),
    Endpoint("POST", "/agents/{id}/ledger/accept", accept_ledger, LedgerView, body=Acceptance),
    Endpoint(
        "GET",
        "/seen",
        seen,
        Seen,
        (Parameter("value", "what was seen, such as example.org"), Parameter("kind", "only as this", KINDS)),
    ),
    Endpoint("GET", "/indicators", list_indicators, Indicators, (_QUERY, *_PAGING)),
    Endpoint("GET", "/indicators/{id}", show_indicator, IndicatorStory),
    Endpoint("POST", "/indicators", add_indicators, Added, body=NewIndicators),
)


def handler(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The endpoint as aiohttp calls it."""
    known = frozenset(parameter.name for parameter in endpoint.parameters)

    async def answer(request: web.Request) -> web.Response:
        for name in request.query:
            if name not in known:
                raise QueryError("is no parameter of this call; /api/v1/openapi.json lists them", field=name)
        reply = await endpoint.answer(request)
        return web.Response(body=msgspec.json.encode(reply), content_type=JSON)

    return answer

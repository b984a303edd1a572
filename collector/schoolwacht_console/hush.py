"""Calls of the API about tuning rules, snoozes and registered tests (:mod:`schoolwacht_collector.tuning`)."""

from __future__ import annotations

import msgspec
from aiohttp import web
from msgspec import structs

from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.query.ast import All, Exists, Node, Not
from schoolwacht_collector.records import Alert, RegisteredTest, Tuning
from schoolwacht_collector.tuning import change
from schoolwacht_collector.tuning.report import TestReport, report
from schoolwacht_console import lookup
from schoolwacht_console.body import body_of
from schoolwacht_console.context import CONSOLE, Console, page_size
from schoolwacht_console.problem import Problem
from schoolwacht_console.shapes import (
    Ending,
    NewTest,
    NewTuning,
    Snooze,
    Tests,
    TuningPreview,
    Tunings,
)
from schoolwacht_console.triage import API_USER


def made_of(console: Console, wanted: NewTuning, *, by: str) -> Tuning:
    """The checked rule that somebody asked for. Raises TuningError."""
    given = structs.asdict(wanted)
    criteria = {name: given[name] for name in ("rule", "school", "board", "entity", "network", "destination")}
    return change.make_tuning(by=by, reason=wanted.reason, until=wanted.until, now=console.now(), criteria=criteria)


async def list_tunings(request: web.Request) -> Tunings:
    """List tuning rules, the latest change first."""
    console = request.app[CONSOLE]
    wanted = request.query.get("in_force", "")
    if wanted not in ("", "yes", "no"):
        raise Problem(400, "is yes or no", field="in_force")
    node: Node = All()
    if wanted:
        ended = Exists("tuning.ended_at")
        node = Not(ended) if wanted == "yes" else ended
    search = Search(
        Kind.TUNING, node, SECTOR, limit=page_size(request, lookup.PAGE), after=request.query.get("after") or None
    )
    page = await console.store.search(search)
    return Tunings([msgspec.convert(row, Tuning) for row in page.rows], page.next)


async def add_tuning(request: web.Request) -> Tuning:
    """Hide alerts by a rule: they are kept and counted, and nobody is told."""
    console = request.app[CONSOLE]
    wanted = await body_of(request, NewTuning)
    return await change.add(console.store, made_of(console, wanted, by=wanted.by or API_USER))


async def preview_tuning(request: web.Request) -> TuningPreview:
    """How many alerts of the last 30 days a rule would have hidden; nothing changes."""
    console = request.app[CONSOLE]
    wanted = await body_of(request, NewTuning)
    found = await change.preview(console.store, made_of(console, wanted, by=API_USER), now=console.now())
    return TuningPreview(found.alerts, found.hidden, found.latest)


async def end_tuning(request: web.Request) -> Tuning:
    """End a tuning rule: what it hid and is still open comes back."""
    console = request.app[CONSOLE]
    wanted = await body_of(request, Ending)
    name = request.match_info["id"]
    return await change.end(console.store, name, by=wanted.by or API_USER, reason=wanted.reason, now=console.now())


async def snooze_alert(request: web.Request) -> Alert:
    """Tell nobody of an alert until a moment; without one, tell again at once."""
    console = request.app[CONSOLE]
    wanted = await body_of(request, Snooze)
    name = request.match_info["id"]
    if await lookup.alert(console.store, console.scope, name) is None:
        raise Problem(404, "there is no alert of that id")
    return await change.snooze(
        console.store, name, until=wanted.until, by=wanted.by or API_USER, reason=wanted.reason, now=console.now()
    )


async def list_tests(request: web.Request) -> Tests:
    """List registered tests, the latest first."""
    console = request.app[CONSOLE]
    search = Search(
        Kind.TEST, All(), SECTOR, limit=page_size(request, lookup.PAGE), after=request.query.get("after") or None
    )
    page = await console.store.search(search)
    return Tests([msgspec.convert(row, RegisteredTest) for row in page.rows], page.next)


async def add_test(request: web.Request) -> RegisteredTest:
    """Register a test: what it sets off is marked, and nobody is told."""
    console = request.app[CONSOLE]
    wanted = await body_of(request, NewTest)
    return await change.register(
        console.store,
        name=wanted.name,
        by=wanted.by or API_USER,
        since=wanted.since,
        until=wanted.until,
        now=console.now(),
        sources=wanted.sources,
        schools=wanted.schools,
        expected=wanted.expected,
    )


async def report_test(request: web.Request) -> TestReport:
    """What a registered test set off, and what it should have set off and did not."""
    console = request.app[CONSOLE]
    return await report(console.store, request.match_info["id"], now=console.now())

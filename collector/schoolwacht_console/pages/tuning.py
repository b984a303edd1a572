"""``/tuning``: rules that hide alerts. A new one is tried over the last 30 days first, then put in force."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec
from aiohttp import web

from schoolwacht.errors import QueryError
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import RegisteredTest, Tuning
from schoolwacht_collector.tuning import change
from schoolwacht_collector.tuning.change import TuningError
from schoolwacht_collector.tuning.rule import in_force
from schoolwacht_console.context import CONSOLE, Console
from schoolwacht_console.moments import moment
from schoolwacht_console.pages.form import form_of
from schoolwacht_console.rendering import page
from schoolwacht_console.triage import CONSOLE_USER

CRITERIA = ("rule", "school", "board", "entity", "network", "destination")
_FIELDS = (*CRITERIA, "until", "reason")
_SHOWN = 200
_USUAL = timedelta(days=90)


async def show(request: web.Request) -> web.Response:
    """The rules and a form, which the address may fill in (``/tuning?rule=D02&school=00AA00``)."""
    console = request.app[CONSOLE]
    form = {name: request.query.get(name, "").strip() for name in _FIELDS}
    form["until"] = form["until"] or (console.now() + _USUAL).date().isoformat()
    return await _page(console, form)


async def add(request: web.Request) -> web.StreamResponse:
    """Try a rule, or put it in force; a fault is answered with the form and status 422."""
    console = request.app[CONSOLE]
    given = await form_of(request)
    form = {name: given.get(name, "").strip() for name in _FIELDS}
    now = console.now()
    try:
        tuning = change.make_tuning(
            by=CONSOLE_USER,
            reason=form["reason"],
            until=moment(form["until"], field="until"),
            now=now,
            criteria={name: form[name] for name in CRITERIA},
        )
    except (TuningError, QueryError) as error:
        return await _page(console, form, fault=str(error), status=422)
    if given.get("do") != "add":
        return await _page(console, form, preview=await change.preview(console.store, tuning, now=now))
    await change.add(console.store, tuning)
    raise web.HTTPSeeOther("/tuning")


async def end(request: web.Request) -> web.StreamResponse:
    """End a rule; then back to the list."""
    console = request.app[CONSOLE]
    form = await form_of(request)
    name = request.match_info["id"]
    await change.end(console.store, name, by=CONSOLE_USER, reason=form.get("reason", ""), now=console.now())
    raise web.HTTPSeeOther("/tuning")


async def _page(
    console: Console, form: Mapping[str, str], *, fault: str = "", preview: object = None, status: int = 200
) -> web.Response:
    now = console.now()
    rows = (await console.store.search(Search(Kind.TUNING, All(), SECTOR, limit=_SHOWN))).rows
    tunings = [msgspec.convert(row, Tuning) for row in rows]
    tests = (await console.store.search(Search(Kind.TEST, All(), SECTOR, limit=_SHOWN))).rows
    context = {
        "form": form,
        "fault": fault,
        "preview": preview,
        "present": [each for each in tunings if in_force(each, now)],
        "past": [each for each in tunings if not in_force(each, now)],
        "tests": [msgspec.convert(row, RegisteredTest) for row in tests],
        "criteria": CRITERIA,
        "schools": await console.directory.schools(),
        "here": "/tuning",
        "now": now,
    }
    return page(console.templates, "tuning.html", context, status=status)

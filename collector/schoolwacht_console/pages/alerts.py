"""``/``: the list of alerts, with filters, counts and paging."""

from __future__ import annotations

from aiohttp import web

from schoolwacht.errors import QueryError
from schoolwacht_collector.records import AlertState, Severity
from schoolwacht_console import lookup
from schoolwacht_console.context import CONSOLE, Console, choice, time_window
from schoolwacht_console.lookup import AlertFilter, AlertPage
from schoolwacht_console.rendering import link, page

_FORM = ("state", "severity", "school", "board", "last", "since", "until", "q", "order")
_EMPTY = AlertPage([], None)


async def show(request: web.Request) -> web.Response:
    """The list. A query that cannot be understood is answered with the form, the fault beside it and status 400."""
    console = request.app[CONSOLE]
    form = {name: request.query.get(name, "").strip() for name in _FORM}
    form["state"] = form["state"] or AlertState.OPEN.value
    context = {"form": form, "here": "/", "now": console.now(), "fault": None, "next": None} | await _schools(console)
    try:
        context |= await _listing(request, console, form)
    except QueryError as error:
        context |= {"fault": str(error), "alerts": [], "counts": None, "grave": None}
        return page(console.templates, "alerts.html", context, status=400)
    return page(console.templates, "alerts.html", context)


async def _listing(request: web.Request, console: Console, form: dict[str, str]) -> dict[str, object]:
    wanted = AlertFilter(
        state=None if form["state"] == "all" else choice_of_state(form["state"]),
        severity=choice(request, "severity", Severity),
        school=form["school"],
        board=form["board"],
        query=form["q"],
        window=time_window(request, now=console.now()),
    )
    store, scope, directory = console.store, console.scope, console.directory
    found = await lookup.alerts(
        store,
        scope,
        directory,
        wanted,
        by_severity=form["order"] != "time",
        after=request.query.get("after") or None,
    )
    everywhere = wanted._replace(state=None)
    counts = await lookup.count_alerts(store, scope, directory, everywhere, by="alert.state")
    every_severity = wanted._replace(severity=None)
    grave = await lookup.count_alerts(store, scope, directory, every_severity, by="alert.severity")
    following = link("/", **form, after=found.next) if found.next else None
    return {"alerts": found.alerts, "counts": counts, "grave": grave, "next": following}


def choice_of_state(text: str) -> AlertState:
    """The state of that name. Raises QueryError."""
    try:
        return AlertState(text)
    except ValueError as error:
        raise QueryError(f"{text!r} is none of {', '.join(AlertState)}, all", field="state") from error


async def _schools(console: Console) -> dict[str, object]:
    return {"schools": await console.directory.schools()}

"""``/alerts/{id}``: one alert with all its facts, its signals and the traffic around it; and its change of state."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import quote

from aiohttp import web
from yarl import URL

from schoolwacht_collector.correlate.sector import elsewhere
from schoolwacht_collector.records import Alert
from schoolwacht_collector.tuning.change import snooze as change_snooze
from schoolwacht_console import lookup
from schoolwacht_console.context import CONSOLE
from schoolwacht_console.evidence import evidence_of
from schoolwacht_console.pages.alerts import choice_of_state
from schoolwacht_console.pages.form import form_of
from schoolwacht_console.problem import Problem
from schoolwacht_console.rendering import page
from schoolwacht_console.triage import CONSOLE_USER, change_alert

_TECHNIQUE = re.compile(r"(?P<main>T\d{4})(?:\.(?P<sub>\d{3}))?")


async def show(request: web.Request) -> web.Response:
    """The alert's page; 404 if there is none in sight."""
    console = request.app[CONSOLE]
    found = await lookup.alert(console.store, console.scope, request.match_info["id"])
    if found is None:
        raise Problem(404, "there is no alert of that id")
    story = await lookup.story(console.store, console.scope, found)
    rows = await lookup.evidence(console.store, console.scope, found, story.signals)
    context = {
        "story": story,
        "evidence": [evidence_of(row) for row in rows],
        "alert": found,
        "elsewhere": await elsewhere(console.store, found),
        "seen": await lookup.seen(console.store, console.scope, found.indicator_name or found.entity),
        "techniques": techniques(found),
        "schools": await console.directory.schools(),
        "here": "/",
        "now": console.now(),
    }
    return page(console.templates, "alert.html", context)


async def change(request: web.Request) -> web.StreamResponse:
    """Acknowledge, close or reopen it, as the form says; then back to its page."""
    console = request.app[CONSOLE]
    form = await form_of(request)
    if "state" not in form:
        raise Problem(400, "the form has no state")
    state, reason = form["state"], form.get("reason", "")
    id = request.match_info["id"]  # noqa: A001 - the field's name everywhere
    await change_alert(console, id, choice_of_state(state), reason=reason, by=CONSOLE_USER)
    raise web.HTTPSeeOther(URL(f"/alerts/{quote(id, safe='')}", encoded=True))


async def snooze(request: web.Request) -> web.StreamResponse:
    """Tell nobody of it for the hours that the form says (0: tell again); then back to its page."""
    console = request.app[CONSOLE]
    form = await form_of(request)
    hours = form.get("hours", "")
    if not (hours.isascii() and hours.isdigit() and len(hours) <= 4):
        raise Problem(400, "is a number of hours", field="hours")
    id = request.match_info["id"]  # noqa: A001 - the field's name everywhere
    if await lookup.alert(console.store, console.scope, id) is None:
        raise Problem(404, "there is no alert of that id")
    now = console.now()
    until = now + timedelta(hours=int(hours)) if int(hours) else None
    await change_snooze(console.store, id, until=until, by=CONSOLE_USER, reason=form.get("reason", ""), now=now)
    raise web.HTTPSeeOther(URL(f"/alerts/{quote(id, safe='')}", encoded=True))


def techniques(of: Alert) -> list[tuple[str, str | None]]:
    """Each ATT&CK technique as text and, where its id is one, the address of its description at MITRE."""
    found: list[tuple[str, str | None]] = []
    for place, technique in enumerate(of.technique_id):
        name = of.technique_name[place] if place < len(of.technique_name) else ""
        match = _TECHNIQUE.fullmatch(technique)
        url = None
        if match is not None:
            url = "/".join(
                part for part in ("https://attack.mitre.org/techniques", match["main"], match["sub"]) if part
            )
        found.append((f"{technique} {name}".strip(), url))
    return found

"""``/alerts/{id}``: one alert with all its facts, its signals and the traffic around it; and its change of state."""

from __future__ import annotations

import re
from urllib.parse import quote

from aiohttp import web
from multidict import MultiDictProxy
from yarl import URL

from schoolwacht_collector.records import Alert
from schoolwacht_console import lookup
from schoolwacht_console.context import CONSOLE
from schoolwacht_console.evidence import evidence_of
from schoolwacht_console.pages.alerts import choice_of_state
from schoolwacht_console.problem import Problem, reading_body
from schoolwacht_console.rendering import page
from schoolwacht_console.triage import CONSOLE_USER, change_alert

_FORM = "application/x-www-form-urlencoded"
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
        "techniques": techniques(found),
        "schools": await console.directory.schools(),
        "here": "/",
        "now": console.now(),
    }
    return page(console.templates, "alert.html", context)


async def change(request: web.Request) -> web.StreamResponse:
    """Acknowledge, close or reopen it, as the form says; then back to its page."""
    console = request.app[CONSOLE]
    form = await _form(request)
    state, reason = form.get("state"), form.get("reason", "")
    if not isinstance(state, str) or not isinstance(reason, str):
        raise Problem(400, "the form has no state")
    id = request.match_info["id"]  # noqa: A001 - the field's name everywhere
    await change_alert(console, id, choice_of_state(state), reason=reason, by=CONSOLE_USER)
    raise web.HTTPSeeOther(URL(f"/alerts/{quote(id, safe='')}", encoded=True))


async def _form(request: web.Request) -> MultiDictProxy[str | bytes | bytearray | web.FileField]:
    if request.content_type != _FORM:
        raise Problem(415, f"the form must be {_FORM}")
    try:
        with reading_body():
            return await request.post()
    except (LookupError, UnicodeError) as error:  # a charset that there is not, or text that is not in it
        raise Problem(400, "the form is no text") from error


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

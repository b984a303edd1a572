"""``/search``: a query in Lucene syntax over every event or signal, each row expandable to its whole document."""

from __future__ import annotations

from aiohttp import web

from schoolwacht.errors import QueryError
from schoolwacht_collector.index.port import Kind
from schoolwacht_console import lookup
from schoolwacht_console.context import CONSOLE, time_window
from schoolwacht_console.rendering import link, page

_FORM = ("q", "kind", "last", "since", "until")
_KINDS = (Kind.EVENT, Kind.SIGNAL)
_DEFAULT_LAST = "24h"
ROWS = 50


async def show(request: web.Request) -> web.Response:
    """The form and, once it was sent, what was found. A query that cannot be understood is answered with status 400."""
    console = request.app[CONSOLE]
    form = {name: request.query.get(name, "").strip() for name in _FORM}
    asked = bool(request.query)
    if not asked:
        form["last"] = _DEFAULT_LAST
    context: dict[str, object] = {
        "form": form,
        "kinds": _KINDS,
        "asked": asked,
        "rows": [],
        "next": None,
        "missing": (),
        "fault": None,
        "here": "/search",
        "now": console.now(),
        "schools": await console.directory.schools(),
    }
    if not asked:
        return page(console.templates, "search.html", context)
    try:
        kind = _kind(form["kind"])
        window = time_window(request, now=console.now())
        after = request.query.get("after") or None
        found = await lookup.find(console.store, console.scope, kind, form["q"], window, limit=ROWS, after=after)
    except QueryError as error:
        return page(console.templates, "search.html", context | {"fault": str(error)}, status=400)
    following = link("/search", **form, after=found.next) if found.next else None
    return page(
        console.templates, "search.html", context | {"rows": found.rows, "next": following, "missing": found.missing}
    )


def _kind(text: str) -> Kind:
    if not text:
        return Kind.EVENT
    if text not in _KINDS:
        raise QueryError(f"{text!r} is none of {', '.join(_KINDS)}", field="kind")
    return Kind(text)

"""``/agents``: every agent, when it was last heard of and what it has delivered."""

from __future__ import annotations

from datetime import timedelta

from aiohttp import web

from schoolwacht.errors import QueryError
from schoolwacht_console import ledgers, lookup
from schoolwacht_console.context import CONSOLE
from schoolwacht_console.rendering import link, page

#: An agent that was not heard of for so long is marked: it says how it is far more often.
SILENT = timedelta(minutes=10)


async def show(request: web.Request) -> web.Response:
    """The list, latest change first."""
    console = request.app[CONSOLE]
    query = request.query.get("q", "").strip()
    context: dict[str, object] = {
        "query": query,
        "here": "/agents",
        "now": console.now(),
        "silent": console.now() - SILENT,
        "fault": None,
        "next": None,
    }
    try:
        after = request.query.get("after") or None
        found = await lookup.agents(console.store, console.scope, query=query, after=after)
    except QueryError as error:
        return page(console.templates, "agents.html", context | {"agents": [], "fault": str(error)}, status=400)
    missing = await ledgers.unbalanced(console.store, console.scope, [agent.id for agent in found.agents])
    context |= {"missing": missing}
    following = link("/agents", q=query, after=found.next) if found.next else None
    return page(console.templates, "agents.html", context | {"agents": found.agents, "next": following})

"""``/agents``: every agent, when it was last heard of and what it has delivered."""

from __future__ import annotations

from aiohttp import web

from schoolwacht.errors import QueryError
from schoolwacht_console import ledgers, lookup
from schoolwacht_console.context import CONSOLE
from schoolwacht_console.rendering import link, page


async def show(request: web.Request) -> web.Response:
    """The list, latest change first."""
    console = request.app[CONSOLE]
    query = request.query.get("q", "").strip()
    context: dict[str, object] = {"query": query, "here": "/agents", "now": console.now(), "fault": None, "next": None}
    try:
        after = request.query.get("after") or None
        found = await lookup.agents(console.store, console.scope, query=query, after=after)
    except QueryError as error:
        return page(console.templates, "agents.html", context | {"agents": [], "fault": str(error)}, status=400)
    missing = await ledgers.unbalanced(console.store, console.scope, [agent.id for agent in found.agents])
    context |= {"missing": missing}
    following = link("/agents", q=query, after=found.next) if found.next else None
    return page(console.templates, "agents.html", context | {"agents": found.agents, "next": following})

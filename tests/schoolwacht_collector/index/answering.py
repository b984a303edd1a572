"""A server that speaks just enough of Elasticsearch's HTTP to give answers that a healthy one cannot be made to give.

Only for faults (overload, proxies, partial answers); everything else is tested on the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec
from aiohttp import web

from schoolwacht_collector.index.elasticsearch import ElasticsearchStore
from schoolwacht_collector.index.settings import ElasticsearchSettings

#: A status and a body: an object sent as JSON, or text sent as it is. None hangs up without an answer.
Answer: TypeAlias = tuple[int, Any] | None
#: What to answer to a bulk request with these ids.
Script: TypeAlias = Callable[[list[str]], Answer]


class Answering:
    """Answers bulk requests by a script and remembers the ids of each."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[list[str]] = []
        self.running = 0
        self.most_running = 0

    async def bulk(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        lines = (await request.read()).splitlines()
        ids = [msgspec.json.decode(line)["create"]["_id"] for line in lines[::2]]
        self.requests.append(ids)
        await asyncio.sleep(0.01)
        self.running -= 1
        answer = self.script(ids)
        headers = {"X-Elastic-Product": "Elasticsearch"}
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, body = answer
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)


def item(status: int, kind: str | None = None, reason: str = "") -> dict[str, Any]:
    """What a bulk answer says of one item."""
    error = {} if kind is None else {"error": {"type": kind, "reason": reason}}
    return {"create": {"status": status, **error}}


@asynccontextmanager
async def answering(script: Script, **settings: Any) -> AsyncIterator[tuple[ElasticsearchStore, Answering]]:
    """A store whose cluster is the script."""
    server = Answering(script)
    application = web.Application(client_max_size=64 << 20)
    application.router.add_route("*", "/_bulk", server.bulk)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    store = ElasticsearchStore(ElasticsearchSettings(urls=(f"http://{host}:{port}",), **settings))
    try:
        yield store, server
    finally:
        await store.close()
        await runner.cleanup()

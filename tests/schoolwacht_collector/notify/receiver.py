"""A CERT's receiver: a real HTTP server on loopback that behaves as a test tells it to, and checks every signature."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook as Oracle

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


@dataclass
class Receiver:
    """What arrived, in order, and how to answer: ``answer`` is asked for each request, in its order."""

    answer: Callable[[int], web.StreamResponse | float | None] = field(default=lambda _: None)
    ids: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    busy: int = 0
    busiest: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check, note, and answer: with a response, late by so many seconds, or (None) with 204."""
        body = await request.text()
        Oracle(SECRET).verify(body, dict(request.headers))
        place = len(self.ids)
        self.ids.append(request.headers["webhook-id"])
        self.bodies.append(json.loads(body))
        self.headers.append(dict(request.headers))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            told = self.answer(place)
            if isinstance(told, float):
                if told < 0:
                    assert request.transport is not None
                    request.transport.abort()  # hangs up after it has read everything
                await asyncio.sleep(abs(told))
                told = None
            else:
                await asyncio.sleep(0.005)
            return told if told is not None else web.Response(status=204)
        finally:
            self.busy -= 1


@asynccontextmanager
async def receiving(receiver: Receiver, *, port: int = 0) -> AsyncIterator[Receiver]:
    """Serve on loopback until the block ends."""
    application = web.Application()
    application.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, bound = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{bound}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()

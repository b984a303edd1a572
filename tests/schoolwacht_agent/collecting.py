"""A small collector for tests: a real HTTP server that speaks the real wire, with faults by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from schoolwacht.errors import WireError
from schoolwacht.event import Event
from schoolwacht.wire import (
    BATCH_TYPE,
    LIMITS,
    REPLY_TYPE,
    VERSION,
    Decoded,
    Reply,
    Verdict,
    decode_batch,
    encode_event,
    encode_reply,
)

Fault = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
Judge = Callable[[Event], tuple[Verdict, str]]


def status(code: int, **headers: str) -> Fault:
    """Answer with a status and problem details."""

    async def answer(request: web.Request, frame: bytes) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response({"detail": f"scripted {code}"}, status=code, headers=named)

    return answer


async def cut_after_the_batch(request: web.Request, frame: bytes) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_in_the_reply(request: web.Request, frame: bytes) -> web.StreamResponse:
    """Promise a long answer and close after its beginning."""
    response = web.StreamResponse(headers={"Content-Length": "100", "Content-Type": REPLY_TYPE})
    await response.prepare(request)
    await response.write(b"\x82")
    assert request.transport is not None
    request.transport.abort()
    return response


class StubCollector:
    """Takes batches; ``script`` is used up first, a fault a request. What was stored is ``events``."""

    def __init__(self, key: str = "gw.secret") -> None:
        self.key = key
        self.script: list[Fault] = []
        self.judge: Judge = lambda _: (Verdict.DELIVERED, "")
        self.retry_after: float | None = None
        self.unreadable: Callable[[Event], bool] = lambda _: False
        self.events: dict[tuple[str, int], Event] = {}
        self.order: list[Event] = []
        self.requests = 0
        self.sizes: list[int] = []
        self.agents: set[str] = set()
        self.url = ""
        self.asked = asyncio.Event()
        self.paused = asyncio.Event()
        self.paused.set()

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.asked.set()
        assert request.content_type == BATCH_TYPE
        self.agents.add(request.headers["User-Agent"])
        frame = await request.read()
        await self.paused.wait()
        if self.script:
            return await self.script.pop(0)(request, frame)
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return await status(401)(request, frame)
        try:
            batch = decode_batch(frame)
        except WireError as error:
            return web.json_response({"detail": error.message}, status=400)
        if any(event is not None and self.unreadable(event) for event in batch.events):
            return await status(400)(request, frame)
        return web.Response(body=encode_reply(self._store(batch)), content_type=REPLY_TYPE)

    def _store(self, batch: Decoded) -> Reply:
        self.sizes.append(len(batch.events))
        verdicts, reasons = [], {}
        for place, (sequence, event) in enumerate(zip(batch.sequences, batch.events, strict=True)):
            assert event is not None
            verdict, reason = self.judge(event)
            verdicts.append(verdict)
            if reason:
                reasons[place] = reason
            if verdict is Verdict.DELIVERED:
                known = self.events.setdefault((batch.epoch, sequence), event)
                assert encode_event(known) == encode_event(event), "one number, two events"
                self.order.append(event)
        return Reply(VERSION, verdicts, reasons, self.retry_after)


@asynccontextmanager
async def collecting(key: str = "gw.secret") -> AsyncIterator[StubCollector]:
    """A collector on a free port of the loopback interface."""
    stub = StubCollector(key)
    application = web.Application(client_max_size=LIMITS.frame)
    application.router.add_post("/v1/batches", stub.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stub.url = f"http://{host}:{port}"
    try:
        yield stub
    finally:
        await runner.cleanup()

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError

from schoolwacht_collector.listener import ServerLog, listen

GARBAGE = [
    b"garbage\r\n\r\n",
    b"\x16\x03\x01\x00\xff" + bytes(300),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
]


async def test_what_is_no_http_is_answered_and_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with AsyncExitStack() as stack:
        url = await listen(stack, web.Application(), "127.0.0.1:0", field="intake.listen", idle=5, stop=1)
        for sent in GARBAGE * 3:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(sent)
            assert b" 400 " in await reader.readline()
            writer.close()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "intake.listen: 1 requests so far were no HTTP")
    ]


async def test_a_fault_of_ours_is_still_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise ValueError

    application = web.Application()
    application.router.add_get("/", broken)
    async with AsyncExitStack() as stack:
        url = await listen(stack, application, "127.0.0.1:0", field="intake.listen", idle=5, stop=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 500 " in await reader.readline()
        writer.close()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


def test_requests_that_are_none_are_counted() -> None:
    log = ServerLog("x")
    for _ in range(5):
        log.error("Error handling request", exc_info=BadStatusLine("x"))
    log.debug("Error handling request", exc_info=BadStatusLine("x"))
    log.error("Error handling request", exc_info=HttpProcessingError(code=500))
    assert log.malformed == 6

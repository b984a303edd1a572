"""What holds for every page and every call: headers, hosts, origins, faults."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp.test_utils import TestClient, TestServer

from schoolwacht.errors import StoreError
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Page, Search
from schoolwacht_collector.listener import listen
from schoolwacht_console.security import HEADERS
from schoolwacht_console.site import make_site
from tests.schoolwacht_console.conftest import Client

EVERYWHERE = [
    "/",
    "/search?q=",
    "/agents",
    "/alerts/a0001",
    "/nothing",
    "/api/v1/alerts",
    "/api/v1/x",
    "/static/console.js",
]


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_every_answer_carries_the_security_headers(client: Client, path: str) -> None:
    answer = await client.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


async def test_nothing_inline_is_allowed_and_nothing_inline_is_there(client: Client) -> None:
    answer = await client.get("/alerts/a0001")
    assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
    text = await answer.text()
    assert "style=" not in text
    assert "<style" not in text
    assert text.count("<script") == text.count('<script src="/static/') == 1


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:8480", "console.example", "Console.Example:443"])
async def test_own_names_are_answered(client: Client, host: str) -> None:
    assert (await client.get("/", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "console.example.evil.example", "a b"])
async def test_a_foreign_name_is_refused_against_rebinding(client: Client, host: str) -> None:
    answer = await client.get("/api/v1/alerts", headers={"Host": host})
    assert answer.status == 421
    assert "a0001" not in await answer.text()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_change_that_another_page_asks_for_is_refused(client: Client, headers: dict[str, str]) -> None:
    form = {"state": "closed", "reason": "x"}
    assert (await client.post("/alerts/a0001/state", data=form, headers=headers)).status == 403
    assert (await client.post("/api/v1/alerts/a0001/state", json=form, headers=headers)).status == 403
    story = await (await client.get("/api/v1/alerts/a0001")).json()
    assert story["alert"]["alert.state"] == "open"


async def test_an_unknown_page_is_a_page_for_people(client: Client) -> None:
    answer = await client.get("/nothing/here")
    assert answer.status == 404
    assert answer.content_type == "text/html"
    assert "There is nothing at this address" in await answer.text()


async def test_an_unknown_call_is_a_problem_for_programs(client: Client) -> None:
    answer = await client.get("/api/v1/nothing")
    assert answer.status == 404
    assert answer.content_type == "application/problem+json"
    assert (await answer.json())["status"] == 404


async def test_a_path_with_a_slash_at_its_end_is_not_there(client: Client) -> None:
    assert (await client.get("/api/v1/alerts/")).status == 404


async def test_a_wrong_method_is_told_so(client: Client) -> None:
    assert (await client.delete("/api/v1/alerts/a0001")).status == 405


async def test_a_store_that_does_not_answer_is_a_503_for_people_and_programs() -> None:
    class Silent(MemoryStore):
        async def search(self, search: Search) -> Page:
            raise StoreError("nobody there")

    async with TestClient(TestServer(make_site(Silent()))) as silent:
        page = await silent.get("/")
        call = await silent.get("/api/v1/alerts")
        assert (page.status, page.content_type) == (503, "text/html")
        assert (call.status, call.content_type) == (503, "application/problem+json")
        assert "nobody there" in (await call.json())["detail"]


async def test_a_fault_of_our_own_is_answered_without_its_details() -> None:
    class Broken(MemoryStore):
        async def search(self, search: Search) -> Page:
            raise RuntimeError("secret detail")

    async with TestClient(TestServer(make_site(Broken()))) as broken:
        answer = await broken.get("/")
        assert answer.status == 500
        assert "secret detail" not in await answer.text()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/v1/indicators", "application/json"), ("/alerts/a0001/state", "application/x-www-form-urlencoded")],
)
async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_error_of_ours(
    path: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 99\r\n\r\n"
    async with AsyncExitStack() as stack:
        # Not aiohttp's test server: that one cancels what it was doing.
        url = await listen(stack, make_site(MemoryStore()), "127.0.0.1:0", field="console.listen", idle=5.0, stop=5.0)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head.encode() + b"{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        assert await reader.read() == b""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]

"""Ledgers as people see them: in the list of agents, on the page, by the command; and accepted with a reason."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp.test_utils import TestClient, TestServer

from schoolwacht.account import Account, Totals
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import SECTOR, Kind, Scope
from schoolwacht_collector.ledger import counted, said
from schoolwacht_collector.records import Counted, Ledger
from schoolwacht_console import cli, ledgers
from schoolwacht_console.site import make_site
from schoolwacht_console.tables import ledger_lines
from tests.schoolwacht_console import sample

NAME = "school-00aa00"


async def filled() -> MemoryStore:
    """The sample, and a ledger in which two events are missing."""
    store = MemoryStore()
    await sample.fill(store)
    ledger = Ledger(id=NAME, timestamp=sample.NOW, board="41001", agent=NAME, difference=2, since=sample.NOW)
    account = Account("aa", Totals((0, 12), (0, 2), 8), shed={"r": 5})
    ledger = said(ledger, account, at=sample.NOW, arrived=sample.NOW)
    ledger = counted(ledger, "run", f"{sample.NOW.date()}", Counted(8, 9, 0))
    await store.put(Kind.LEDGER, ledger, None)
    return store


async def run(store: MemoryStore, *argv: str) -> int:
    async with TestServer(make_site(store, now=lambda: sample.NOW), host="127.0.0.1") as server:
        return await asyncio.to_thread(cli.main, [*argv, "--url", str(server.make_url(""))])


async def test_agents_that_do_not_balance_are_marked_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    store = await filled()
    assert await run(store, "agents") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [("missing" in line) for line in lines if NAME in line] == [True]
    assert any("balances" in line for line in lines)
    assert await run(store, "agents", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["ledger"] for row in rows if "ledger" in row] == [
        {"difference": 2, "since": "2026-09-01T12:00:00Z"}
    ]  # fmt: skip


async def test_the_page_marks_them_with_the_figure() -> None:
    site = make_site(await filled(), now=lambda: sample.NOW)
    async with TestClient(TestServer(site, host="127.0.0.1")) as client, client.get("/agents") as answer:
        text = await answer.text()
    assert text.count("2 missing") == 1
    assert "balances" in text


async def test_a_ledger_is_shown_day_by_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(await filled(), "agents", "show", NAME) == 0
    said_ = capsys.readouterr().out
    assert "2 events are missing since" in said_
    assert "2 do not add up" in said_
    assert [line.split()[1:7] for line in said_.splitlines() if line.strip().startswith("2026")] == [
        ["17", "12", "8", "8", "1", "0"]
    ]  # fmt: skip


async def test_what_was_looked_into_is_accepted_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    store = await filled()
    assert await run(store, "agents", "accept", NAME, "--reason", "its disk\x1b[2J was replaced", "--json") == 0
    view = json.loads(capsys.readouterr().out)
    assert (view["difference"], view["since"], view["accepted"]) == (0, None, 2)
    assert await run(store, "agents", "show", NAME) == 0
    shown = capsys.readouterr().out
    assert "the ledger balances" in shown
    assert "\x1b" not in shown


async def test_an_agent_that_has_reported_nothing_has_an_empty_ledger() -> None:
    view = await ledgers.show(await filled(), SECTOR, "school-00ac00")
    assert view is not None
    assert (view.difference, view.days) == (0, [])


async def test_another_boards_ledger_is_not_there() -> None:
    store = await filled()
    other = Scope(frozenset({"41002"}))
    assert await ledgers.show(store, other, NAME) is None
    assert await ledgers.accept(store, other, NAME, reason="x", by="y") is None
    assert await ledgers.unbalanced(store, other, [NAME]) == {}
    assert await run(store, "agents", "show", "nobody") == 1


def test_a_ledger_with_one_side_only_does_not_balance_on_nothing() -> None:
    sides = {
        "agent": NAME,
        "waiting": 0,
        "difference": 0,
        "unexplained": 0,
        "vanished": 0,
        "uncounted": 0,
        "accepted": 0,
    }
    assert "has not told yet" in ledger_lines(sides | {"days": [{"seen": 0, "stored": 49}]})[1]
    assert ledger_lines(sides | {"days": [{"seen": 49, "stored": 49}]})[1] == "the ledger balances"

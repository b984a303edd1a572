"""Reports and counts become ledgers in a real store, whoever tells them how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from schoolwacht.account import DETAIL, Account, Totals, encode_account
from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.ledger import balance, days_of
from schoolwacht_collector.ledger_counts import Counts
from schoolwacht_collector.ledger_job import Ledgers
from schoolwacht_collector.records import Ledger
from schoolwacht_collector.registry import enrol
from tests.schoolwacht_collector.index.stores import elasticsearch, settle, sqlite, wipe
from tests.schoolwacht_collector.serving import SCHOOL, Served, deliver, flow, serving

NAME = "gateway-1"


def report(account: Account, *, detail: str | None = None) -> Event:
    return Event(
        datetime.now(UTC), Dataset.HEALTH, event_module="agent", health_condition="ok",
        nsm_detail={DETAIL: encode_account(account) if detail is None else detail},
    )  # fmt: skip


async def ledger_of(store: Store) -> Ledger:
    found = await store.get(Kind.LEDGER, NAME)
    assert found is not None
    assert isinstance(found.record, Ledger)
    return found.record


@pytest.fixture(params=["sqlite", "elasticsearch"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            yield await stack.enter_async_context(sqlite(tmp_path / "store"))
            return
        url, prefix = request.getfixturevalue("elasticsearch_url"), request.getfixturevalue("index_prefix")
        yield await stack.enter_async_context(elasticsearch(url, prefix, init=True))
        await wipe(url, prefix)


async def look(store: Store) -> int:
    await settle(store)
    return await Ledgers(store, settle=timedelta()).look()


async def told(served: Served, key: str, account: Account, *, sequence: int) -> None:
    """A report reaches the store, and what the collector counted until then the ledger."""
    await deliver(served.url, key, [report(account)], first=sequence)
    await served.registry.counts.flush()


async def test_what_two_collectors_took_three_times_balances(store: Store, tmp_path: Path) -> None:
    async with (
        serving(store, tmp_path, clock=[datetime.now(UTC)]) as one,
        serving(store, tmp_path, clock=[datetime.now(UTC)]) as two,
    ):
        key = await one.enrolled(NAME)
        for served in (one, two, one):
            await deliver(served.url, key, [flow() for _ in range(20)])
        await two.registry.counts.flush()
        await told(one, key, Account("aa", Totals((0, 25), (0, 5), 20), shed={"r": 3}), sequence=900)
        assert await look(store) == 1
    ledger = await ledger_of(store)
    assert (ledger.difference, ledger.since, ledger.board) == (0, None, "12345")
    (day,) = days_of(ledger)
    assert (day.seen, day.kept, day.sent, day.stored, day.again, day.shed) == (28, 25, 20, 21, 40, 3)


async def test_what_a_killed_collector_had_counted_is_counted_in_the_store(store: Store, tmp_path: Path) -> None:
    async with serving(store, tmp_path, clock=[datetime.now(UTC)]) as killed:
        key = await killed.enrolled(NAME)
        await deliver(killed.url, key, [flow() for _ in range(30)])
    async with serving(store, tmp_path, clock=[datetime.now(UTC)]) as served:
        await told(served, key, Account("aa", Totals((0, 30), (0, 0), 30)), sequence=900)
        assert await look(store) == 1
    ledger = await ledger_of(store)
    assert balance(ledger).difference == ledger.difference == 0
    assert days_of(ledger)[0].stored == 31


async def test_what_the_store_has_lost_is_missing_since_it_was_noticed(store: Store, tmp_path: Path) -> None:
    clock = [datetime.now(UTC)]
    async with serving(store, tmp_path, clock=clock) as served:
        key = await served.enrolled(NAME)
        await told(served, key, Account("aa", Totals((0, 30), (0, 0), 30)), sequence=900)
        await look(store)
        first = await ledger_of(store)
        assert first.difference == 29  # but for the report itself
        assert first.since is not None
        clock[0] = datetime.now(UTC)
        await told(served, key, Account("aa", Totals((0, 31), (0, 0), 31)), sequence=901)
        await look(store)
    second = await ledger_of(store)
    assert (second.difference, second.since) == (29, first.since)


async def test_two_leaders_and_a_look_again_change_nothing(store: Store, tmp_path: Path) -> None:
    async with serving(store, tmp_path, clock=[datetime.now(UTC)]) as served:
        key = await served.enrolled(NAME)
        await told(served, key, Account("aa", Totals((0, 1), (0, 0), 1)), sequence=1)
        await settle(store)
        await asyncio.gather(*(Ledgers(store, settle=timedelta()).look() for _ in range(3)))
        once = await ledger_of(store)
        await look(store)
    assert days_of(await ledger_of(store)) == days_of(once)
    assert once.difference == 0


async def test_a_report_that_is_no_account_is_logged_and_passed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    async with serving(store, tmp_path) as served:
        key = await served.enrolled(NAME)
        await deliver(served.url, key, [report(Account("aa", Totals()), detail="{secret")])
        await look(store)
    assert "no account" in caplog.text
    assert "secret" not in caplog.text


async def test_a_report_waits_until_every_collector_has_told_its_counts(tmp_path: Path) -> None:
    store = MemoryStore()
    now = datetime.now(UTC)
    async with serving(store, tmp_path, clock=[now]) as served:
        key = await served.enrolled(NAME)
        await told(served, key, Account("aa", Totals((0, 1), (0, 0), 1)), sequence=1)
    assert await Ledgers(store, clock=lambda: now + timedelta(seconds=100)).look() == 0
    assert await Ledgers(store, clock=lambda: now + timedelta(seconds=200)).look() == 1


async def test_counts_that_cannot_be_told_are_told_later() -> None:
    store = MemoryStore()
    await enrol(store, NAME, [SCHOOL])
    counts = Counts(store)
    counts.note(NAME, stored=3, delivered=4, rejected=1, now=datetime.now(UTC))
    store.outage = "full disk"
    with pytest.raises(StoreError):
        await counts.flush()
    store.outage = None
    counts.note(NAME, stored=1, delivered=1, rejected=0, now=datetime.now(UTC))
    await counts.flush()
    await counts.flush()
    (day,) = days_of(await ledger_of(store))
    assert (day.stored, day.again, day.refused) == (4, 1, 1)


async def test_collectors_that_tell_at_the_same_time_add_up() -> None:
    store = MemoryStore()
    await enrol(store, NAME, [SCHOOL])
    collectors = [Counts(store) for _ in range(4)]
    for counts in collectors:
        counts.note(NAME, stored=10, delivered=10, rejected=0, now=datetime.now(UTC))
    await asyncio.gather(*(counts.flush() for counts in collectors))
    (day,) = days_of(await ledger_of(store))
    assert day.stored == 40


async def test_what_was_accepted_is_missing_no_longer(tmp_path: Path) -> None:
    store = MemoryStore()
    clock = [datetime.now(UTC)]
    async with serving(store, tmp_path, clock=clock) as served:
        key = await served.enrolled(NAME)
        await told(served, key, Account("aa", Totals((0, 30), (0, 0), 30)), sequence=900)
        await look(store)
        known = await store.get(Kind.LEDGER, NAME)
        assert known is not None
        ledger = await ledger_of(store)
        await store.put(Kind.LEDGER, replace(ledger, accepted=29, difference=0, since=None), known.version)
        clock[0] = datetime.now(UTC)
        await told(served, key, Account("aa", Totals((0, 41), (0, 0), 41)), sequence=901)
        await look(store)
    assert (await ledger_of(store)).difference == 10

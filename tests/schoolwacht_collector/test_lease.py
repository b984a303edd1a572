from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.lease import ID, LOOK, RENEW, TERM, Leadership
from schoolwacht_collector.records import Lease


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pair(store: MemoryStore) -> tuple[Leadership, Leadership, Clock]:
    clock = Clock()
    return Leadership(store, "one", clock=clock), Leadership(store, "two", clock=clock), clock


async def test_one_of_two_leads() -> None:
    one, two, _ = pair(MemoryStore())
    assert await one.acquire()
    assert not await two.acquire()


async def test_a_leader_that_died_is_followed_after_its_term() -> None:
    one, two, clock = pair(MemoryStore())
    await one.acquire()
    assert not await two.acquire()
    clock.now += TERM - 0.1
    assert not await two.acquire()
    clock.now += 0.2
    assert await two.acquire()
    assert not await one.renew()


async def test_a_leader_that_renews_stays() -> None:
    one, two, clock = pair(MemoryStore())
    await one.acquire()
    for _ in range(10):
        assert not await two.acquire()
        clock.now += RENEW
        assert await one.renew()


def test_a_dead_leader_is_followed_within_fifteen_seconds() -> None:
    assert RENEW + TERM + 2 * LOOK <= 15


async def test_a_lease_that_was_given_up_is_taken_at_once() -> None:
    one, two, _ = pair(MemoryStore())
    await one.acquire()
    await one.release()
    assert await two.acquire()


async def test_a_lease_that_ended_long_ago_is_taken_at_sight() -> None:
    store = MemoryStore()
    past = datetime.now(UTC) - timedelta(minutes=5)
    await store.put(Kind.LEASE, Lease(id=ID, timestamp=past, holder="gone", until=past + timedelta(seconds=9)), None)
    assert await Leadership(store, "one").acquire()


async def test_a_clock_that_is_ahead_takes_nothing() -> None:
    store = MemoryStore()
    past = datetime.now(UTC) - timedelta(seconds=30)
    await store.put(Kind.LEASE, Lease(id=ID, timestamp=past, holder="slow", until=past + timedelta(seconds=9)), None)
    assert not await Leadership(store, "one").acquire()


async def test_a_collector_knows_its_own_lease_again() -> None:
    one, _, _ = pair(MemoryStore())
    await one.acquire()
    assert await one.acquire()


async def test_of_many_that_try_at_once_one_gets_it() -> None:
    store = MemoryStore()
    candidates = [Leadership(store, f"c{number}") for number in range(10)]
    assert sum(await asyncio.gather(*(candidate.acquire() for candidate in candidates))) == 1


@asynccontextmanager
async def _noted(log: list[str], started: asyncio.Event, ended: asyncio.Event) -> AsyncIterator[None]:
    log.append("started")
    started.set()
    try:
        yield
    finally:
        log.append("ended")
        ended.set()


async def test_jobs_run_while_leading_and_the_lease_is_given_up_after_them() -> None:
    store = MemoryStore()
    leadership = Leadership(store, "one")
    log: list[str] = []
    started, ended = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(leadership.run(lambda: _noted(log, started, ended)))
    await started.wait()
    led = leadership.leading
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["started", "ended"]
    assert (led, leadership.leading) == (True, False)
    assert await Leadership(store, "two").acquire()


async def test_a_leader_whose_lease_was_taken_stops_its_jobs() -> None:
    store = MemoryStore()
    leadership = Leadership(store, "one")
    log: list[str] = []
    started, ended = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(leadership.run(lambda: _noted(log, started, ended)))
    await started.wait()
    held = await store.get(Kind.LEASE, ID)
    assert held is not None
    now = datetime.now(UTC)
    await store.put(
        Kind.LEASE, Lease(id=ID, timestamp=now, holder="thief", until=now + timedelta(seconds=9)), held.version
    )
    async with asyncio.timeout(2 * RENEW):
        await ended.wait()
    assert log == ["started", "ended"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

"""The outbox and a real receiver on loopback, over SQLite: down, slow, failing, hanging up; killed and restarted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest_asyncio
from aiohttp import web

from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite import SqliteStore
from schoolwacht_collector.notify.outbox import Outbox
from schoolwacht_collector.notify.webhook import Webhook, WebhookSettings, signing_key
from tests.schoolwacht_collector.made import alert, stored
from tests.schoolwacht_collector.notify.receiver import SECRET, Receiver, receiving


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = SqliteStore(SqliteSettings(directory=str(tmp_path / "store")))
    await made.init()
    await made.open()
    yield made
    await made.close()


def webhook(url: str, *, name: str = "cert") -> Webhook:
    settings = WebhookSettings(name=name, url=url, allow_private=True, timeout_seconds=1)
    return Webhook(settings, signing_key(SECRET, target=name))


async def opened(store: Store, number: int) -> None:
    """Store so many new alerts."""
    now = datetime.now(UTC)
    for each in range(number):
        await store.put(Kind.ALERT, alert(opened=now, entity=f"10.1.{each // 250}.{each % 250}"), None)


@contextlib.asynccontextmanager
async def running(store: Store, *webhooks: Webhook) -> AsyncIterator[Outbox]:
    outbox = Outbox(store, webhooks, console_url="https://sw.example")
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - it asks the store
            await asyncio.sleep(0.05)


def all_in(store: Store, state: str, *, number: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        rows = await stored(store, Kind.DELIVERY)
        return len(rows) == number and all(row["delivery.state"] == state for row in rows)

    return holds


async def test_each_alert_reaches_the_receiver_with_its_link_and_at_most_four_at_once(store: Store) -> None:
    async with receiving(Receiver()) as receiver:
        await opened(store, 60)
        async with running(store, webhook(receiver.url)):
            await until(all_in(store, "delivered", number=60))
    assert len(receiver.ids) == len(set(receiver.ids)) == 60
    assert receiver.busiest <= 4
    assert all(body["data"]["link"] == f"https://sw.example/alerts/{body['data']['id']}" for body in receiver.bodies)


async def test_an_alert_of_after_the_start_is_carried_after_a_nudge(store: Store) -> None:
    async with receiving(Receiver()) as receiver, running(store, webhook(receiver.url)) as outbox:
        await asyncio.sleep(0.1)
        await opened(store, 1)
        outbox.nudge()
        await until(all_in(store, "delivered", number=1), seconds=5)


async def test_a_receiver_that_is_down_gets_everything_when_it_is_back(store: Store) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver = Receiver()
    async with running(store, webhook(f"http://127.0.0.1:{port}/hook")):
        await opened(store, 2)
        await asyncio.sleep(0.7)
        async with receiving(receiver, port=port):
            await until(all_in(store, "delivered", number=2), seconds=30)
    assert len(set(receiver.ids)) == 2


async def test_a_receiver_that_fails_now_and_then_gets_each_under_one_id(store: Store) -> None:
    faults: dict[int, web.StreamResponse | float] = {
        0: web.Response(status=500),
        3: -0.1,
        6: web.Response(status=503),
    }
    async with receiving(Receiver(answer=lambda place: faults.pop(place, None))) as receiver:
        await opened(store, 10)
        async with running(store, webhook(receiver.url)):
            await until(all_in(store, "delivered", number=10), seconds=40)
    alerts = {name: body["data"]["id"] for name, body in zip(receiver.ids, receiver.bodies, strict=True)}
    assert len(alerts) == len(set(alerts.values())) == 10
    assert len(receiver.ids) == 13


async def test_a_dead_target_delays_no_other(store: Store) -> None:
    async with receiving(Receiver(answer=lambda _: 30.0)) as dead, receiving(Receiver()) as alive:
        await opened(store, 20)
        async with running(store, webhook(dead.url, name="dead"), webhook(alive.url, name="alive")):

            async def arrived() -> bool:
                return len(set(alive.ids)) == 20

            await until(arrived, seconds=5)
    assert len(dead.ids) <= 8


async def test_killed_in_the_middle_and_started_again_it_delivers_all_under_the_same_ids(store: Store) -> None:
    async with receiving(Receiver(answer=lambda _: 0.02)) as receiver:
        await opened(store, 60)
        for _ in range(4):
            task = asyncio.create_task(Outbox(store, [webhook(receiver.url)]).run())
            await asyncio.sleep(0.25)
            task.cancel()  # in whatever call it is
            with contextlib.suppress(asyncio.CancelledError):
                await task
        async with running(store, webhook(receiver.url)):
            await until(all_in(store, "delivered", number=60))
    assert len(set(receiver.ids)) == 60
    assert {body["data"]["id"] for body in receiver.bodies} == {
        str(row["id"]) for row in await stored(store, Kind.ALERT)
    }


async def test_a_refusal_for_good_stays_to_be_seen(store: Store) -> None:
    async with receiving(Receiver(answer=lambda _: web.Response(status=410))) as receiver:
        await opened(store, 1)
        async with running(store, webhook(receiver.url)):
            await until(all_in(store, "rejected", number=1), seconds=5)
    (row,) = await stored(store, Kind.DELIVERY)
    assert row["delivery.last_error"] == "HTTP 410"

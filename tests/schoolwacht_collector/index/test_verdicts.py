"""What a store did is what the agent hears, where nobody knows at first, and where Elasticsearch itself refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from schoolwacht.wire import Verdict
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore
from schoolwacht_collector.index.port import Kind, Store
from tests.schoolwacht_collector.index.answering import Answer, answering, item
from tests.schoolwacht_collector.index.stores import elasticsearch, event, settle, sqlite, wipe
from tests.schoolwacht_collector.serving import deliver, flow, serving

DELIVERED, RETRY = Verdict.DELIVERED, Verdict.RETRY


@pytest.fixture
async def store(elasticsearch_url: str, index_prefix: str) -> AsyncIterator[Store]:
    async with elasticsearch(elasticsearch_url, index_prefix, init=True) as made:
        yield made
    await wipe(elasticsearch_url, index_prefix)


async def test_after_an_unknown_outcome_what_is_sent_again_is_delivered_and_created_once() -> None:
    """The cluster stores and the answer is lost: an agent hears RETRY, then DELIVERED."""
    kept: set[str] = set()
    lost = [True]

    def script(ids: list[str]) -> Answer:
        answers = [item(409) if name in kept else item(201) for name in ids]
        kept.update(ids)
        if lost:
            lost.pop()
            return 504, "<html>Gateway Time-out</html>"
        return 200, {"items": answers}

    async with answering(script) as (store, _):
        first = await store.create([event(number, "b") for number in range(5)])
        second = await store.create([event(number, "b") for number in range(5)])
        third = await store.create([event(number, "b") for number in range(6)])

    assert [outcome.verdict for outcome in first] == [RETRY] * 5
    assert [(outcome.verdict, outcome.created) for outcome in second] == [(DELIVERED, False)] * 5
    assert [(outcome.verdict, outcome.created) for outcome in third] == [(DELIVERED, False)] * 5 + [(DELIVERED, True)]
    assert len(kept) == 6


async def test_a_node_that_is_lost_between_two_requests_costs_only_its_own_items() -> None:
    def script(ids: list[str]) -> Answer:
        return None if "b-00015" in ids else (200, {"items": [item(201)] * len(ids)})

    async with answering(script, bulk_items=10, bulk_requests=1) as (store, _):
        found = await store.create([event(number, "b") for number in range(30)])

    assert [outcome.verdict for outcome in found] == [DELIVERED] * 10 + [RETRY] * 10 + [DELIVERED] * 10


async def test_flood_stage_of_the_real_cluster_is_back_pressure_and_is_not_ready(store: Store, tmp_path: Path) -> None:
    assert isinstance(store, ElasticsearchStore)
    client: Any = store._client
    async with serving(store, tmp_path, clock=[datetime.now(UTC)]) as served:
        key = await served.enrolled()
        events = [flow(timestamp=datetime.now(UTC), source_port=port) for port in range(1, 21)]
        assert (await deliver(served.url, key, events[:10])).verdicts == [DELIVERED] * 10
        await client.indices.put_settings(
            index=f"{store._prefix}-flow-*", settings={"index.blocks.read_only_allow_delete": True}
        )
        refused = await deliver(served.url, key, events)
        assert (await ready(served.url))[0] == 503
        await client.indices.put_settings(
            index=f"{store._prefix}-flow-*", settings={"index.blocks.read_only_allow_delete": None}
        )
        taken = await deliver(served.url, key, events)
        assert (await ready(served.url))[0] == 200
        await settle(store)
        assert len(await served.rows(Kind.EVENT)) == 20
        assert not list(tmp_path.glob("dead-letters/*"))
    # Of the ten that are there already a blocked cluster says nothing but that it is blocked.
    assert refused.verdicts == [RETRY] * 20
    assert refused.retry_after is not None
    assert taken.verdicts == [DELIVERED] * 20


async def ready(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
        return response.status, await response.json()


async def test_a_write_block_of_the_real_cluster_is_not_ready_and_loses_nothing(store: Store, tmp_path: Path) -> None:
    assert isinstance(store, ElasticsearchStore)
    client: Any = store._client
    async with serving(store, tmp_path, clock=[datetime.now(UTC)]) as served:
        key = await served.enrolled()
        now = datetime.now(UTC)
        await deliver(served.url, key, [flow(timestamp=now)])
        await client.indices.put_settings(index=f"{store._prefix}-flow-*", settings={"index.blocks.write": True})
        refused = await deliver(served.url, key, [flow(timestamp=now, source_port=port) for port in (1, 2)], first=10)
        assert refused.verdicts == [RETRY] * 2
        status, state = await ready(served.url)
        assert (status, state["status"], state["store"]) == (503, "not ready", "not writable")
        await client.indices.put_settings(index=f"{store._prefix}-flow-*", settings={"index.blocks.write": None})
        again = await deliver(served.url, key, [flow(timestamp=now, source_port=port) for port in (1, 2)], first=10)
        assert again.verdicts == [DELIVERED] * 2


@pytest.fixture(params=["sqlite", "elasticsearch"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url, prefix = request.getfixturevalue("elasticsearch_url"), request.getfixturevalue("index_prefix")
    if request.param == "sqlite":
        async with sqlite(tmp_path / "store") as made:
            yield made
        return
    async with elasticsearch(url, prefix, init=True) as made:
        yield made
    await wipe(url, prefix)


async def test_every_batch_three_times_over_midnight_to_two_collectors_is_stored_once(
    either: Store, tmp_path: Path
) -> None:
    """The event's own day decides where it lies, not that of its arrival."""
    before = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    after = datetime(2026, 3, 3, 0, 0, 1, tzinfo=UTC)
    clocks = [[before], [after]]
    async with (
        serving(either, tmp_path / "one", clock=clocks[0]) as one,
        serving(either, tmp_path / "two", clock=clocks[1]) as two,
    ):
        key = await one.enrolled()
        events = [flow(timestamp=before if number % 2 else after, source_port=number) for number in range(1, 41)]
        replies = await asyncio.gather(*(deliver(served.url, key, events) for served in (one, two)))
        clocks[0][0] = after
        replies += [await deliver(one.url, key, events)]
        # A spool that was put back sends what it holds once more, under the epoch in which it was kept.
        replies += [await deliver(two.url, key, events[10:20], first=11)]
        await settle(either)
        rows = await one.rows(Kind.EVENT)
    assert all(set(reply.verdicts) == {DELIVERED} for reply in replies)
    assert len(rows) == len({row["event.id"] for row in rows}) == 40

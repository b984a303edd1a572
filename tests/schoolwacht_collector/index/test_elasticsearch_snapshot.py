"""A snapshot of the real Elasticsearch, restored as docs/operating.md says, is the same store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from schoolwacht.event import Dataset
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.records import Lease
from tests.parts import missing
from tests.schoolwacht_collector.index.stores import NOON, event, fill, found, ids, settle, wipe


@pytest.fixture
def own_prefix(elasticsearch_url: str, index_prefix: str) -> Iterator[str]:
    yield index_prefix
    asyncio.run(wipe(elasticsearch_url, index_prefix))


async def test_a_store_that_was_wiped_comes_back_from_its_snapshot(elasticsearch_url: str, own_prefix: str) -> None:
    store = ElasticsearchStore(ElasticsearchSettings(urls=(elasticsearch_url,), prefix=own_prefix))
    client = store._client
    nodes = await client.nodes.info(metric="settings", flat_settings=True)
    places = next(iter(nodes["nodes"].values()))["settings"].get("path.repo")
    if not places:
        missing("the test cluster has no path.repo for snapshots")
    await store.init()
    kept = [event(number, "b") for number in range(50)] + [event(99, "b", event_dataset=Dataset.SIGNAL)]
    await fill(store, kept)
    await store.put(Kind.LEASE, Lease(id="l", timestamp=NOON, holder="a", until=NOON), None)
    await client.snapshot.create_repository(
        name=own_prefix, repository={"type": "fs", "settings": {"location": own_prefix}}
    )
    try:
        taken = await client.snapshot.create(
            repository=own_prefix,
            snapshot="one",
            indices=f"{own_prefix}-*",
            include_global_state=False,
            wait_for_completion=True,
        )
        await wipe(elasticsearch_url, own_prefix)
        restored = await client.snapshot.restore(
            repository=own_prefix, snapshot="one", indices=f"{own_prefix}-*", wait_for_completion=True
        )
        await store.init()
        await store.open()
        await settle(store)
        again = await store.create(kept)

        assert taken["snapshot"]["state"] == "SUCCESS"
        assert restored["snapshot"]["shards"]["failed"] == 0
        assert sorted(ids(await found(store))) == [f"b-{number:05}" for number in range(50)]
        assert ids(await found(store, kind=Kind.SIGNAL)) == ["b-00099"]
        assert await store.get(Kind.LEASE, "l") is not None
        assert not any(outcome.created for outcome in again)
    finally:
        await client.options(ignore_status=404).snapshot.delete(repository=own_prefix, snapshot="one")
        await client.snapshot.delete_repository(name=own_prefix)
        await store.close()

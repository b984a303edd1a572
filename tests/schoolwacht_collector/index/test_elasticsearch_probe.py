"""What doctor says of a real cluster, and of figures that a healthy one does not have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from schoolwacht_collector.index.elasticsearch import ElasticsearchStore, probe
from schoolwacht_collector.index.settings import ElasticsearchSettings
from tests.schoolwacht_collector.index.stores import NOON, elasticsearch, event, fill, wipe

ONE_NODE = {"number_of_data_nodes": 1, "active_shards": 50, "unassigned_shards": 0}


@pytest.fixture
def own_prefix(elasticsearch_url: str, index_prefix: str) -> Iterator[str]:
    yield index_prefix
    asyncio.run(wipe(elasticsearch_url, index_prefix))


@pytest.fixture
async def store(elasticsearch_url: str, own_prefix: str) -> AsyncIterator[ElasticsearchStore]:
    async with elasticsearch(elasticsearch_url, own_prefix, init=True, replicas=0) as opened:
        assert isinstance(opened, ElasticsearchStore)
        yield opened


async def test_a_real_cluster_answers_every_question(store: ElasticsearchStore) -> None:
    await fill(store, [event(1, "b")])

    found = {each.subject: each for each in await store.traits()}

    assert {"version", "licence", "build", "fields", "copies", "watermarks", "cluster's disks"} <= found.keys()
    assert not [each for each in found.values() if "cannot be asked" in each.detail]
    assert found["version"].good
    assert found["fields"].good, found["fields"]
    assert "none of these is needed" in found["build"].detail
    assert found["cluster's clock"].good


async def test_a_mapping_that_another_template_has_spoilt_is_named(store: ElasticsearchStore, own_prefix: str) -> None:
    name = f"{own_prefix}-dns-{NOON:%Y.%m.%d}"
    other = {"mappings": {"dynamic": False, "properties": {"source.ip": {"type": "keyword"}}}}
    await store._client.indices.put_index_template(
        name=f"x{own_prefix}", index_patterns=[f"{own_prefix}-dns-*"], priority=900, template=other
    )
    try:
        await store._client.indices.create(index=name)
        found = {each.subject: each for each in await store.traits()}
    finally:
        await store._client.indices.delete_index_template(name=f"x{own_prefix}")

    assert not found["fields"].good
    assert name in found["fields"].detail


async def test_copies_that_have_no_node_are_told(elasticsearch_url: str, own_prefix: str) -> None:
    async with elasticsearch(elasticsearch_url, own_prefix, init=True, replicas=3) as store:
        assert isinstance(store, ElasticsearchStore)
        found = [each for each in await store.traits() if each.subject in ("copies", "shards")]

    assert [each.good for each in found] == [False, False]
    assert "replicas = 3 needs 4 data nodes" in found[0].detail
    assert "not assigned" in found[1].detail


async def test_a_cluster_that_is_away_gives_warnings_and_no_error() -> None:
    store = ElasticsearchStore(ElasticsearchSettings(urls=("http://127.0.0.1:9",)))
    found = await store.traits()
    await store.close()

    assert found
    assert all(not each.good and "did not answer" in each.detail for each in found)


@pytest.mark.parametrize(
    ("whole", "replicas", "subject", "text"),
    [
        (ONE_NODE | {"number_of_data_nodes": 3}, 0, "copies", "each that is lost takes its events with it"),
        (ONE_NODE | {"active_shards": 900}, 0, "shards", "a new day has no index"),
    ],
)
def test_what_will_go_wrong_later_is_told_now(whole: dict[str, int], replicas: int, subject: str, text: str) -> None:
    found = list(probe._of_shards({"unassigned_shards": 0, "status": "green"}, whole, replicas, 1000))

    assert [text in each.detail for each in found if each.subject == subject and not each.good] == [True]


@pytest.mark.parametrize(("told", "good"), [(1000.0, True), (1010.0, True), (1400.0, False), (600.0, False)])
def test_a_clock_that_differs_is_told(told: float, good: bool) -> None:
    found = list(probe._of_clocks({"a": 1000.5, "b": told}, 1000.0, 1001.0))

    assert [each.good for each in found] == [good]

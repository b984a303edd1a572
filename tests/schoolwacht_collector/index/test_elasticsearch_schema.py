"""Which version of the schema a cluster has: what a collector of this version does with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from schoolwacht.errors import StoreError
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore, templates
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.records import Lease
from tests.schoolwacht_collector.index.stores import NOON, event, fill, found, ids, wipe


@pytest.fixture
def own_prefix(elasticsearch_url: str, index_prefix: str) -> Iterator[str]:
    yield index_prefix
    asyncio.run(wipe(elasticsearch_url, index_prefix))


def made(url: str, prefix: str) -> ElasticsearchStore:
    return ElasticsearchStore(ElasticsearchSettings(urls=(url,), prefix=prefix))


async def put_meta(store: ElasticsearchStore, meta: dict[str, Any]) -> None:
    """Give the component template another ``_meta``."""
    ((name, body),) = templates.component_templates(store._settings).items()
    await store._client.cluster.put_component_template(name=name, template=body["template"], meta=meta)


async def test_a_cluster_of_the_version_before_is_migrated_and_loses_nothing(
    elasticsearch_url: str, own_prefix: str
) -> None:
    """As the version before left it: no number, and a field less in the indices that are there."""
    store = made(elasticsearch_url, own_prefix)
    await store.init()
    await put_meta(store, {"version": "0123456789abcdef"})
    name = templates.dated_index(own_prefix, event(1, "b").event_dataset, NOON.date())
    mapping = templates.mapping(Kind.EVENT)
    del mapping["properties"]["dns.question.name"]
    await store._client.indices.create(index=name, mappings=mapping, aliases={f"{own_prefix}-events": {}})
    await fill(store, [event(1, "b", dns_question_name="old.example")])
    await store.put(Kind.LEASE, Lease(id="l", timestamp=NOON, holder="a", until=NOON), None)

    with pytest.raises(StoreError, match="run schoolwacht-collector migrate"):
        await store.open()
    with pytest.raises(StoreError, match="run schoolwacht-collector migrate"):
        await store.init()
    await store.init(migrate=True)
    await store.open()
    await fill(store, [event(2, "b", dns_question_name="new.example")])

    assert ids(await found(store)) == ["b-00002", "b-00001"]
    mapped = await store._client.indices.get_field_mapping(index=name, fields="dns.question.name")
    assert mapped[name]["mappings"]
    assert await store.get(Kind.LEASE, "l") is not None
    await store.close()


async def test_a_cluster_of_a_later_version_is_neither_used_nor_changed(
    elasticsearch_url: str, own_prefix: str
) -> None:
    store = made(elasticsearch_url, own_prefix)
    await store.init()
    later = {"version": "0123456789abcdef", "schema": templates.SCHEMA + 1}
    await put_meta(store, later)

    for attempt in (store.open(), store.init(), store.init(migrate=True)):
        with pytest.raises(StoreError, match="later version"):
            await attempt

    answer = await store._client.cluster.get_component_template(name=templates.common_name(own_prefix))
    assert answer["component_templates"][0]["component_template"]["_meta"] == later
    await store.close()


async def test_an_init_that_was_broken_off_is_seen_and_can_be_made_again(
    elasticsearch_url: str, own_prefix: str
) -> None:
    """The number that says that all is there is written last."""
    store = made(elasticsearch_url, own_prefix)
    await store._client.indices.put_index_template(
        name="x" + own_prefix, index_patterns=[f"{own_prefix}-agent"], priority=500, template={}
    )
    try:
        with pytest.raises(StoreError, match="Elasticsearch answered 400"):
            await store.init()
        with pytest.raises(StoreError, match="another version: run schoolwacht-collector init"):
            await store.open()
    finally:
        await store._client.indices.delete_index_template(name="x" + own_prefix)

    await store.init()
    await store.open()
    await store.close()

"""What the real Elasticsearch alone can show: templates, blocks, mapping conflicts, limits of its queries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from schoolwacht.errors import ConfigError, QueryError, StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore, client, templates
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.query import check as limits
from schoolwacht_collector.query.ast import Contains, Equals, Matches, Node, Not, OneOf, Or
from schoolwacht_collector.query.fields import Type, of_kind
from tests.schoolwacht_collector.index.stores import NOON, elasticsearch, event, fill, found, ids, settle, wipe


@pytest.fixture
def own_prefix(elasticsearch_url: str, index_prefix: str) -> Iterator[str]:
    """A prefix that is wiped afterwards; nothing has been made under it."""
    yield index_prefix
    asyncio.run(wipe(elasticsearch_url, index_prefix))


@pytest.fixture
async def store(elasticsearch_url: str, own_prefix: str) -> AsyncIterator[ElasticsearchStore]:
    async with elasticsearch(elasticsearch_url, own_prefix, init=True) as opened:
        assert isinstance(opened, ElasticsearchStore)
        yield opened


@pytest.fixture
async def shared(elasticsearch_url: str, shared_prefix: str) -> AsyncIterator[ElasticsearchStore]:
    async with elasticsearch(elasticsearch_url, shared_prefix) as opened:
        assert isinstance(opened, ElasticsearchStore)
        await fill(opened, [event(1, "shared")])  # without an index nothing would look at a query
        yield opened


async def test_a_cluster_without_our_templates_names_the_way_out(elasticsearch_url: str, own_prefix: str) -> None:
    store = ElasticsearchStore(ElasticsearchSettings(urls=(elasticsearch_url,), prefix=own_prefix))

    with pytest.raises(StoreError, match="schoolwacht-collector init"):
        await store.open()
    await store.close()


async def test_other_settings_of_the_templates_want_an_init(
    store: ElasticsearchStore, elasticsearch_url: str, own_prefix: str
) -> None:
    other = ElasticsearchStore(ElasticsearchSettings(urls=(elasticsearch_url,), prefix=own_prefix, shards=2))

    with pytest.raises(StoreError, match="another version"):
        await other.open()
    await other.init()
    await other.open()
    await other.close()


async def test_nobody_there_is_a_store_error() -> None:
    store = ElasticsearchStore(ElasticsearchSettings(urls=("http://127.0.0.1:9",)))

    for call in (
        store.open(),
        store.init(),
        store.get(Kind.ALERT, "x"),
        store.search(Search(Kind.EVENT, Or(()), SECTOR)),
    ):
        with pytest.raises(StoreError, match="did not answer"):
            await call
    await store.close()


async def test_init_can_run_again_over_data(store: ElasticsearchStore) -> None:
    await fill(store, [event(1, "b")])

    await store.init()
    await store.open()

    assert ids(await found(store)) == ["b-00001"]


async def test_events_lie_in_the_index_of_their_dataset_and_day(store: ElasticsearchStore, own_prefix: str) -> None:
    late = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    await fill(store, [event(1, "b", timestamp=late), event(2, "b", event_dataset=Dataset.SIGNAL)])

    answer = await store._client.indices.get(index=f"{own_prefix}-*")

    dated = {name: set(one["aliases"]) for name, one in answer.items() if "2026" in name}
    assert dated == {
        f"{own_prefix}-dns-2026.02.28": {f"{own_prefix}-events"},
        f"{own_prefix}-signal-2026.03.01": {f"{own_prefix}-signals"},
    }


async def test_every_field_is_mapped_as_the_table_says(store: ElasticsearchStore, own_prefix: str) -> None:
    await fill(store, [event(1, "b")])
    name = f"{own_prefix}-dns-2026.03.01"

    mapped = (await store._client.indices.get_field_mapping(index=name, fields="*"))[name]["mappings"]
    settings = (await store._client.indices.get_settings(index=name, flat_settings=True))[name]["settings"]

    assert {known.name for known in of_kind(Kind.EVENT) if known.type is not Type.OPAQUE} <= mapped.keys()
    assert mapped["@timestamp"]["mapping"] == {"@timestamp": {"type": "date_nanos"}}
    assert settings["index.codec"] == "best_compression"
    assert settings["index.refresh_interval"] == "5s"


async def test_signals_are_found_by_their_arrival_and_events_are_stored_lean(
    store: ElasticsearchStore, own_prefix: str
) -> None:
    await fill(store, [event(1, "b"), event(2, "b", event_dataset=Dataset.SIGNAL)])

    mapped = {
        name: found["mappings"]["event.ingested"]["mapping"]["event.ingested"]
        for name, found in (
            await store._client.indices.get_field_mapping(index=f"{own_prefix}-*", fields="event.ingested")
        ).items()
        if "2026" in name
    }

    assert mapped == {
        f"{own_prefix}-dns-2026.03.01": {"type": "date_nanos", "index": False},
        f"{own_prefix}-signal-2026.03.01": {"type": "date_nanos"},
    }


async def test_an_event_is_found_by_its_id_and_no_id_is_too_long_to_ask_for(store: ElasticsearchStore) -> None:
    await fill(store, [event(1, "b"), event(2, "b")])

    assert ids(await found(store, Equals("event.id", "b-00001"))) == ["b-00001"]
    assert ids(await found(store, OneOf("event.id", ("b-00002", "x" * 2000)))) == ["b-00002"]


async def test_an_index_made_by_hand_with_another_mapping_rejects_with_its_reason(
    store: ElasticsearchStore, own_prefix: str
) -> None:
    """A document that this index can never take is set aside; one that it can take is stored."""
    mapping = {"properties": {"message": {"type": "long"}, "event": {"properties": {"id": {"type": "keyword"}}}}}
    await store._client.indices.create(index=f"{own_prefix}-dns-2026.03.01", mappings=mapping)

    bad, good = await store.create([event(1, "b", message="no number"), event(2, "b", message="5")])

    assert (bad.verdict, good.verdict) == (Verdict.REJECTED, Verdict.DELIVERED)
    assert "message" in (bad.reason or "")


async def test_a_full_disk_is_a_retry_and_writing_goes_on_after_it(store: ElasticsearchStore, own_prefix: str) -> None:
    await fill(store, [event(1, "b")])
    index = f"{own_prefix}-dns-2026.03.01"

    async def block(on: bool | None) -> None:
        await store._client.indices.put_settings(index=index, settings={"index.blocks.read_only_allow_delete": on})

    await block(True)
    try:
        blocked, elsewhere = await store.create([event(2, "b"), event(3, "b", event_dataset=Dataset.TLS)])
        health = await store.health()
    finally:
        await block(None)

    assert (blocked.verdict, elsewhere.verdict) == (Verdict.RETRY, Verdict.DELIVERED)
    assert "/12/" in (blocked.reason or "")
    assert not health.writable
    assert index in health.detail
    assert (await store.health()).writable
    assert [outcome.created for outcome in await store.create([event(2, "b")])] == [True]


async def test_what_was_written_before_an_unknown_end_is_met_again(store: ElasticsearchStore) -> None:
    """The answer of a request was lost: sending it again creates nothing twice."""
    batch = [event(number, "b") for number in range(5)]
    await store.create(batch[:3])

    again = await store.create(batch)
    await settle(store)

    assert [outcome.created for outcome in again] == [False] * 3 + [True] * 2
    assert len(await found(store)) == 5


async def test_a_closed_index_of_records_is_a_store_error(store: ElasticsearchStore, own_prefix: str) -> None:
    await store._client.indices.delete(index=f"{own_prefix}-alert")

    with pytest.raises(StoreError, match="index_not_found"):
        await store.search(Search(Kind.ALERT, Or(()), SECTOR))
    with pytest.raises(StoreError, match="index_not_found"):
        await store.get(Kind.ALERT, "x")


def nested(depth: int) -> Node:
    node: Node = Contains(("message", "rule.name"), "x")
    for _ in range(depth - 1):
        node = Not(node)
    return node


@pytest.mark.parametrize(
    "where",
    [
        nested(limits.DEPTH_MAX),
        Or(tuple(Equals("message", str(number)) for number in range(limits.NODES_MAX - 1))),
        OneOf("message", tuple(str(number) for number in range(limits.VALUES_MAX - 1))),
        Matches("message", "*" + "ab" * ((limits.PATTERN_MAX - 2) // 2) + "*"),
        Matches("message", "*a" + "?" * limits.UNKNOWNS_MAX + "b*"),
        Matches("message", "*a" * (limits.PATTERN_MAX // 2)),
        Contains(("message",), "a" * limits.PATTERN_MAX),
    ],
    ids=["depth", "nodes", "values", "long pattern", "unknowns", "stars", "long text"],
)
async def test_the_largest_query_that_passes_the_check_is_taken(shared: ElasticsearchStore, where: Node) -> None:
    limits.check(where)

    await shared.search(Search(Kind.EVENT, where, SECTOR))


async def test_a_pattern_that_is_too_complex_is_a_query_error(shared: ElasticsearchStore) -> None:
    """Found by trial; should Lucene take it one day, the bound in ``check`` can go up."""
    body: dict[str, Any] = {"query": {"wildcard": {"message": {"value": "*a" + "?" * 20}}}}

    with pytest.raises(QueryError, match="too complex"):
        await shared._search(Kind.EVENT, body)


async def test_a_document_of_the_greatest_texts_is_taken(store: ElasticsearchStore) -> None:
    longest = "\U0001f600" * 2048
    await fill(store, [event(1, "b", message=longest, url_full=longest, nsm_detail={"k" * 256: longest})])

    assert len(await found(store, Equals("message", longest))) == 1


def test_a_password_comes_from_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(client.PASSWORD, raising=False)
    secret = tmp_path / "password"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    settings = ElasticsearchSettings(username="collector", password_file=str(secret))

    with pytest.raises(ConfigError, match="chmod 600"):
        client.connect(settings)
    with pytest.raises(ConfigError, match=client.PASSWORD):
        client.connect(ElasticsearchSettings(username="collector"))


async def test_credentials_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(client.API_KEY, raising=False)
    key = tmp_path / "key"
    key.write_text("abc==\n")
    key.chmod(0o600)
    monkeypatch.setenv(client.PASSWORD, "s3cret")

    basic = client.connect(ElasticsearchSettings(username="collector"))
    api_key = client.connect(ElasticsearchSettings(username="collector", api_key_file=str(key)))

    assert basic._headers["authorization"] == "Basic Y29sbGVjdG9yOnMzY3JldA=="
    assert api_key._headers["authorization"] == "ApiKey abc=="
    await basic.close()
    await api_key.close()


def test_a_missing_certificate_file_is_named() -> None:
    with pytest.raises(ConfigError, match="no/such/ca"):
        client.connect(ElasticsearchSettings(urls=("https://es.example:9200",), ca_file="/no/such/ca.pem"))


def test_no_index_name_of_one_prefix_matches_the_patterns_of_another() -> None:
    for one, other in (("a", "ab"), ("ab", "a"), ("a", "aflow")):
        patterns = [
            pattern
            for body in templates.index_templates(ElasticsearchSettings(prefix=one), "").values()
            for pattern in body["index_patterns"]
        ]
        names = [templates.dated_index(other, dataset, NOON.date()) for dataset in Dataset]
        assert not [name for name in names for pattern in patterns if fnmatch(name, pattern)]


def test_the_event_has_no_field_that_the_table_cannot_map() -> None:
    assert [known.name for known in of_kind(Kind.EVENT)] == list(Event.__struct_encode_fields__)

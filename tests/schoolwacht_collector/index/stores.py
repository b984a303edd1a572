"""The three stores opened for a test, events to fill them with, and everything that a search finds, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import STORES
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import SECTOR, Kind, Scope, Search, Store
from schoolwacht_collector.index.settings import ElasticsearchSettings, SqliteSettings
from schoolwacht_collector.query.ast import All, Node

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def sqlite(directory: Path, **settings: Any) -> AsyncIterator[Store]:
    """A new or existing SQLite store."""
    store = STORES["sqlite"].make(SqliteSettings(directory=str(directory), **settings))
    await store.init()
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def elasticsearch(url: str, prefix: str, *, init: bool = False, **settings: Any) -> AsyncIterator[Store]:
    """An Elasticsearch store under a prefix of its own."""
    store = STORES["elasticsearch"].make(ElasticsearchSettings(prefix=prefix, **{"urls": (url,)} | settings))
    try:
        if init:
            await store.init()
        await store.open()
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def memory() -> AsyncIterator[Store]:
    """A store in memory."""
    yield MemoryStore()


async def settle(store: Store) -> None:
    """Make what was created visible to searches now, not in a second."""
    if isinstance(store, ElasticsearchStore):
        await store._client.indices.refresh(index=f"{store._prefix}-*")


async def wipe(url: str, prefix: str) -> None:
    """Take away every index and template of a prefix."""
    store = STORES["elasticsearch"].make(ElasticsearchSettings(urls=(url,), prefix=prefix))
    assert isinstance(store, ElasticsearchStore)
    client = store._client
    indices = list(await client.indices.get(index=f"{prefix}-*", expand_wildcards="all"))
    for start in range(0, len(indices), 20):
        await client.indices.delete(index=indices[start : start + 20], ignore_unavailable=True)
    await client.options(ignore_status=404).indices.delete_index_template(name=f"{prefix}-*")
    await client.options(ignore_status=404).cluster.delete_component_template(name=f"{prefix}-*")
    await store.close()


def event(number: int, board: str, **fields: Any) -> Event:
    """An event of one second after noon a number."""
    values: dict[str, Any] = {
        "timestamp": NOON + timedelta(seconds=number),
        "event_dataset": Dataset.DNS,
        "event_id": f"{board}-{number:05}",
        "organization_id": board,
    }
    return Event(**(values | fields))


async def fill(store: Store, events: Sequence[Event]) -> None:
    """Create events that must all be taken, and make them visible."""
    outcomes = await store.create(events)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED] * len(events), outcomes
    await settle(store)


async def found(
    store: Store, where: Node | None = None, scope: Scope = SECTOR, kind: Kind = Kind.EVENT, **search: Any
) -> list[dict[str, Any]]:
    """All rows of a search, page by page."""
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page = await store.search(Search(kind, where or All(), scope, after=after, **search))
        rows += page.rows
        after = page.next
        if after is None:
            return rows


def ids(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The ids of rows, in their order."""
    return [row.get("event.id") or row["id"] for row in rows]

"""A search read through to its end."""

from __future__ import annotations

from datetime import timedelta

from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.index.through import pages, rows
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Progress
from tests.schoolwacht_collector.made import NOW

SEARCH = Search(Kind.PROGRESS, All(), SECTOR, limit=2, oldest_first=True)


async def _filled(number: int) -> MemoryStore:
    store = MemoryStore()
    records = [Progress(id=f"{place}", timestamp=NOW + timedelta(seconds=place), until=NOW) for place in range(number)]
    await store.put_many(Kind.PROGRESS, records)
    return store


async def test_every_row_comes_once_and_in_order() -> None:
    assert [row["id"] async for row in rows(await _filled(5), SEARCH)] == ["0", "1", "2", "3", "4"]


async def test_pages_are_as_large_as_the_search_says() -> None:
    assert [len(some) async for some in pages(await _filled(5), SEARCH)] == [2, 2, 1]


async def test_of_nothing_there_is_one_empty_page() -> None:
    assert [some async for some in pages(MemoryStore(), SEARCH)] == [[]]

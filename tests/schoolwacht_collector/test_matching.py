from __future__ import annotations

from datetime import timedelta

import pytest

from schoolwacht.errors import StoreError
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Page, Search
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.serving import NOW, flow


def indicator(number: int, **changes: object) -> Indicator:
    values: dict[str, object] = {
        "id": f"i{number}",
        "timestamp": NOW + timedelta(seconds=number),
        "type": IndicatorType.ADDRESS,
        "value": f"203.0.113.{number}",
    }
    return Indicator(**(values | changes))  # type: ignore[arg-type] # values of several types


def hits(matching: Matching, number: int) -> list[str]:
    return [hit.indicator.id for hit in matching.indicators.match(flow(destination_ip=f"203.0.113.{number}"))]


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.pages = 0
        self.broken = False

    async def search(self, search: Search) -> Page:
        if self.broken:
            raise StoreError("no answer")
        self.pages += search.limit > 1
        return await super().search(search)


async def test_more_than_a_page_of_indicators_is_matched() -> None:
    store = MemoryStore()
    many = [indicator(0, id=f"n{number}", value=f"10.{number // 250}.{number % 250}.1") for number in range(2500)]
    await store.put_many(Kind.INDICATOR, many)
    matching = Matching(store, past=None)
    await matching.load()
    assert matching.indicators.size == 2500


async def test_a_new_indicator_is_matched_after_the_next_look() -> None:
    store = MemoryStore()
    matching = Matching(store, past=None)
    await matching.load()
    assert hits(matching, 1) == []
    await store.put_many(Kind.INDICATOR, [indicator(1)])
    await matching.load()
    assert hits(matching, 1) == ["i1"]


async def test_a_changed_indicator_is_read_again() -> None:
    store = MemoryStore()
    await store.put_many(Kind.INDICATOR, [indicator(1)])
    matching = Matching(store, past=None)
    await matching.load()
    ended = indicator(1, timestamp=NOW + timedelta(minutes=5), valid_until=NOW - timedelta(hours=1))
    await store.put_many(Kind.INDICATOR, [ended])
    await matching.load()
    assert hits(matching, 1) == []


async def test_nothing_is_read_when_nothing_changed() -> None:
    store = CountingStore()
    await store.put_many(Kind.INDICATOR, [indicator(1)])
    matching = Matching(store, past=None)
    await matching.load()
    await matching.load()
    assert store.pages == 1


async def test_a_store_that_does_not_answer_leaves_the_set_as_it_is() -> None:
    store = CountingStore()
    await store.put_many(Kind.INDICATOR, [indicator(1)])
    matching = Matching(store, past=None)
    await matching.load()
    store.broken = True
    with pytest.raises(StoreError):
        await matching.load()
    assert hits(matching, 1) == ["i1"]


async def test_an_old_capture_is_matched_with_what_was_valid_then() -> None:
    store = MemoryStore()
    await store.put_many(Kind.INDICATOR, [indicator(1, valid_until=NOW.replace(year=2012))])
    matching = Matching(store, past=None)
    await matching.load()
    old = flow(timestamp=NOW.replace(year=2011), destination_ip="203.0.113.1")
    assert len(matching.indicators.match(old)) == 1
    bounded = Matching(store, past=timedelta(days=14))
    await bounded.load()
    assert bounded.indicators.size == 0

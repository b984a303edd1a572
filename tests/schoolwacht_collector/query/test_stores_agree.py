"""Memory, SQLite and the real Elasticsearch give the same answers to the same questions over the same data."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schoolwacht.derive import derive
from schoolwacht.event import Event
from schoolwacht_collector.index.port import SECTOR, Kind, Scope, Search, Store
from schoolwacht_collector.query.ast import All, And, Matches, Node
from tests.schoolwacht_collector.index import stores
from tests.schoolwacht_collector.query.generated import boards, conditions, corpus, events, queries

# Not shrunk: an example takes a fifth of a second, and a failing one names its query anyway.
_PHASES = (Phase.explicit, Phase.generate)
_kinds = st.sampled_from([Kind.EVENT, Kind.SIGNAL])
_times = st.sampled_from(["@timestamp", "event.ingested"])


class Rig:
    """The three stores and a loop to run them in."""

    def __init__(self, runner: asyncio.Runner, opened: list[Store]) -> None:
        self.runner = runner
        self.stores = opened
        self.examples = 0
        self.corpus: Node = All()

    def answers(self, *searches: Search) -> list[list[list[dict[str, Any]]]]:
        """Every row of each search, of each store."""

        async def ask(store: Store, search: Search) -> list[dict[str, Any]]:
            rest = search._asdict()
            del rest["after"]
            return await stores.found(store, rest.pop("where"), rest.pop("scope"), rest.pop("kind"), **rest)

        async def ask_all() -> list[list[list[dict[str, Any]]]]:
            asked = [asyncio.gather(*(ask(store, search) for store in self.stores)) for search in searches]
            return await asyncio.gather(*asked)

        return self.runner.run(ask_all())

    def tallies(self, search: Search, by: str, top: int) -> list[list[tuple[str, Any]]]:
        """The tally of each store, in its order."""

        async def ask_all() -> list[Any]:
            return await asyncio.gather(*(store.tally(search, by, top=top) for store in self.stores))

        return [list(tally.items()) for tally in self.runner.run(ask_all())]

    def fill(self, found: list[Event]) -> Node:
        """Create the events in every store under new ids; the condition that finds only these."""
        self.examples += 1
        mark = f"{self.examples:06}"
        for place, event in enumerate(found):
            event.event_id = f"{mark}-{place:03}"
            derive(event)

        async def fill_all() -> None:
            for store in self.stores:
                await stores.fill(store, found)

        self.runner.run(fill_all())
        return Matches("event.id", f"{mark}-*")


@pytest.fixture(scope="module")
def rig(elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    prefix = f"t{secrets.token_hex(6)}"
    directory: Path = tmp_path_factory.mktemp("agree")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def enter() -> list[Store]:
            return [
                await stack.enter_async_context(opening)
                for opening in (
                    stores.memory(),
                    stores.sqlite(directory / "store"),
                    stores.elasticsearch(elasticsearch_url, prefix, init=True),
                )
            ]

        ready = Rig(runner, runner.run(enter()))
        ready.corpus = ready.fill(corpus())
        yield ready
        runner.run(stack.aclose())
        runner.run(stores.wipe(elasticsearch_url, prefix))


def test_all_stores_agree_on_every_value_in_every_condition(rig: Rig) -> None:
    every = conditions()
    for start in range(0, len(every), 16):
        searches = [
            Search(Kind.EVENT, And((rig.corpus, where)), SECTOR, limit=1000) for where in every[start : start + 16]
        ]
        for search, answers in zip(searches, rig.answers(*searches), strict=True):
            expected, from_sqlite, from_elasticsearch = map(stores.ids, answers)
            assert (search.where, from_sqlite) == (search.where, expected)
            assert (search.where, from_elasticsearch) == (search.where, expected)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
@given(data=st.data())
def test_all_stores_find_the_same_rows_in_the_same_order(rig: Rig, data: st.DataObject) -> None:
    these = rig.fill(data.draw(events, label="events"))
    for _ in range(12):
        scope = Scope(data.draw(boards, label="boards"))
        search = Search(
            kind=data.draw(_kinds, label="kind"),
            where=And((these, data.draw(queries, label="query"))),
            scope=scope,
            limit=data.draw(st.integers(1, 9), label="page"),
            oldest_first=data.draw(st.booleans(), label="oldest first"),
            time_field=data.draw(_times, label="time field"),
        )
        ((expected, from_sqlite, from_elasticsearch),) = rig.answers(search)
        assert from_sqlite == expected
        assert from_elasticsearch == expected
        if scope.boards is not None:
            assert all(row.get("organization.id") in scope.boards for row in expected)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
@given(data=st.data())
def test_all_stores_count_the_same(rig: Rig, data: st.DataObject) -> None:
    these = rig.fill(data.draw(events, label="events"))
    for by in ("signal.key", "tags", "organization.id", "event.dataset"):
        search = Search(
            kind=data.draw(_kinds, label="kind"),
            where=And((these, data.draw(queries, label="query"))),
            scope=Scope(data.draw(boards, label="boards")),
        )
        top = data.draw(st.sampled_from([1, 2, 1000]), label="top")
        expected, from_sqlite, from_elasticsearch = rig.tallies(search, by, top)
        assert from_sqlite == expected
        assert from_elasticsearch == expected


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
@given(where=queries, scope=st.frozensets(st.sampled_from(["41", "4"])))
def test_no_query_finds_a_row_of_another_board(rig: Rig, where: Node, scope: frozenset[str]) -> None:
    (answers,) = rig.answers(Search(Kind.EVENT, where, Scope(scope), limit=5000))
    for answer in answers:
        assert {row.get("organization.id") for row in answer} <= scope

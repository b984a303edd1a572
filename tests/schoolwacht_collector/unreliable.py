"""A store that fails where a test says so, around a real one: a crash or an outage at any call, before or after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.index.port import Health, Kind, Outcome, Page, Search, Store, Tally, Versioned


class Crash(BaseException):
    """The process ended here. No ordinary handler may catch it."""


class Unreliable:
    """Passes every call on to ``store``; counts the calls, and gives way to other tasks at each.

    ``fail_at`` counts down: at zero the call raises ``fault``, after its effect if ``after``, else without any.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls = 0
        self.fail_at: int | None = None
        self.fault: BaseException = Crash()
        self.after = False

    def _due(self) -> bool:
        self.calls += 1
        if self.fail_at is None:
            return False
        self.fail_at -= 1
        if self.fail_at > 0:
            return False
        self.fail_at = None
        return True

    async def _gate(self) -> bool:
        await asyncio.sleep(0)
        due = self._due()
        if due and not self.after:
            raise self.fault
        return due

    def _leave(self, due: bool) -> None:
        if due:
            raise self.fault

    async def open(self) -> None:
        await self.store.open()

    async def init(self, *, migrate: bool = False) -> None:
        await self.store.init(migrate=migrate)

    async def close(self) -> None:
        await self.store.close()

    async def health(self) -> Health:
        return await self.store.health()

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        return await self.store.create(events)

    async def search(self, search: Search) -> Page:
        due = await self._gate()
        page = await self.store.search(search)
        self._leave(due)
        return page

    async def tally(self, search: Search, by: str, *, top: int = 1000) -> Mapping[str, Tally]:
        due = await self._gate()
        found = await self.store.tally(search, by, top=top)
        self._leave(due)
        return found

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the port's name
        due = await self._gate()
        found = await self.store.get(kind, id)
        self._leave(due)
        return found

    async def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        due = await self._gate()
        made = await self.store.put(kind, record, version)
        self._leave(due)
        return made

    async def expire(self, first: Mapping[Dataset, date], *, rehearse: bool = False) -> list[str]:
        return await self.store.expire(first, rehearse=rehearse)

    async def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        await self.store.put_many(kind, records)


def outage() -> StoreError:
    """The fault of a store that does not answer."""
    return StoreError("the store does not answer")

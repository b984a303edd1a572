"""The indicators that the intake matches: loaded from the store, exchanged whole when they changed there.

Promise: a change in the store is matched within :data:`INTERVAL` seconds, on every collector; a batch is matched by one
set from beginning to end. Limits: all are read again for any change (100,000 take a few seconds of a thread); a store
that does not answer leaves the set as it is.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec

from schoolwacht.match import GRACE, IndicatorSet
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.offer import Offer, offer_of
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Indicator

#: Seconds between two looks at the store.
INTERVAL = 5.0
#: After so many looks the indicators are read again even if nothing seems changed.
_AT_LEAST = 60
_PAGE = 1000
_TYPE = "threat.indicator.type"
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_logger = logging.getLogger(__name__)

#: What shows that something changed: the newest record's time and id, and how many there are.
State: TypeAlias = tuple[str, str, int]


class Matching:
    """The current set of indicators, as ``indicators``, and what agents get of it, as ``offer``.

    Args:
        store: where they are kept.
        past: the greatest age of an event that is taken, None for any: an indicator that expired before is left out.
    """

    def __init__(self, store: Store, *, past: timedelta | None) -> None:
        self.indicators = IndicatorSet.build(())
        self.offer = offer_of((), datetime.now(UTC))
        self._store = store
        self._past = past
        self._state: State | None = None

    def exchange(self, *, past: timedelta | None) -> None:
        """Another greatest age; the next look takes in what it lets in."""
        if past != self._past:
            self._past = past
            self._state = None

    async def load(self) -> None:
        """Read the indicators, unless nothing changed since the last time. Raises StoreError."""
        state = await self._look()
        if state == self._state:
            return
        found = [row async for row in rows(self._store, Search(Kind.INDICATOR, All(), SECTOR, limit=_PAGE))]
        # In a thread: building takes seconds for a large set, and nothing else uses the new one yet.
        self.indicators, self.offer = await asyncio.to_thread(_build, found, self._oldest() + GRACE)
        self._state = state
        _logger.info("%d indicators are matched", self.indicators.size)

    async def run(self) -> None:
        """Load again whenever the store changed, for ever."""
        looks = 0
        while True:
            await asyncio.sleep(INTERVAL)
            looks += 1
            if looks % _AT_LEAST == 0:
                self._state = None
            await self.load()

    def _oldest(self) -> datetime:
        """Before what time no event is taken any more."""
        return _FIRST if self._past is None else datetime.now(UTC) - self._past

    async def _look(self) -> State:
        search = Search(Kind.INDICATOR, All(), SECTOR, limit=1)
        newest = (await self._store.search(search)).rows
        number = sum(tally.number for tally in (await self._store.tally(search, _TYPE)).values())
        return (newest[0]["@timestamp"], newest[0]["id"], number) if newest else ("", "", number)


def _build(rows: list[Row], now: datetime) -> tuple[IndicatorSet, Offer]:
    present = datetime.now(UTC)
    indicators = [
        each
        for each in (msgspec.convert(row, Indicator) for row in rows)
        if each.valid_from is None or each.valid_from <= present
    ]
    return IndicatorSet.build(indicators, now=now), offer_of(indicators, present)

"""The leader's job that counts sightings: which values are known, since when, and at how many schools.

Promise: every stored sighting is counted, by arrival, within seconds; counting one again changes nothing, so a crash
or another leader begins a little earlier than the last one ended (:data:`OVERLAP`). Agents send sightings at every
level of detail (docs/privacy.md), so nothing else is read.

Cost: reads each sighting once; a bucket is read when one of its values comes by and is not held, and written once a
look if it changed. Limits: :data:`HELD` buckets in memory. Two leaders at once may each write a bucket; the one that
wrote last wins, and the next sighting (an hour later at most) puts in what the other had.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset
from schoolwacht_collector import progress
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.index.through import pages
from schoolwacht_collector.prevalence.ask import JA4, JA4_CIPHERS, KINDS, Answer, answer_of
from schoolwacht_collector.prevalence.buckets import Bucket, bucket_of
from schoolwacht_collector.prevalence.known import Arrival, Value, begun
from schoolwacht_collector.query.ast import Equals, OneOf
from schoolwacht_collector.records import PrevalenceBucket

PERIOD = 5.0
#: Looks between two that read the whole overlap again; the others begin :data:`NEAR` before the newest that was read.
WHOLE = 12
NEAR = timedelta(seconds=10)
OVERLAP = timedelta(minutes=2)
#: How far back a first leader begins.
HISTORY = timedelta(days=1)
HELD = 20_000
#: What one sighting covers, with room for late ends.
STANDS_FOR = timedelta(hours=2)
_PAGE = 2000
_JOB = "prevalence"
#: Since when sightings are counted at all.
_BEGUN = "prevalence-begun"
_SIGHTING = Equals("event.dataset", Dataset.SIGHTING.value)
log = logging.getLogger(__name__)


class Counter:
    """Counts sightings. One runs at a time, at the leader.

    Args:
        store: where sightings and buckets are.
        on_change: called with the values that a look changed; may be set later.
        clock: system time in UTC.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_change: Callable[[Sequence[Answer]], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self.on_change = on_change
        self._clock = clock
        self._until: datetime | None = None
        self._newest: datetime | None = None
        self._looks = 0
        self._held: OrderedDict[str, Bucket] = OrderedDict()
        #: Since when sightings are counted, once a look has asked.
        self.begun: datetime | None = None
        #: Values that gave way in a full bucket.
        self.evicted = 0

    async def run(self) -> None:
        """Count for ever. A store that fails is tried again."""
        self._until = self._newest = None
        self._held.clear()
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("sightings wait for the store: %s", error)
            await asyncio.sleep(PERIOD)

    async def look(self) -> int:
        """Count what came in since the last look; how many sightings. Raises StoreError."""
        now = self._clock()
        if self._until is None:
            resumed = await progress.reached(self._store, _JOB)
            self._until = now - HISTORY if resumed is None else resumed
            self.begun = await self._birth(self._until)
        since = self._until
        if self._newest is not None and self._looks % WHOLE:
            since = max(since, self._newest - NEAR)
        self._looks += 1
        search = Search(
            Kind.EVENT, _SIGHTING, SECTOR, since=since, limit=_PAGE, oldest_first=True, time_field="event.ingested"
        )
        number = 0
        async for rows in pages(self._store, search):
            await self._count(rows, now)
            number += len(rows)
            if rows:
                self._newest = datetime.fromisoformat(rows[-1]["event.ingested"])
        await self._advance(now)
        return number

    async def _birth(self, first: datetime) -> datetime:
        """Since when sightings are counted; kept in the store the first time."""
        known = await progress.reached(self._store, _BEGUN)
        if known is None:
            await progress.advance(self._store, _BEGUN, first, now=self._clock())
            return first
        return known

    async def _count(self, rows: Sequence[Row], now: datetime) -> None:
        seen = [one for row in rows for one in _seen(row)]
        await self._fetch({bucket_of(kind, value) for kind, value, *_ in seen})
        dirty: dict[str, Bucket] = {}
        changed: dict[tuple[str, str], Value] = {}
        for kind, value, first, last, arrival in seen:
            bucket = self._held[bucket_of(kind, value)]
            known = bucket.values.get((kind, value))
            fresh = known is None
            if known is None:
                known = begun(kind, value, first, last)
                self.evicted += bucket.put(known)
            if known.see(first, last, arrival) or fresh:
                dirty[bucket.id] = bucket
                changed[kind, value] = known
        if dirty:
            await self._store.put_many(
                Kind.PREVALENCE,
                [PrevalenceBucket(id=one.id, timestamp=now, values=one.text()) for one in dirty.values()],
            )
        while len(self._held) > HELD:
            self._held.popitem(last=False)
        if changed:
            self.on_change([answer_of(value) for value in changed.values()])

    async def _fetch(self, ids: set[str]) -> None:
        """Have these buckets in memory."""
        missing = sorted(ids - self._held.keys())
        for start in range(0, len(missing), 500):
            some = missing[start : start + 500]
            search = Search(Kind.PREVALENCE, OneOf("id", tuple(some)), SECTOR, limit=500)
            texts = {row["id"]: row["prevalence.values"] for row in (await self._store.search(search)).rows}
            for id in some:  # noqa: A001 - the field's name everywhere
                self._held[id] = Bucket(id, texts.get(id))
        for id in ids:  # noqa: A001 - as above
            self._held.move_to_end(id)

    async def _advance(self, now: datetime) -> None:
        """What came in before this is counted; told to the next leader."""
        until = now - OVERLAP
        if self._until is not None and until <= self._until:
            return
        if await progress.advance(self._store, _JOB, until, now=now):
            self._until = until


def _seen(row: Row) -> list[tuple[str, str, datetime, datetime, Arrival]]:
    """What a stored sighting says: kind, value, first, last, where. A JA4 also says its ciphers."""
    kind, value = row.get("sighting.kind"), row.get("sighting.value")
    if kind not in KINDS or not value or "school.location" not in row:
        return []
    last = datetime.fromisoformat(row["@timestamp"])
    first = datetime.fromisoformat(row["event.start"]) if "event.start" in row else last
    # A sighting stands for an hour; an agent may not say that a value is older.
    first = max(min(first, last), last - STANDS_FOR)
    arrival = Arrival(first.timestamp(), row["school.location"], row.get("organization.id", ""), row["observer.name"])
    found = [(kind, value, first, last, arrival)]
    if kind == JA4 and (ciphers := ciphers_of(value)):
        found.append((JA4_CIPHERS, ciphers, first, last, arrival))
    return found


def ciphers_of(ja4: str) -> str | None:
    """The part of a JA4 that says which ciphers are offered, in what number, and over what; None if it is no JA4.

    ``t13d1516h2_8daaf6152771_b186095e22b6``: protocol, ciphers' number and hash stay while a program is released anew;
    its extensions change.
    """
    parts = ja4.split("_")
    return f"{parts[0][:6]}_{parts[1]}" if len(parts) == 3 and len(parts[0]) == 10 else None

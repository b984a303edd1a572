"""A store in memory: the whole port by brute force. For tests, and the reference that the others are compared with.

Promise: the same answers as SQLite and Elasticsearch. Limits: nothing is kept after :meth:`MemoryStore.close`; every
search looks at every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from schoolwacht.errors import Conflict, StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import documents, pages
from schoolwacht_collector.index.port import DOCUMENTS, Health, Kind, Outcome, Page, Row, Search, Tally, Versioned
from schoolwacht_collector.query.evaluate import micros, predicate, values
from schoolwacht_collector.records import RECORDS


class MemoryStore:
    """Rows in dictionaries. ``outage`` set to a reason makes every write fail with it, as a full disk would."""

    def __init__(self) -> None:
        self.outage: str | None = None
        self._rows: dict[Kind, dict[str, Row]] = {kind: {} for kind in Kind}
        self._versions: dict[tuple[Kind, str], int] = {}

    async def open(self) -> None:
        """Nothing to connect to."""

    async def init(self, *, migrate: bool = False) -> None:
        """Nothing to make."""

    async def close(self) -> None:
        """Nothing to let go."""

    async def health(self) -> Health:
        """Writable, unless there is an ``outage``."""
        return Health(self.outage is None, self.outage or "in memory")

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        """See :meth:`.port.Store.create`."""
        if self.outage is not None:
            return [Outcome(Verdict.RETRY, created=False, reason=self.outage) for _ in events]
        return [self._create(event) for event in events]

    async def expire(self, first: Mapping[Dataset, date], *, rehearse: bool = False) -> list[str]:
        """See :meth:`.port.Store.expire`."""
        gone: dict[tuple[date, str], None] = {}
        for kind in DOCUMENTS:
            rows = self._rows[kind]
            for name, row in list(rows.items()):
                dataset, day = Dataset(row["event.dataset"]), date.fromisoformat(row["@timestamp"][:10])
                if dataset in first and day < first[dataset]:
                    gone[day, dataset.value] = None
                    if not rehearse:
                        del rows[name]
        return [f"{dataset} of {day}" for day, dataset in sorted(gone)]

    async def search(self, search: Search) -> Page:
        """See :meth:`.port.Store.search`."""
        size = pages.page_size(search.limit)
        after = None if search.after is None else pages.place(search.after)
        places = sorted(
            ((pages.Place(moment, name), row) for moment, name, row in self._found(search)),
            key=lambda found: found[0],
            reverse=not search.oldest_first,
        )
        if after is not None:
            places = [(here, row) for here, row in places if (here > after if search.oldest_first else here < after)]
        page = places[:size]
        more = len(places) > size
        return Page([dict(row) for _, row in page], pages.token(page[-1][0]) if more else None)

    async def tally(self, search: Search, by: str, *, top: int = 1000) -> Mapping[str, Tally]:
        """See :meth:`.port.Store.tally`."""
        counted = pages.check_tally(by)
        times: dict[str, list[str]] = {}
        for _, _, row in self._found(search):
            for value in dict.fromkeys(values(row, counted)):
                times.setdefault(value, []).append(row["@timestamp"])
        moments = {value: sorted(map(datetime.fromisoformat, found)) for value, found in times.items()}
        ranked = sorted(moments.items(), key=lambda item: (-len(item[1]), item[0]))[:top]
        return {value: Tally(len(found), found[0], found[-1]) for value, found in ranked}

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the port's name
        """See :meth:`.port.Store.get`."""
        row = self._rows[kind].get(id)
        if row is None:
            return None
        return Versioned(msgspec.convert(row, RECORDS[kind]), str(self._versions[kind, id]))

    async def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        """See :meth:`.port.Store.put`."""
        name, row = self._record(kind, record)
        now = self._versions.get((kind, name))
        if (None if now is None else str(now)) != version:
            raise Conflict(f"{kind} {name} has version {now}, not {version}")
        return self._keep(kind, name, row)

    async def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        """See :meth:`.port.Store.put_many`."""
        for name, row in [self._record(kind, record) for record in records]:
            self._keep(kind, name, row)

    def _create(self, event: Event) -> Outcome:
        try:
            documents.prepare(event)
            row = documents.row(documents.encode(event))
        except documents.Unfit as error:
            return Outcome(Verdict.REJECTED, created=False, reason=str(error))
        rows = self._rows[documents.kind_of(event)]
        created = rows.setdefault(row["event.id"], row) is row
        return Outcome(Verdict.DELIVERED, created)

    def _record(self, kind: Kind, record: msgspec.Struct) -> tuple[str, Row]:
        if not isinstance(record, RECORDS[kind]):
            raise StoreError(f"a {type(record).__name__} is no record of kind {kind}")
        if self.outage is not None:
            raise StoreError(self.outage)
        row = documents.row(documents.encode_record(record))
        return row["id"], row

    def _keep(self, kind: Kind, name: str, row: Row) -> str:
        self._rows[kind][name] = row
        version = self._versions[kind, name] = self._versions.get((kind, name), 0) + 1
        return str(version)

    def _found(self, search: Search) -> Iterator[tuple[int, str, Row]]:
        """Microseconds, id and row of everything that matches, in no order."""
        pages.check_search(search)
        test = predicate(search.where)
        since = None if search.since is None else micros(search.since)
        until = None if search.until is None else micros(search.until)
        identity = "event.id" if search.kind in DOCUMENTS else "id"
        boards = search.scope.boards
        for row in self._rows[search.kind].values():
            if boards is not None and row.get("organization.id") not in boards:
                continue
            text: Any = row.get(search.time_field)
            if text is None:
                continue
            moment = micros(datetime.fromisoformat(text).astimezone(UTC))
            if (since is None or moment >= since) and (until is None or moment < until) and test(row):
                yield moment, row[identity], row

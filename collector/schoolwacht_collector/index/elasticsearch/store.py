"""The store on Elasticsearch: the port over a cluster.

Signals are seen by searches a second after they were created, events after ``refresh_seconds`` of the settings; records
at once by the process that put them, since it refreshes before it searches. Counts of
:meth:`ElasticsearchStore.tally` are exact as long as one index has fewer than :data:`.searching.SHARD_SIZE` different
values. How much is sent at once follows what the cluster takes (:mod:`.pace`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from elasticsearch import AsyncElasticsearch, ConflictError, NotFoundError

from schoolwacht.errors import Conflict, StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import documents, pages
from schoolwacht_collector.index.elasticsearch import bulk, client, health, schema, templates
from schoolwacht_collector.index.elasticsearch.pace import Flight, Pace
from schoolwacht_collector.index.elasticsearch.probe import Trait, probe
from schoolwacht_collector.index.elasticsearch.searching import page_body, tally_body
from schoolwacht_collector.index.port import DOCUMENTS, Health, Kind, Outcome, Page, Search, Tally, Versioned
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.query.evaluate import micros
from schoolwacht_collector.records import RECORDS

#: Events that are encoded before other tasks get their turn.
_YIELD = 200
_PUT_MANY = 2000
_DELETED_AT_ONCE = 20
_ANSWER = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = {kind: "event.id" if kind in DOCUMENTS else "id" for kind in Kind}


class ElasticsearchStore:
    """See :class:`schoolwacht_collector.index.port.Store`."""

    def __init__(self, settings: ElasticsearchSettings) -> None:
        self._settings = settings
        self._prefix = settings.prefix
        self._pace = Pace(settings.bulk_requests, settings.bulk_items, clock=time.monotonic)
        self._unseen: set[Kind] = set()
        self._refreshing = {kind: asyncio.Lock() for kind in RECORDS}
        self._made: AsyncElasticsearch | None = None

    @property
    def _client(self) -> AsyncElasticsearch:
        if self._made is None:
            self._made = client.connect(self._settings)
        return self._made

    async def open(self) -> None:
        """Check that the cluster answers and has this version's templates."""
        try:
            await self._client.cluster.health()
            found = await schema.found(self._client, self._prefix)
        except client.FAULTS as error:
            raise StoreError(client.fault(error), path=", ".join(self._settings.urls)) from error
        schema.check(found, self._prefix, templates.version(self._settings))

    async def init(self, *, migrate: bool = False) -> None:
        """Put the templates, make the indices of the records, and add new fields to what is there."""
        version = templates.version(self._settings)
        try:
            there = await schema.found(self._client, self._prefix)
            schema.check_before_change(there, self._prefix, migrate=migrate)
            # The component template says that all is done, and comes last too: an init that was broken off is seen.
            for name, body in templates.component_templates(self._settings).items():
                unfinished = {"version": "unfinished", "schema": there.schema if there else templates.SCHEMA}
                await self._client.cluster.put_component_template(name=name, **_renamed(body | {"_meta": unfinished}))
            for name, body in templates.index_templates(self._settings, version).items():
                await self._client.indices.put_index_template(name=name, **_renamed(body))
            for kind in RECORDS:
                name = templates.readable(self._prefix, kind)
                if not await self._client.indices.exists(index=name):
                    await self._client.indices.create(index=name)
            await self._add_fields()
            for name, body in templates.component_templates(self._settings).items():
                await self._client.cluster.put_component_template(name=name, **_renamed(body))
        except client.FAULTS as error:
            raise client.translated(error) from error

    async def _add_fields(self) -> None:
        """Give the indices that exist the fields that are new."""
        for kind in Kind:
            await self._client.indices.put_mapping(
                index=templates.patterns(self._prefix, kind),
                properties=templates.mapping(kind)["properties"],
                ignore_unavailable=True,
                allow_no_indices=True,
            )

    async def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            await self._made.close()

    async def health(self) -> Health:
        """Whether the cluster answers, no index of ours has lost its primary and none is blocked for writing."""
        try:
            return await health.look(self._client, self._prefix)
        except client.FAULTS as error:
            return Health(writable=False, detail=client.fault(error))

    async def traits(self) -> list[Trait]:
        """What the cluster has and how it stands, for ``doctor``."""
        return await probe(self._client, self._settings)

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        """See :meth:`.port.Store.create`."""
        results = [bulk.THERE] * len(events)
        builder = bulk.Builder(self._prefix, items=self._settings.bulk_items, size=self._settings.bulk_bytes)
        async with asyncio.TaskGroup() as sending:
            for place, event in enumerate(events):
                try:
                    part = builder.add(place, event)
                except documents.Unfit as error:
                    results[place] = Outcome(Verdict.REJECTED, created=False, reason=str(error))
                    continue
                if part is not None:
                    sending.create_task(self._send(part, results))
                if place % _YIELD == _YIELD - 1:
                    await asyncio.sleep(0)
            if (part := builder.flush()) is not None:
                sending.create_task(self._send(part, results))
        return results

    async def expire(self, first: Mapping[Dataset, date], *, rehearse: bool = False) -> list[str]:
        """See :meth:`.port.Store.expire`. Whole indices; nothing is deleted by query, which not every build can."""
        try:
            found = await self._client.indices.get_alias(
                index=[templates.dated_indices(self._prefix, dataset) for dataset in first],
                ignore_unavailable=True,
                allow_no_indices=True,
            )
            gone = _outlived(self._prefix, found.body, first)
            for start in range(0, 0 if rehearse else len(gone), _DELETED_AT_ONCE):
                await self._client.indices.delete(index=gone[start : start + _DELETED_AT_ONCE], ignore_unavailable=True)
        except client.FAULTS as error:
            raise client.translated(error) from error
        return gone

    async def search(self, search: Search) -> Page:
        """See :meth:`.port.Store.search`."""
        pages.check_search(search)
        size = pages.page_size(search.limit)
        after = None if search.after is None else pages.place(search.after)
        answer = await self._search(search.kind, page_body(search, after, size + 1))
        rows = [hit["_source"] for hit in answer["hits"]["hits"]]
        if len(rows) <= size:
            return Page(rows, None)
        last = rows[size - 1]
        moment = micros(datetime.fromisoformat(last[search.time_field]))
        return Page(rows[:size], pages.token(pages.Place(moment, last[_ID[search.kind]])))

    async def tally(self, search: Search, by: str, *, top: int = 1000) -> Mapping[str, Tally]:
        """See :meth:`.port.Store.tally`."""
        pages.check_search(search)
        answer = await self._search(search.kind, tally_body(search, pages.check_tally(by), top))
        if "aggregations" not in answer:  # no index yet
            return {}
        return {bucket["key"]: _tally(bucket) for bucket in answer["aggregations"]["by"]["buckets"]}

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the port's name
        """See :meth:`.port.Store.get`."""
        if not documents.may_be_id(id):  # the cluster would call the request itself wrong
            return None
        try:
            found = await self._client.get(index=templates.readable(self._prefix, kind), id=id)
        except NotFoundError as error:
            if isinstance(error.body, dict) and error.body.get("found") is False:
                return None
            raise client.translated(error) from error
        except client.FAULTS as error:
            raise client.translated(error) from error
        record = msgspec.convert(found["_source"], RECORDS[kind])
        return Versioned(record, f"{found['_seq_no']}:{found['_primary_term']}")

    async def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        """See :meth:`.port.Store.put`."""
        name, body = _record(kind, record)
        condition: dict[str, Any] = {"op_type": "create"} if version is None else _condition(version)
        try:
            done = await self._client.index(
                index=templates.readable(self._prefix, kind),
                id=name,
                document=body,  # type: ignore[arg-type] # the client sends bytes as they are
                **condition,
            )
        except ConflictError as error:
            wanted = "is there already" if version is None else f"no longer has version {version}"
            raise Conflict(f"{kind} {name} {wanted}") from error
        except client.FAULTS as error:
            raise client.translated(error) from error
        finally:
            self._unseen.add(kind)
        return f"{done['_seq_no']}:{done['_primary_term']}"

    async def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        """See :meth:`.port.Store.put_many`."""
        lines: list[bytes] = []
        for name, body in [_record(kind, record) for record in records]:
            lines += [msgspec.json.encode({"index": {"_id": name}}), body]
        index = templates.readable(self._prefix, kind)
        try:
            for start in range(0, len(lines), 2 * _PUT_MANY):
                answer = await self._client.bulk(
                    index=index,
                    operations=lines[start : start + 2 * _PUT_MANY],  # type: ignore[arg-type] # sent as they are
                    filter_path="errors,items.*.error",
                )
                if answer["errors"]:
                    first = next(iter(answer["items"][0].values()))
                    raise StoreError(f"records of kind {kind} were refused: {bulk.explanation(first['error'])}")
        except client.FAULTS as error:
            raise client.translated(error) from error
        finally:
            self._unseen.add(kind)

    async def _send(self, part: bulk.Part, results: list[Outcome]) -> None:
        """Send one request; write the outcome of each of its items into ``results``."""
        try:
            async with self._pace.flight() as flight:
                if (most := self._pace.items) < len(part.places):  # it was made before the cluster was overloaded
                    found = None
                else:
                    found = await self._send_now(part, flight)
        except client.FAULTS as error:
            if client.status(error) == 413:
                await self._send_smaller(part, results, client.fault(error))
                return
            found = [bulk.retry(client.fault(error))] * len(part.places)
        if found is None:
            for piece in part.pieces(most):
                await self._send(piece, results)
            return
        for place, outcome in zip(part.places, found, strict=True):
            results[place] = outcome

    async def _send_now(self, part: bulk.Part, flight: Flight) -> list[Outcome]:
        """Send a request, and tell the pace how it went. Raises the client's errors."""
        try:
            answer = await self._client.bulk(
                operations=part.body,  # type: ignore[arg-type] # the client sends bytes as they are
                filter_path=_ANSWER,
            )
        except client.FAULTS as error:
            if client.is_overload(error):
                self._pace.overloaded(flight, client.fault(error))
            raise
        found = bulk.outcomes(answer.body, len(part.places))
        if (refused := bulk.overload(answer.body, found)) is not None:
            self._pace.overloaded(flight, refused)
        else:
            self._pace.went_well()
        return found

    async def _send_smaller(self, part: bulk.Part, results: list[Outcome], reason: str) -> None:
        if len(part.places) == 1:
            results[part.places[0]] = Outcome(Verdict.REJECTED, created=False, reason=reason)
            return
        for half in part.halves():
            await self._send(half, results)

    async def _search(self, kind: Kind, body: dict[str, Any]) -> Any:
        index = templates.readable(self._prefix, kind)
        try:
            if kind in self._refreshing:
                async with self._refreshing[kind]:
                    if kind in self._unseen:
                        self._unseen.discard(kind)
                        await self._client.indices.refresh(index=index)
            return await self._client.search(
                index=index,
                **body,
                ignore_unavailable=kind in DOCUMENTS,
                allow_no_indices=True,
                allow_partial_search_results=False,
            )
        except client.FAULTS as error:
            self._unseen.update({kind} & self._refreshing.keys())
            raise client.translated(error) from error


def _outlived(prefix: str, names: Iterable[str], first: Mapping[Dataset, date]) -> list[str]:
    """The indices whose day has passed, oldest first."""
    dated = [(templates.dated(prefix, name), name) for name in names]
    return [
        name
        for _, name in sorted(
            (known.day, name) for known, name in dated if known is not None and known.day < first[known.dataset]
        )
    ]


def _record(kind: Kind, record: msgspec.Struct) -> tuple[str, bytes]:
    if not isinstance(record, RECORDS[kind]):
        raise StoreError(f"a {type(record).__name__} is no record of kind {kind}")
    body = documents.encode_record(record)
    return documents.row(body)["id"], body


def _condition(version: str) -> dict[str, int]:
    sequence, colon, term = version.partition(":")
    if not (colon and sequence.isdecimal() and term.isdecimal()):
        raise Conflict(f"{version!r} is no version of this store")
    return {"if_seq_no": int(sequence), "if_primary_term": int(term)}


def _renamed(body: templates.Body) -> dict[str, Any]:
    """The body's keys as the client's parameters are called."""
    return {key.lstrip("_"): value for key, value in body.items()}


def _tally(bucket: dict[str, Any]) -> Tally:
    first, last = (bucket[name]["hits"]["hits"][0]["sort"][0] for name in ("first", "last"))
    return Tally(bucket["doc_count"], _moment(first), _moment(last))


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)

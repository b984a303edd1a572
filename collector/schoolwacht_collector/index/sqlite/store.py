"""The store on SQLite: the port over a directory of files.

Everything that touches a file runs in threads of its own (one prepares rows, one writes events, one keeps the
records, several search), so the event loop never waits for a disk. Limits: a local disk; one collector writes well,
a second process may write but waits for the first; a search looks at documents one by one unless it names a time,
board, school, address or key.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TypeVar

import msgspec

from schoolwacht.errors import ConfigError, StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import documents, pages
from schoolwacht_collector.index.port import Health, Kind, Outcome, Page, Search, Tally, Versioned
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite import expiry, files, schema
from schoolwacht_collector.index.sqlite.reader import Reader
from schoolwacht_collector.index.sqlite.state import State
from schoolwacht_collector.index.sqlite.writer import Prepared, Writer, prepare

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds that checking files may take when the store opens, and how many of the newest days are checked.
_CHECK_SECONDS = 2.0
_CHECKED_DAYS = 2


class SqliteStore:
    """See :class:`schoolwacht_collector.index.port.Store`."""

    def __init__(self, settings: SqliteSettings) -> None:
        if not settings.directory:
            raise ConfigError("names no directory for the SQLite files", field="store.sqlite.directory")
        self._directory = Path(settings.directory)
        self._state = State(files.state_file(self._directory), busy_seconds=settings.busy_seconds)
        self._writer = Writer(self._directory, busy_seconds=settings.busy_seconds)
        self._reader = Reader(self._directory, seconds=settings.search_seconds)
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="sqlite-prepare")
        self._recording = ThreadPoolExecutor(1, thread_name_prefix="sqlite-state")
        self._searching = ThreadPoolExecutor(settings.readers, thread_name_prefix="sqlite-search")

    async def open(self) -> None:
        """Check the files and start writing. A damaged file of a day is set aside; damaged records stop the start."""
        await self._in(self._recording, self._check)
        self._writer.start()

    async def init(self, *, migrate: bool = False) -> None:  # noqa: ARG002 - there has been one version so far
        """Make the directory and the file of the records."""
        await self._in(self._recording, self._make)

    async def close(self) -> None:
        """Write what was taken, end the threads and close every file."""
        await asyncio.to_thread(self._close)

    async def health(self) -> Health:
        """Whether the records can be written now and no day's file refuses to be written."""
        try:
            await self._in(self._recording, self._state.probe)
        except StoreError as error:
            return Health(writable=False, detail=error.message)
        if self._writer.troubles:
            await asyncio.wrap_future(self._writer.probe())
        if troubles := list(self._writer.troubles.values()):
            return Health(writable=False, detail="; ".join(troubles[:3]))
        unread = (
            f"; damaged, left out of searches: {', '.join(sorted(damaged))}"
            if (damaged := self._reader.damaged)
            else ""
        )
        return Health(writable=True, detail=f"SQLite in {self._directory}{unread}")

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        """See :meth:`.port.Store.create`."""
        try:
            rows = await self._in(self._preparing, _prepared, events)
        except RuntimeError:  # the executor has been shut down
            return [Outcome(Verdict.RETRY, created=False, reason="the store is closed") for _ in events]
        return await asyncio.wrap_future(self._writer.submit(rows))

    async def expire(self, first: Mapping[Dataset, date], *, rehearse: bool = False) -> list[str]:
        """See :meth:`.port.Store.expire`."""
        days = {dataset: files.day_of(day) for dataset, day in first.items()}
        try:
            return await self._expire(await asyncio.to_thread(expiry.due, self._directory, days), rehearse=rehearse)
        except OSError as error:
            raise StoreError(f"cannot be expired: {error.strerror}", path=str(error.filename)) from error
        except sqlite3.Error as error:
            raise StoreError(f"cannot be expired: {error}", path=str(self._directory)) from error

    async def _expire(self, due: Sequence[expiry.Due], *, rehearse: bool) -> list[str]:
        gone = []
        for each in due:
            if each.whole:
                if not rehearse:
                    await asyncio.wrap_future(self._writer.remove(each.day))
                gone.append(f"{each.path.name}")
            elif number := await asyncio.to_thread(
                expiry.thin, each, busy_seconds=self._state.busy_seconds, rehearse=rehearse
            ):
                gone.append(f"{number:,} rows of {each.path.name}")
        return gone

    async def search(self, search: Search) -> Page:
        """See :meth:`.port.Store.search`."""
        pages.check_search(search)
        return await self._in(self._searching, self._reader.search, search)

    async def tally(self, search: Search, by: str, *, top: int = 1000) -> Mapping[str, Tally]:
        """See :meth:`.port.Store.tally`."""
        pages.check_search(search)
        return await self._in(self._searching, self._reader.tally, search, pages.check_tally(by), top)

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the port's name
        """See :meth:`.port.Store.get`."""
        return await self._in(self._recording, self._state.get, kind, id)

    async def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        """See :meth:`.port.Store.put`."""
        return await self._in(self._recording, self._state.put, kind, record, version)

    async def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        """See :meth:`.port.Store.put_many`."""
        await self._in(self._recording, self._state.put_many, kind, records)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    def _make(self) -> None:
        path = files.state_file(self._directory)
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = schema.connect(path, busy_seconds=self._state.busy_seconds, create=True)
            try:
                schema.lay_out(connection, schema.STATE_SCHEMA, again=True)
            finally:
                connection.close()
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StoreError(f"the store cannot be made: {error}", path=str(path)) from error

    def _check(self) -> None:
        path = files.state_file(self._directory)
        if not path.exists():
            raise StoreError("there is no store here yet: run schoolwacht-collector init", path=str(path))
        try:
            if fault := files.damage(path, seconds=_CHECK_SECONDS):
                raise StoreError(
                    f"is damaged ({fault}): move it away and put a copy back, or read what is left with "
                    f"`sqlite3 {path.name} .dump`",
                    path=str(path),
                )
            for stray in files.strays(self._directory):
                _log.warning("%r names no day: it is left alone, and what it holds is not searched", stray.name)
            for _, day in files.day_files(self._directory)[:_CHECKED_DAYS]:
                if files.damage(day, seconds=_CHECK_SECONDS / _CHECKED_DAYS):
                    files.set_aside(day)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the store cannot be opened: {error}", path=str(path)) from error
        self._make()

    def _close(self) -> None:
        self._preparing.shutdown()
        self._writer.close()
        self._searching.shutdown()
        self._reader.close()
        self._recording.shutdown()
        self._state.close()


def _prepared(events: Sequence[Event]) -> list[Prepared | Outcome]:
    rows: list[Prepared | Outcome] = []
    for event in events:
        try:
            rows.append(prepare(event))
        except documents.Unfit as error:
            rows.append(Outcome(Verdict.REJECTED, created=False, reason=str(error)))
    return rows

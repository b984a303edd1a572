"""The one thread that writes events: it takes what waits, sorts it by day and commits each day's rows at once.

Promise: an outcome DELIVERED means that the commit has reached the disk (``synchronous=FULL``). Every fault of a file
(full, locked, damaged, gone) is an outcome RETRY with its reason for the rows of that file, and of no other; the
thread goes on. Limits: :data:`GROUP_ROWS` rows a round (a larger call is one round), :data:`OPEN_FILES` files open.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from schoolwacht.event import Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.port import Kind, Outcome
from schoolwacht_collector.index.sqlite import expiry, files, schema
from schoolwacht_collector.index.sqlite.tokens import SLOT_BITS, tokens
from schoolwacht_collector.query import addresses
from schoolwacht_collector.query.evaluate import micros

GROUP_ROWS = 4000
OPEN_FILES = 16

_Values: TypeAlias = tuple[Any, ...]


class Prepared(NamedTuple):
    """An event as a row: its day since 1970, its table, the values of its columns from the id on, and its tokens.

    The tokens are packed: an answer with 64 addresses has 64, and thousands of rows wait.
    """

    day: int
    table: Kind
    values: _Values
    tokens: array[int]


def prepare(event: Event) -> Prepared:
    """The row of an event. Raises :class:`.documents.Unfit`."""
    documents.prepare(event)
    ts = micros(event.timestamp)
    values = (
        event.event_id,
        ts,
        None if event.event_ingested is None else micros(event.event_ingested),
        event.event_dataset.value,
        event.organization_id,
        event.school_location,
        None if event.source_ip is None else addresses.packed(event.source_ip),
        None if event.destination_ip is None else addresses.packed(event.destination_ip),
        event.signal_key,
        documents.encode(event).decode(),
    )
    return Prepared(ts // files.DAY_MICROS, documents.kind_of(event), values, array("I", tokens(event)))


class _Job(NamedTuple):
    rows: Sequence[Prepared | Outcome]
    done: Future[list[Outcome]]


class _Task(NamedTuple):
    """Something else that the thread of the writer has to do, between two rounds."""

    work: Callable[[], None]
    done: Future[None]


class _Row(NamedTuple):
    job: int
    place: int
    values: _Values
    tokens: array[int]


_INSERT = {
    kind: f"INSERT INTO {kind.value} VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING"  # noqa: S608 - a name of our own
    for kind in (Kind.EVENT, Kind.SIGNAL)
}
_INSERT_TOKEN = {
    kind: f"INSERT INTO {kind.value}_token VALUES (?,?,?)"  # noqa: S608 - a name of our own
    for kind in (Kind.EVENT, Kind.SIGNAL)
}
_CREATED = Outcome(Verdict.DELIVERED, created=True)
_THERE = Outcome(Verdict.DELIVERED, created=False)


class Writer:
    """Owns the connections that write the days' files."""

    def __init__(self, directory: Path, *, busy_seconds: float) -> None:
        self.directory = directory
        self.busy_seconds = busy_seconds
        #: Why the newest write of a day's file failed; a write that succeeds takes the day off.
        self.troubles: dict[int, str] = {}
        self._queue: queue.SimpleQueue[_Job | _Task | None] = queue.SimpleQueue()
        self._open: OrderedDict[int, sqlite3.Connection] = OrderedDict()
        self._suspect: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, rows: Sequence[Prepared | Outcome]) -> Future[list[Outcome]]:
        """Write rows; an outcome among them stands for an item that was refused before, and stays as it is."""
        done: Future[list[Outcome]] = Future()
        # Started from the outset: a caller that gives up must not take the future away from the thread.
        done.set_running_or_notify_cancel()
        if self._closed:
            done.set_result([row if isinstance(row, Outcome) else _retry("the store is closed") for row in rows])
        else:
            self._queue.put(_Job(rows, done))
        return done

    def probe(self) -> Future[None]:
        """Try the files that failed last with a small write, so that a trouble which has passed is seen to be over."""
        return self._soon(self._try_again)

    def remove(self, day: int) -> Future[None]:
        """Delete the file of a day. The future raises OSError."""

        def work() -> None:
            if (connection := self._open.pop(day, None)) is not None:
                connection.close()
            expiry.remove(files.day_file(self.directory, day))

        return self._soon(work)

    def _soon(self, work: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()
        if self._closed:
            done.set_result(None)
        else:
            self._queue.put(_Task(work, done))
        return done

    def close(self) -> None:
        """Write what was submitted, end the thread and close the files. Blocks."""
        self._closed = True
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            jobs, running = self._take()
            if jobs:
                self._round(jobs)
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job and take what else waits, up to a group; False with it when the thread must end."""
        jobs: list[_Job] = []
        rows = 0
        while rows < GROUP_ROWS:
            try:
                job = self._queue.get(block=not jobs)
            except queue.Empty:
                break
            if job is None:
                return jobs, False
            if isinstance(job, _Task):
                _do(job)
                continue
            jobs.append(job)
            rows += len(job.rows)
        return jobs, True

    def _round(self, jobs: Sequence[_Job]) -> None:
        outcomes = [[row if isinstance(row, Outcome) else _THERE for row in job.rows] for job in jobs]
        for day, tables in _by_day(jobs).items():
            for row, outcome in self._write_day(day, tables):
                outcomes[row.job][row.place] = outcome
        for job, results in zip(jobs, outcomes, strict=True):
            job.done.set_result(results)

    def _write_day(self, day: int, tables: dict[Kind, list[_Row]]) -> Iterable[tuple[_Row, Outcome]]:
        path = files.day_file(self.directory, day)
        try:
            results = _insert(self._connection(day, path), tables)
        except (sqlite3.Error, ValueError, OSError) as error:
            reason = self.troubles[day] = f"{path.name}: {error}"
            self._let_go(day, path, error)
            return [(row, _retry(reason)) for rows in tables.values() for row in rows]
        self.troubles.pop(day, None)
        return results

    def _try_again(self) -> None:
        for day in list(self.troubles):
            path = files.day_file(self.directory, day)
            try:
                self._connection(day, path).execute(schema.PROBE)
            except (sqlite3.Error, ValueError, OSError) as error:
                self.troubles[day] = f"{path.name}: {error}"
                self._let_go(day, path, error)
            else:
                self.troubles.pop(day, None)

    def _connection(self, day: int, path: Path) -> sqlite3.Connection:
        if (known := self._open.get(day)) is not None:
            self._open.move_to_end(day)
            return known
        connection = schema.connect(path, busy_seconds=self.busy_seconds, create=True)
        try:
            schema.lay_out(connection, schema.DAY_SCHEMA)
            if day in self._suspect:
                # After a failed fsync the kernel holds pages as clean that never reached the disk. A checkpoint
                # writes them anew, into the database, before anything more is answered for.
                (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if busy:
                    raise sqlite3.OperationalError("the file waits for a checkpoint after a disk error")
                self._suspect.discard(day)
        except (sqlite3.Error, ValueError):
            connection.close()
            raise
        self._open[day] = connection
        while len(self._open) > OPEN_FILES:
            _, oldest = self._open.popitem(last=False)
            oldest.close()
        return connection

    def _let_go(self, day: int, path: Path, error: Exception) -> None:
        """Close a file after a fault; the next write opens it anew."""
        if (connection := self._open.pop(day, None)) is not None:
            connection.close()
        if not isinstance(error, sqlite3.Error):
            return
        if files.is_disk_error(error):
            self._suspect.add(day)
        if files.is_damage(error):
            try:
                files.set_aside(path)
            except OSError as moving:
                self.troubles[day] = f"{path.name} is damaged and cannot be renamed: {moving}"


def _do(task: _Task) -> None:
    try:
        task.work()
    except Exception as error:  # noqa: BLE001 - it goes to whoever asked; the thread goes on
        task.done.set_exception(error)
    else:
        task.done.set_result(None)


def _by_day(jobs: Sequence[_Job]) -> dict[int, dict[Kind, list[_Row]]]:
    days: dict[int, dict[Kind, list[_Row]]] = {}
    for number, job in enumerate(jobs):
        for place, row in enumerate(job.rows):
            if isinstance(row, Prepared):
                days.setdefault(row.day, {}).setdefault(row.table, []).append(
                    _Row(number, place, row.values, row.tokens)
                )
    return days


def _insert(connection: sqlite3.Connection, tables: dict[Kind, list[_Row]]) -> list[tuple[_Row, Outcome]]:
    """Insert in one transaction. In bulk first; only if some were there already, again one by one to know which."""
    try:
        for bulk in (True, False):
            connection.execute("BEGIN IMMEDIATE")
            results = _insert_bulk(connection, tables) if bulk else _insert_singly(connection, tables)
            if results is not None:
                connection.execute("COMMIT")
                return results
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    raise AssertionError("inserting one by one always has results")


def _insert_bulk(connection: sqlite3.Connection, tables: dict[Kind, list[_Row]]) -> list[tuple[_Row, Outcome]] | None:
    for table, rows in tables.items():
        numbers = range(first := _next_row(connection, table), first + len(rows))
        values = ((number, *row.values) for number, row in zip(numbers, rows, strict=True))
        if connection.executemany(_INSERT[table], values).rowcount != len(rows):
            return None
        connection.executemany(
            _INSERT_TOKEN[table],
            (
                (number >> SLOT_BITS, token, number)
                for number, row in zip(numbers, rows, strict=True)
                for token in row.tokens
            ),
        )
    return [(row, _CREATED) for rows in tables.values() for row in rows]


def _insert_singly(connection: sqlite3.Connection, tables: dict[Kind, list[_Row]]) -> list[tuple[_Row, Outcome]]:
    results = []
    for table, rows in tables.items():
        number = _next_row(connection, table)
        for row in rows:
            if not connection.execute(_INSERT[table], (number, *row.values)).rowcount:
                results.append((row, _THERE))
                continue
            slot = number >> SLOT_BITS
            connection.executemany(_INSERT_TOKEN[table], [(slot, token, number) for token in row.tokens])
            results.append((row, _CREATED))
            number += 1
    return results


def _next_row(connection: sqlite3.Connection, table: Kind) -> int:
    (newest,) = connection.execute(f"SELECT max(row) FROM {table.value}").fetchone()  # noqa: S608 - a name of our own
    return 0 if newest is None else int(newest) + 1


def _retry(reason: str) -> Outcome:
    return Outcome(Verdict.RETRY, created=False, reason=reason)

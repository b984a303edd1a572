"""Searching: the SQL of a search, and searches run over one file or many, newest day first.

Each searching thread has its own connections, at most :data:`OPEN_FILES`; none waits for the writer. A search that
outlives its deadline is interrupted with a StoreError. The damaged file of a day does not hide the others: searches
answer without it, the page names it, and so does the log, once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import StoreError
from schoolwacht_collector.index import documents, pages
from schoolwacht_collector.index.pages import Place
from schoolwacht_collector.index.port import DOCUMENTS, Kind, Page, Scope, Search, Tally
from schoolwacht_collector.index.sqlite import files, schema, tokens
from schoolwacht_collector.query.evaluate import micros
from schoolwacht_collector.query.fields import Field
from schoolwacht_collector.query.sql import Columns, Fragment, condition, json_path, marks, value_of

OPEN_FILES = 8
#: Rows of one file that are looked at one by one because the index of values names them.
CANDIDATES_MAX = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


class _Found(NamedTuple):
    place: Place
    doc: str


class _Opened(NamedTuple):
    connection: sqlite3.Connection
    inode: int


class Reader:
    """Runs searches in the calling thread."""

    def __init__(self, directory: Path, *, seconds: float) -> None:
        self.directory = directory
        self.seconds = seconds
        self._own = threading.local()
        self._all: list[OrderedDict[Path, _Opened]] = []
        #: Days' files that were found damaged when they were read last, and what is wrong with them.
        self.damaged: dict[str, str] = {}

    def close(self) -> None:
        """Close every connection; no search may be running."""
        for connections in self._all:
            for known in connections.values():
                known.connection.close()
            connections.clear()

    def search(self, search: Search) -> Page:
        """See :meth:`.port.Store.search`; blocks."""
        size = pages.page_size(search.limit)
        after = None if search.after is None else pages.place(search.after)
        found: list[_Found] = []
        missing: list[str] = []
        deadline = time.monotonic() + self.seconds
        for path in self._paths(search):
            if search.time_field == "@timestamp" and len(found) > size:
                break  # every later file holds rows further on in the order only
            with self._connection(path, deadline, missing) as connection:
                if connection is None:
                    continue
                statement = select(search, after, size + 1, _candidates(connection, search))
                rows = connection.execute(statement.text, statement.parameters)
                found += [_Found(Place(moment, name), doc) for name, moment, doc in rows]
            found.sort(reverse=not search.oldest_first)
            del found[size + 1 :]
        page = found[:size]
        more = len(found) > size
        token = pages.token(page[-1].place) if more else None
        return Page([documents.row(doc) for _, doc in page], token, tuple(missing))

    def tally(self, search: Search, by: Field, top: int) -> Mapping[str, Tally]:
        """See :meth:`.port.Store.tally`; blocks."""
        counts: dict[str, tuple[int, int, int]] = {}
        deadline = time.monotonic() + self.seconds
        for path in self._paths(search):
            rows: list[tuple[str, int, int, int]] = []
            with self._connection(path, deadline, []) as connection:
                if connection is None:
                    continue
                statement = count(search, by, _candidates(connection, search))
                rows = connection.execute(statement.text, statement.parameters).fetchall()
            for value, number, first, last in rows:
                known = counts.get(value)
                counts[value] = (
                    (number, first, last)
                    if known is None
                    else (known[0] + number, min(known[1], first), max(known[2], last))
                )
        ranked = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:top]
        return {value: Tally(number, _moment(first), _moment(last)) for value, (number, first, last) in ranked}

    def _paths(self, search: Search) -> Sequence[Path]:
        """The files that can hold rows of a search, in the order of the search."""
        if search.kind not in DOCUMENTS:
            return [files.state_file(self.directory)]
        try:
            days = files.day_files(self.directory)
        except OSError as error:
            raise StoreError(f"{self.directory} cannot be read: {error.strerror}") from error
        if search.time_field == "@timestamp":
            first = None if search.since is None else micros(search.since) // files.DAY_MICROS
            last = None if search.until is None else (micros(search.until) - 1) // files.DAY_MICROS
            days = [
                (day, path) for day, path in days if (first is None or day >= first) and (last is None or day <= last)
            ]
        return [path for _, path in (reversed(days) if search.oldest_first else days)]

    @contextmanager
    def _connection(self, path: Path, deadline: float, missing: list[str]) -> Iterator[sqlite3.Connection | None]:
        """This thread's connection to a file, for the statements of one search; its faults become StoreError.

        None if the file is so young that its tables are not there yet, or has just expired: nothing is in it. Where the
        file of a day turns out to be damaged, the block ends early and its name is added to ``missing``.
        """
        try:
            connection = self._opened(path)
        except sqlite3.Error as error:
            self._faulty(path, error, missing)
            connection = None
        if connection is None:
            yield None
            return
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 20_000)
        try:
            yield connection
        except sqlite3.Error as error:
            self._faulty(path, error, missing)
        else:
            self.damaged.pop(path.name, None)

    def _faulty(self, path: Path, error: sqlite3.Error, missing: list[str]) -> None:
        """Note that a day's file is damaged; any other fault is raised as a StoreError."""
        if files.is_interrupt(error):
            raise StoreError(
                f"the search took longer than {self.seconds:g} s; choose a shorter time or a narrower query"
            ) from error
        self._forget(path)
        if not files.is_damage(error) or path == files.state_file(self.directory):
            raise StoreError(f"{path.name} cannot be searched: {error}") from error
        if path.name not in self.damaged:
            _log.error("%s is damaged and left out of searches: %s", path.name, error)
        self.damaged[path.name] = str(error)
        missing.append(path.name)

    def _opened(self, path: Path) -> sqlite3.Connection | None:
        connections: OrderedDict[Path, _Opened] | None = getattr(self._own, "connections", None)
        if connections is None:
            connections = self._own.connections = OrderedDict()
            self._all.append(connections)
        try:
            inode = path.stat().st_ino
        except FileNotFoundError:
            self._forget(path)
            return None
        if (known := connections.get(path)) is not None:
            if known.inode == inode:
                connections.move_to_end(path)
                return known.connection
            # Another file has its name now: the day expired, or was set aside, and something of it came late.
            self._forget(path)
        connection = schema.connect_reader(path)
        laid_out = False
        try:
            laid_out = schema.is_laid_out(connection)
        finally:
            if not laid_out:
                connection.close()
        if not laid_out:
            return None
        connections[path] = _Opened(connection, inode)
        while len(connections) > OPEN_FILES:
            _, oldest = connections.popitem(last=False)
            oldest.connection.close()
        return connection

    def _forget(self, path: Path) -> None:
        if (known := self._own.connections.pop(path, None)) is not None:
            known.connection.close()


def select(search: Search, after: Place | None, limit: int, rows: Fragment | None = None) -> Fragment:
    """The statement that answers with id, time in microseconds and document of the rows of a search in one file.

    ``rows`` finds the numbers of the rows among which they are, if that is known.
    """
    columns = schema.COLUMNS[search.kind]
    moment = value_of(search.time_field, columns)
    conditions = _conditions(search, moment, columns)
    if after is not None:
        comparison = ">" if search.oldest_first else "<"
        conditions.append(
            Fragment(f"({moment.text}, id) {comparison} (?, ?)", (*moment.parameters, after.micros, after.id))
        )
    order = "ASC" if search.oldest_first else "DESC"
    source, where = _source(search, rows), _all(conditions)
    return Fragment(
        f"SELECT id, {moment.text} AS moment, doc FROM {source.text} WHERE {where.text} "  # noqa: S608 - no outside text
        f"ORDER BY moment {order}, id {order} LIMIT ?",
        (*moment.parameters, *source.parameters, *where.parameters, limit),
    )


def count(search: Search, by: Field, rows: Fragment | None = None) -> Fragment:
    """The statement that answers with each value of a field, its number of rows and their first and last time."""
    columns = schema.COLUMNS[search.kind]
    where = _all(_conditions(search, value_of(search.time_field, columns), columns))
    source = _source(search, rows)
    if by.many:
        # A row counts once for a value, however often its list has it.
        # The inner query keeps its columns apart from those of json_each, which has an id and a key as well.
        return Fragment(
            "SELECT value, count(*), min(ts), max(ts) FROM (SELECT DISTINCT found.id, found.ts, counted.value AS value "  # noqa: S608 - no outside text
            f"FROM (SELECT id, ts, doc FROM {source.text} WHERE {where.text}) AS found, "
            "json_each(found.doc, ?) AS counted) GROUP BY value",
            (*source.parameters, *where.parameters, json_path(by.name)),
        )
    value = value_of(by.name, columns)
    return Fragment(
        f"SELECT {value.text} AS value, count(*), min(ts), max(ts) FROM {source.text} "  # noqa: S608 - no outside text
        f"WHERE {where.text} AND {value.text} IS NOT NULL GROUP BY 1",
        (*value.parameters, *source.parameters, *where.parameters, *value.parameters),
    )


def _source(search: Search, rows: Fragment | None) -> Fragment:
    """The table, or (first, so that SQLite cannot choose another way in) the rows of it that are known."""
    table = search.kind.value
    if rows is None:
        return Fragment(table)
    return Fragment(f"({rows.text}) AS candidate CROSS JOIN {table} ON {table}.row = candidate.number", rows.parameters)


def _candidates(connection: sqlite3.Connection, search: Search) -> Fragment | None:
    """The rows that may match by the index of values; None if it does not help: no value asked for, or too many rows.

    Too many is no loss: a value that is so frequent is soon met on the way through time.
    """
    numbers = tokens.wanted(search.where) if search.kind in DOCUMENTS else None
    if numbers is None:
        return None
    rows = _by_token(search.kind, numbers)
    (found,) = connection.execute(
        f"SELECT count(*) FROM ({rows.text} LIMIT ?)",  # noqa: S608 - no outside text
        (*rows.parameters, CANDIDATES_MAX + 1),
    ).fetchone()
    return rows if found <= CANDIDATES_MAX else None


def _by_token(kind: Kind, numbers: frozenset[int]) -> Fragment:
    table = kind.value
    return Fragment(
        f"WITH RECURSIVE slots(slot) AS (SELECT (SELECT max(row) FROM {table}) >> {tokens.SLOT_BITS} "  # noqa: S608 - no outside text
        "UNION ALL SELECT slot - 1 FROM slots WHERE slot > 0) "
        f"SELECT DISTINCT hit.row AS number FROM slots CROSS JOIN {table}_token AS hit "
        f"ON hit.slot = slots.slot AND hit.token IN ({marks(len(numbers))})",
        tuple(sorted(numbers)),
    )


def _conditions(search: Search, moment: Fragment, columns: Columns) -> list[Fragment]:
    """Scope, time and query, in this order: nothing in a query can widen what stands before it."""
    conditions = [_visible(search.scope)]
    conditions.append(Fragment(f"{moment.text} IS NOT NULL", moment.parameters))
    if search.since is not None:
        conditions.append(Fragment(f"{moment.text} >= ?", (*moment.parameters, micros(search.since))))
    if search.until is not None:
        conditions.append(Fragment(f"{moment.text} < ?", (*moment.parameters, micros(search.until))))
    conditions.append(condition(search.where, columns))
    return conditions


def _visible(scope: Scope) -> Fragment:
    if scope.boards is None:
        return Fragment("1")
    return Fragment(f"board IN ({marks(len(scope.boards))})", tuple(sorted(scope.boards)))


def _all(conditions: Sequence[Fragment]) -> Fragment:
    return Fragment(
        " AND ".join(f"({one.text})" for one in conditions),
        tuple(parameter for one in conditions for parameter in one.parameters),
    )


def _moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)

"""Tables, columns and connections.

A day's file has the tables ``event`` and ``signal``; ``state.sqlite`` has one table for each kind of record. Every
row is its JSON text beside the few columns that searches start from. Ordinary tables, not ``WITHOUT ROWID``: rows of
a kilobyte are appended as they come, and the indexes stay lean. Write-ahead logging with ``synchronous=FULL``:
what a commit has answered for survives a power cut, and readers never wait for the writer.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from schoolwacht_collector.index.port import DOCUMENTS, Kind
from schoolwacht_collector.query.sql import FUNCTIONS, Columns
from schoolwacht_collector.records import RECORDS

#: ``PRAGMA user_version`` of files with these tables.
VERSION = 1
# A reader waits only while a file is being made or recovered.
_READER_SECONDS = 5.0
_PAGE_BYTES = 8192
# What a commit touches has to stay in memory, or rows read and write index pages again and again.
_WRITER_CACHE_KIB = 64 << 10
# Pages in the log before they are moved into the file: 64 MiB.
_CHECKPOINT_PAGES = 8000

_EVENT_COLUMNS: Columns = MappingProxyType(
    {
        "event.id": "id",
        "@timestamp": "ts",
        "event.ingested": "ingested",
        "event.dataset": "dataset",
        "organization.id": "board",
        "school.location": "school",
        "source.ip": "source",
        "destination.ip": "destination",
        "signal.key": "key",
    }
)

_DAY_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ts INTEGER NOT NULL, ingested INTEGER, dataset TEXT NOT NULL,
    board TEXT, school TEXT, source BLOB, destination BLOB, key TEXT, doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS {table}_ts ON {table} (ts);
CREATE INDEX IF NOT EXISTS {table}_board ON {table} (board, ts);
CREATE TABLE IF NOT EXISTS {table}_token (
    slot INTEGER NOT NULL, token INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (slot, token, row)
) WITHOUT ROWID;
"""
_SIGNAL_INDEXES = """
CREATE INDEX IF NOT EXISTS signal_ingested ON signal (ingested);
CREATE INDEX IF NOT EXISTS signal_key ON signal (key, ts);
CREATE INDEX IF NOT EXISTS event_dataset ON event (dataset, ingested);
"""
_RECORD_TABLE = """
CREATE TABLE IF NOT EXISTS {table} (
    id TEXT NOT NULL PRIMARY KEY, ts INTEGER NOT NULL, board TEXT, key TEXT, state TEXT,
    version INTEGER NOT NULL, doc TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS {table}_ts ON {table} (ts);
CREATE INDEX IF NOT EXISTS {table}_key ON {table} (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS {table}_state ON {table} (state, ts) WHERE state IS NOT NULL;
"""
_PROBE_TABLE = "CREATE TABLE IF NOT EXISTS probe (one INTEGER PRIMARY KEY, at INTEGER);"
#: A small write that changes nothing, to know that writing works.
PROBE = "INSERT INTO probe VALUES (1, unixepoch()) ON CONFLICT (one) DO UPDATE SET at=excluded.at"

_RECORD_COLUMNS: Columns = MappingProxyType(
    {"id": "id", "@timestamp": "ts", "organization.id": "board", "signal.key": "key"}
)
#: The field in the column ``state``, for the kinds that have one.
STATE_FIELDS: Mapping[Kind, str] = MappingProxyType({Kind.ALERT: "alert.state", Kind.DELIVERY: "delivery.state"})

#: Field → column of each kind's table, which is named like the kind.
COLUMNS: Mapping[Kind, Columns] = MappingProxyType(
    dict.fromkeys(DOCUMENTS, _EVENT_COLUMNS)
    | {
        kind: MappingProxyType({**_RECORD_COLUMNS, **({STATE_FIELDS[kind]: "state"} if kind in STATE_FIELDS else {})})
        for kind in RECORDS
    }
)

DAY_SCHEMA = "".join(_DAY_TABLE.format(table=kind.value) for kind in sorted(DOCUMENTS)) + _SIGNAL_INDEXES + _PROBE_TABLE
STATE_SCHEMA = "".join(_RECORD_TABLE.format(table=kind.value) for kind in RECORDS) + _PROBE_TABLE


def connect(path: Path, *, busy_seconds: float, create: bool = False) -> sqlite3.Connection:
    """A connection for writing, in explicit transactions. Any one thread at a time may use it.

    It waits ``busy_seconds`` for another process's transaction. A file that is made is its owner's alone.
    Raises sqlite3.Error, also if the file is not there and ``create`` is not set, and OSError if it cannot be made.
    """
    if create:
        _make(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        _log_ahead(connection, busy_seconds)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size=-{_WRITER_CACHE_KIB}")
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _log_ahead(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch to write-ahead logging. SQLite does not wait here for another process that makes the same file."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _make(path: Path) -> None:
    """Make an empty file, unless it is there: SQLite itself would let everybody read it, and its log follows it."""
    # Never opened if it exists: closing it would undo the locks that this process's connections hold on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write and knows the functions of queries. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_READER_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA mmap_size=1073741824")
        connection.execute("PRAGMA temp_store=MEMORY")
        for name, function in FUNCTIONS.items():
            connection.create_function(name, 1, function, deterministic=True)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def lay_out(connection: sqlite3.Connection, schema: str, *, again: bool = False) -> None:
    """Make the tables, unless they are there; ``again`` adds those that are new in this version.

    Raises sqlite3.Error, or ValueError for files of a later version.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == VERSION and not again:
        return
    if found > VERSION:
        raise ValueError(f"was written by a later version of the collector (schema {found}, this one knows {VERSION})")
    connection.executescript(f"BEGIN IMMEDIATE;{schema}PRAGMA user_version={VERSION};COMMIT;")


def is_laid_out(connection: sqlite3.Connection) -> bool:
    """Whether the tables are there: they come in one transaction. Raises sqlite3.Error."""
    # Not by the version: a file that was made from a dump has none until it is written.
    return connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None

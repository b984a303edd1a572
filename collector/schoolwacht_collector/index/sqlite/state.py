"""The records in ``state.sqlite``: changed one at a time by compare-and-set, each change durable when it returns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.errors import Conflict, StoreError
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.port import Kind, Versioned
from schoolwacht_collector.index.sqlite import schema
from schoolwacht_collector.query.evaluate import micros
from schoolwacht_collector.records import RECORDS


class State:
    """One connection, used by one thread at a time. Every method blocks and raises StoreError."""

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        self.path = path
        self.busy_seconds = busy_seconds
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, kind: Kind, name: str) -> Versioned | None:
        """The record and its version, or None."""
        if not documents.may_be_id(name):
            return None
        with self._faults():
            found = self._opened().execute(f"SELECT doc, version FROM {kind.value} WHERE id = ?", (name,)).fetchone()  # noqa: S608 - a name of our own
        if found is None:
            return None
        return Versioned(msgspec.json.decode(found[0], type=RECORDS[kind]), str(found[1]))

    def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        """Create or change a record; its new version. Raises Conflict."""
        values = _values(kind, record)
        with self._faults():
            if version is None:
                done = self._opened().execute(
                    f"INSERT INTO {kind.value} VALUES (:id, :ts, :board, :key, :state, 1, :doc) "  # noqa: S608 - a name of our own
                    "ON CONFLICT (id) DO NOTHING",
                    values,
                )
                number = 1
            else:
                number = _number(version) + 1
                done = self._opened().execute(
                    f"UPDATE {kind.value} SET ts=:ts, board=:board, key=:key, state=:state, version=:number, doc=:doc "  # noqa: S608 - a name of our own
                    "WHERE id=:id AND version=:number - 1",
                    {**values, "number": number},
                )
        if done.rowcount != 1:
            wanted = "is there already" if version is None else f"no longer has version {version}"
            raise Conflict(f"{kind} {values['id']} {wanted}")
        return str(number)

    def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        """Create or overwrite records, all or none."""
        rows = [_values(kind, record) for record in records]
        with self._faults():
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany(
                    f"INSERT INTO {kind.value} VALUES (:id, :ts, :board, :key, :state, 1, :doc) "  # noqa: S608 - a name of our own
                    "ON CONFLICT (id) DO UPDATE SET ts=excluded.ts, board=excluded.board, key=excluded.key, "
                    "state=excluded.state, version=version + 1, doc=excluded.doc",
                    rows,
                )
                connection.execute("COMMIT")
            except sqlite3.Error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def probe(self) -> None:
        """Write something, to know that writing works."""
        with self._faults():
            self._opened().execute(schema.PROBE)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = schema.connect(self.path, busy_seconds=self.busy_seconds)
        return self._connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self.close()
            raise StoreError(f"{self.path.name}: {error}") from error


def _number(version: str) -> int:
    if not version.isdecimal():
        raise Conflict(f"{version!r} is no version of this store")
    return int(version)


def _values(kind: Kind, record: msgspec.Struct) -> dict[str, Any]:
    if not isinstance(record, RECORDS[kind]):
        raise StoreError(f"a {type(record).__name__} is no record of kind {kind}")
    doc = documents.encode_record(record)
    row = documents.row(doc)
    state = schema.STATE_FIELDS.get(kind)
    return {
        "id": row["id"],
        "ts": micros(datetime.fromisoformat(row["@timestamp"])),
        "board": row.get("organization.id"),
        "key": row.get("signal.key"),
        "state": None if state is None else row.get(state),
        "doc": doc.decode(),
    }

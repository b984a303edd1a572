"""Which files of days have had their time, and what is taken out of a day that some datasets outlive.

A day whose every dataset has had its time is deleted as a file: the cheapest way there is. Of another day the rows are
deleted and the file is written anew, smaller; that takes as long as the file is large and its own size of free disk, in
a thread of its own. It is done once for each set of datasets: a mark in the file's header (its ``application_id``) says
what is gone. Days are counted from 1970-01-01 in UTC.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import DOCUMENTS, Kind
from schoolwacht_collector.index.sqlite import files, schema


class Due(NamedTuple):
    """A day's file, the datasets that have had their time, and whether those are all."""

    day: int
    path: Path
    datasets: frozenset[Dataset]
    whole: bool


def due(directory: Path, first: Mapping[Dataset, int]) -> list[Due]:
    """The files with something to expire, oldest first. Raises OSError.

    Args:
        directory: where the files of days are.
        first: the first day that stays, of each dataset that expires at all.
    """
    found = []
    for day, path in reversed(files.day_files(directory)):
        gone = frozenset(dataset for dataset, stays in first.items() if day < stays)
        if gone:
            found.append(Due(day, path, gone, whole=len(gone) == len(Dataset)))
    return found


def remove(path: Path) -> None:
    """Delete a day's file and its log. Nobody of this process may have it open. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def thin(each: Due, *, busy_seconds: float, rehearse: bool) -> int:
    """Delete the rows of these datasets and give their space back; how many there were (0: done before).

    Raises sqlite3.Error.
    """
    connection = schema.connect(each.path, busy_seconds=busy_seconds)
    try:
        mark = zlib.crc32(",".join(sorted(each.datasets)).encode()) & 0x7FFF_FFFF
        (marked,) = connection.execute("PRAGMA application_id").fetchone()
        if marked == mark or not schema.is_laid_out(connection):
            return 0
        if rehearse:
            return sum(_count(connection, kind, each.datasets) for kind in sorted(DOCUMENTS))
        connection.execute("BEGIN IMMEDIATE")
        number = sum(_delete(connection, kind, each.datasets) for kind in sorted(DOCUMENTS))
        connection.execute(f"PRAGMA application_id={mark}")
        connection.execute("COMMIT")
        if number:
            connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return number
    finally:
        connection.close()


def _which(datasets: frozenset[Dataset]) -> tuple[str, list[str]]:
    return f"dataset IN ({','.join('?' * len(datasets))})", sorted(datasets)


def _count(connection: sqlite3.Connection, kind: Kind, datasets: frozenset[Dataset]) -> int:
    condition, values = _which(datasets)
    (number,) = connection.execute(f"SELECT count(*) FROM {kind.value} WHERE {condition}", values).fetchone()  # noqa: S608 - names of our own
    return int(number)


def _delete(connection: sqlite3.Connection, kind: Kind, datasets: frozenset[Dataset]) -> int:
    condition, values = _which(datasets)
    table = kind.value
    rows = f"SELECT row FROM {table} WHERE {condition}"  # noqa: S608 - names of our own
    connection.execute(f"DELETE FROM {table}_token WHERE row IN ({rows})", values)  # noqa: S608 - names of our own
    return connection.execute(f"DELETE FROM {table} WHERE {condition}", values).rowcount  # noqa: S608 - names of our own

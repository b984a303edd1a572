"""The files of a store's directory: which there are, whether they are sound, and where a damaged one is put.

``events-2026-03-01.sqlite`` holds what happened on that day in UTC; ``state.sqlite`` the records. A file whose name
says no day (:func:`strays`) is not ours to touch: it is left alone, and what it holds is not searched.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from datetime import date, timedelta
from pathlib import Path

from schoolwacht_collector.index.sqlite import schema

_log = logging.getLogger(__name__)

_NAME = re.compile(r"^events-([0-9]{4}-[0-9]{2}-[0-9]{2})\.sqlite$")
_FIRST_DAY = date(1970, 1, 1)
DAY_MICROS = 86_400_000_000
#: Primary result codes that say the file itself is broken (sqlite.org/rescode.html).
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def state_file(directory: Path) -> Path:
    """The file of the records."""
    return directory / "state.sqlite"


def day_of(day: date) -> int:
    """A day, counted from 1970-01-01."""
    return (day - _FIRST_DAY).days


def day_file(directory: Path, day: int) -> Path:
    """The file of a day, counted from 1970-01-01."""
    return directory / f"events-{(_FIRST_DAY + timedelta(days=day)).isoformat()}.sqlite"


def day_files(directory: Path) -> list[tuple[int, Path]]:
    """The days that have a file, newest first. Raises OSError."""
    named = ((_day(path.name), path) for path in directory.iterdir())
    return sorted(((day, path) for day, path in named if day is not None), reverse=True)


def strays(directory: Path) -> list[Path]:
    """Files that look like those of days, but whose name says none. Raises OSError."""
    return sorted(path for path in directory.glob("events-*.sqlite") if _day(path.name) is None)


def aside(directory: Path) -> list[Path]:
    """Damaged files that were set aside. Raises OSError."""
    return sorted(
        path for path in directory.glob("events-*.sqlite.damaged-*") if not path.name.endswith(("-wal", "-shm"))
    )


def damaged(directory: Path, *, seconds: float) -> list[tuple[Path, str]]:
    """The days' files in which a check finds damage, and what; newest first, until ``seconds`` are over.

    Raises OSError.
    """
    deadline = time.monotonic() + seconds
    found: list[tuple[Path, str]] = []
    for _, path in day_files(directory):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            fault = damage(path, seconds=left)
        except sqlite3.Error as error:
            fault = str(error)
        if fault is not None:
            found.append((path, fault))
    return found


def _day(name: str) -> int | None:
    """The day that a file's name says, counted from 1970-01-01."""
    match = _NAME.match(name)
    try:
        return None if match is None else day_of(date.fromisoformat(match[1]))
    except ValueError:
        return None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is broken, rather than busy, full or unreachable."""
    return _primary_code(error) in _DAMAGED


def is_disk_error(error: sqlite3.Error) -> bool:
    """Whether reading, writing or syncing itself failed."""
    return _primary_code(error) == sqlite3.SQLITE_IOERR


def is_interrupt(error: sqlite3.Error) -> bool:
    """Whether a statement was stopped by its progress handler."""
    return _primary_code(error) == sqlite3.SQLITE_INTERRUPT


def _primary_code(error: sqlite3.Error) -> int | None:
    # Errors that the driver itself raises carry no code.
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def damage(path: Path, *, seconds: float) -> str | None:
    """What SQLite's quick check finds wrong, or None. A check that takes longer than ``seconds`` ends as sound.

    Raises sqlite3.Error if the file cannot be read for another reason than damage.
    """
    connection = schema.connect_reader(path)
    try:
        deadline = time.monotonic() + seconds
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return None if found == "ok" else str(found)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        if is_interrupt(error):
            return None
        raise
    finally:
        connection.close()


def set_aside(path: Path) -> Path:
    """Rename a damaged file, with its log, so that a new one can take its place. Nothing is deleted. Raises OSError."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _log.error(
        "%s is damaged and was set aside as %s; `sqlite3 %s .dump` reads what is left of it",
        path.name,
        aside.name,
        aside.name,
    )
    return aside

"""The file of indicators in the agent's state directory: put there whole or not at all.

Promise: who reads the file sees the old set or the new one, never a part; after a crash too. A set of less than half
the size of the one in use is not taken but kept beside it, until a person confirms it or a larger one comes: an empty
or truncated list must not blind every school at once.

Limits: one process at a time keeps it (the forwarder, or a command while it waits for the lock).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import IndicatorLines
from schoolwacht_agent.indicators.table import Opened, compile_set, open_table

NAME = "indicators"
REFUSED = "indicators.refused"
_LOCK = "indicators.lock"
_CHECKED = "indicators.checked"
#: Share of the size of the set in use below which a new one is refused.
LEAST = 0.5


def path_of(state: Path) -> Path:
    """Where the indicators of an agent are."""
    return state / NAME


def refused_of(state: Path) -> Path:
    """Where a set waits that was not taken."""
    return state / REFUSED


def current(state: Path) -> Opened | None:
    """The set in use; None if there is none that can be read."""
    try:
        return open_table(path_of(state))
    except IndicatorError:
        return None


def put(state: Path, found: IndicatorLines, *, confirmed: bool = False) -> bool:
    """Put a set in use. True if it is another one than before.

    Raises IndicatorError if it is refused for its size (it is kept, see :func:`confirm`) or cannot be written.
    """
    with _locked(state):
        before = current(state)
        if before is not None and before.version == found.version:
            refused_of(state).unlink(missing_ok=True)
            return False
        if before is not None and not confirmed and len(found.lines) < LEAST * before.number:
            _replace(refused_of(state), compile_set(found))
            raise IndicatorError(
                f"holds {len(found.lines):,} indicators, less than half of the {before.number:,} in use; it is kept "
                "aside: if it is meant, `schoolwacht-agent indicators confirm`",
                path=str(refused_of(state)),
            )
        _replace(path_of(state), compile_set(found))
        refused_of(state).unlink(missing_ok=True)
        return True


def confirm(state: Path) -> Opened:
    """Put the set in use that was refused. Raises IndicatorError if there is none."""
    with _locked(state):
        waiting = open_table(refused_of(state))
        refused_of(state).replace(path_of(state))
        _sync(state)
        return waiting


def note_checked(state: Path) -> None:
    """A collector has said which set is the present one. Raises IndicatorError."""
    try:
        (state / _CHECKED).touch(mode=0o640)
    except OSError as error:
        raise IndicatorError(f"cannot be written: {error.strerror}", path=str(state / _CHECKED)) from error


def checked_ago(state: Path) -> float | None:
    """Seconds since then; None if no collector ever said so (or none is asked)."""
    try:
        return max(0.0, time.time() - (state / _CHECKED).stat().st_mtime)
    except OSError:
        return None


def _replace(path: Path, raw: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync(path.parent)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise IndicatorError(f"cannot be written: {error.strerror}", path=str(path)) from error


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    try:
        state.mkdir(parents=True, exist_ok=True)
        with (state / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise IndicatorError(f"cannot be used: {error.strerror}", path=str(state)) from error

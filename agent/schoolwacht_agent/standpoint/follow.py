"""The mapping file while the agent runs: taken in anew when it changes or on SIGHUP, refused if that cannot be right.

Promise: an agent that has ever had a good mapping never goes on without one. A file that is broken, or has less than
half the lines of the one in use, is refused: what was in use stays in use, and that is told once and stays a trouble
until the file is right. The last good file is kept in the state directory, for the same test after a restart.

A change is seen by the file's time, size and inode, and taken in when these have held still for two looks, so that a
file that is being written is not read half.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path

from schoolwacht.errors import ConfigError
from schoolwacht_agent.health import Condition, Finding
from schoolwacht_agent.standpoint.mapping import parse_mapping
from schoolwacht_agent.standpoint.table import Entry, Table

log = logging.getLogger(__name__)

#: A new mapping must have this share of the old one's lines.
SHARE = 0.5

_Stamp = tuple[int, int, int] | None


class Mapping:
    """The mapping in use.

    Args:
        path: the file.
        kept: where the last good one is kept; None keeps none (replay).
        zones: names of ``[[zones]]``.

    Raises ConfigError if neither the file nor what was kept can be used.
    """

    def __init__(self, path: Path, kept: Path | None = None, zones: Collection[str] = ()) -> None:
        self._path = path
        self._kept = kept
        self._zones = zones
        self._asked = False
        self._trouble: Finding | None = None
        self._stamp = self._seen = _stamp(path)
        self.table, self.schools = Table(()), 0
        last = self._last_good()
        if last is not None:
            self._use(last)
        try:
            data, entries = self._read()
        except ConfigError as error:
            if last is None:
                raise
            self._refuse(f"{error}; going on with the last good one of {self.table.size:,} lines")
        else:
            if self._is_too_small(len(entries)):
                self._refuse(self._too_small(len(entries)))
            else:
                self._use(entries)
                self._keep(data)

    def ask(self) -> None:
        """Read the file at the next :meth:`look`, changed or not. Safe in a signal handler."""
        self._asked = True

    def look(self) -> list[Finding]:
        """Take in the file if it has changed. What came of it, if it was refused."""
        stamp, before = _stamp(self._path), self._seen
        self._seen = stamp
        if not self._asked and (stamp == self._stamp or stamp != before):
            return []
        self._asked, self._stamp = False, stamp
        try:
            data, entries = self._read()
            if self._is_too_small(len(entries)):
                self._refuse(self._too_small(len(entries)))
                return self.troubles()
        except ConfigError as error:
            self._refuse(f"{error}; going on with the old one of {self.table.size:,} lines")
            return self.troubles()
        self._trouble = None
        self._use(entries)
        self._keep(data)
        log.info("%s: %s lines, %s schools", self._path, f"{self.table.size:,}", f"{self.schools:,}")
        return []

    def troubles(self) -> list[Finding]:
        """Why the file is not in use, while it is not."""
        return [] if self._trouble is None else [self._trouble]

    def _read(self) -> tuple[bytes, list[Entry]]:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", path=str(self._path)) from error
        return data, parse_mapping(data, path=str(self._path), zones=self._zones)

    def _use(self, entries: list[Entry]) -> None:
        self.table = Table(entries)
        self.schools = len({entry.place.school for entry in entries})

    def _is_too_small(self, size: int) -> bool:
        return size < SHARE * self.table.size

    def _too_small(self, size: int) -> str:
        remedy = f" (if this is meant, delete {self._kept} and restart the agent)" if self._kept is not None else ""
        return (
            f"{self._path}: has {size:,} lines, less than half of the {self.table.size:,} in use; "
            f"going on with those{remedy}"
        )

    def _refuse(self, text: str) -> None:
        log.warning("the mapping is refused: %s", text)
        self._trouble = Finding(Condition.MAPPING, float(self.table.size), f"the mapping is refused: {text}")

    def _last_good(self) -> list[Entry] | None:
        if self._kept is None:
            return None
        try:
            # Zones may have been renamed since: what counts here is that there is a mapping at all.
            return parse_mapping(self._kept.read_bytes(), path=str(self._kept))
        except (OSError, ConfigError):
            return None

    def _keep(self, data: bytes) -> None:
        if self._kept is None:
            return
        new = self._kept.with_suffix(".new")
        try:
            self._kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._kept)
        except OSError as error:
            log.warning("%s: the mapping cannot be kept for the next start: %s", self._kept, error.strerror)


def _stamp(path: Path) -> _Stamp:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns

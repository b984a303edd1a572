"""Dead letters: what was rejected, with the reason and its bytes, a JSON-lines file a day.

:mod:`.redelivery` brings them back.

Promise: on disk (fsync) before the agent hears that an item is rejected; if it cannot be written, the caller must not
say so. Limits: a number of bytes a day, beyond which items are counted and not kept; files older than the configured
days are deleted. A line is ``{"time","agent","epoch","sequence","reason","event"}``, ``event`` the item's MessagePack
in base64. The files hold what events hold: readable by the collector alone.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.errors import StoreError

_logger = logging.getLogger(__name__)
_FILES = "????-??-??.jsonl"


class _Line(msgspec.Struct, frozen=True):
    """A letter as it stands in the file."""

    time: datetime
    agent: str
    epoch: str
    sequence: int
    reason: str
    event: str


class Letter(msgspec.Struct, frozen=True):
    """A rejected item. ``raw`` are its bytes as they came, or as they were decoded."""

    time: datetime
    agent: str
    epoch: str
    sequence: int
    reason: str
    raw: bytes


class Filed(NamedTuple):
    """A line of the log: where it stands (``2026-03-02/17``), and its letter, or what is wrong with the line."""

    place: str
    letter: Letter | None
    fault: str = ""


def read(directory: Path) -> Iterator[Filed]:
    """Every line of the log below ``directory``, oldest first. Raises StoreError if a file cannot be read."""
    for path in sorted(directory.glob(_FILES)):
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    yield _filed(f"{path.stem}/{number}", line)
        except OSError as error:
            raise StoreError(f"dead letters cannot be read: {error.strerror}", path=str(path)) from error


class DeadLetters:
    """The log of rejected items below one directory. ``kept`` and ``dropped`` count items since the start."""

    def __init__(self, directory: Path, *, daily_bytes: int, days: int) -> None:
        self.kept = 0
        self.dropped = 0
        self._directory = directory
        self._daily_bytes = daily_bytes
        self._days = days
        self._turn = asyncio.Lock()
        self._today: date | None = None

    def exchange(self, *, daily_bytes: int, days: int) -> None:
        """Other bounds from now on; older files go with the first letter of the next day."""
        self._daily_bytes = daily_bytes
        self._days = days

    async def keep(self, letters: Sequence[Letter]) -> None:
        """Write the letters durably. Raises StoreError if the disk does not take them."""
        async with self._turn:
            try:
                written = await asyncio.to_thread(self._write, letters)
            except OSError as error:
                raise StoreError(
                    f"dead letters cannot be written: {error.strerror}", path=str(self._directory)
                ) from error
        self.kept += written
        if written < len(letters):
            if not self.dropped:
                _logger.warning(
                    "the dead letters of a day are full (limits.dead_letter_bytes): further ones are counted, not kept"
                )
            self.dropped += len(letters) - written

    def _write(self, letters: Sequence[Letter]) -> int:
        day = letters[0].time.date()
        if day != self._today:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._expire(day)
            self._today = day
        descriptor = os.open(self._directory / f"{day}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # another worker of this collector may write to it too
            size = os.fstat(descriptor).st_size
            room = self._daily_bytes - size
            chosen: list[bytes] = []
            for letter in letters:
                line = _line(letter)
                if len(line) <= room:
                    chosen.append(line)
                    room -= len(line)
            _append(descriptor, b"".join(chosen), size)
            return len(chosen)
        finally:
            os.close(descriptor)

    def _expire(self, today: date) -> None:
        for path in self._directory.glob(_FILES):
            try:
                day = date.fromisoformat(path.stem)
            except ValueError:
                continue
            if day < today - timedelta(days=self._days):
                path.unlink(missing_ok=True)


def _append(descriptor: int, data: bytes, size: int) -> None:
    """All of ``data`` behind ``size`` bytes, or none of it: half a line would spoil the next one."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _line(letter: Letter) -> bytes:
    line = _Line(
        letter.time,
        letter.agent,
        letter.epoch,
        letter.sequence,
        letter.reason,
        base64.b64encode(letter.raw).decode("ascii"),
    )
    return msgspec.json.encode(line) + b"\n"


def _filed(place: str, line: bytes) -> Filed:
    try:
        found = msgspec.json.decode(line, type=_Line)
        raw = base64.b64decode(found.event, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        return Filed(place, None, f"no dead letter: {error}")
    return Filed(place, Letter(found.time, found.agent, found.epoch, found.sequence, found.reason, raw))

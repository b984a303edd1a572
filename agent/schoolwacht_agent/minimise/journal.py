"""The journal: what was counted into sums and sightings and has not gone out yet, on disk beside the spool.

Promise: the counts and the source's mark are kept together or not at all. Each group of the spool carries a mark that
names a record of the journal, which is on the disk before the group is. Whoever starts after a kill or a power cut
goes on with the counts of exactly that record, while the source goes on behind exactly the events that are in them:
nothing is lost and nothing counted twice. The mark also says how many events those counts stand for, so that what
a damaged journal loses is counted all the same.

One file a process and a stretch of time (``STATE/counts/<id>.journal``, mode 600)::

    record    crc32 (4 bytes, of all that follows) · length (4 bytes) · MessagePack of :class:`_Record`
    mark      "SWJ1" · id (8 bytes) · number of the record · open events of sums · open counts of sightings · source's

A record has every sum and value that was touched since the record before, as it stands. The first of a file has all.
A file that has grown to four times its first record, and a megabyte at least, is followed by another.

What a record says is minimised: it holds what would go out. Limit: not safe for several threads at once, save that
:meth:`Journal.write` and :meth:`Journal.settle` may run in another than the rest.
"""

from __future__ import annotations

import logging
import os
import secrets
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from schoolwacht.errors import SpoolError
from schoolwacht_agent.minimise.sightings import Row as SightingRow
from schoolwacht_agent.minimise.step import OpenCounts
from schoolwacht_agent.minimise.sums import Row as SumRow

log = logging.getLogger(__name__)

SUFFIX = ".journal"
_MAGIC = b"SWJ1"
_MARK = struct.Struct(">4s8sQQQ")
_HEAD = struct.Struct(">II")
_LEAST_BYTES = 1 << 20
#: A record that says to be larger was not written by us.
_MOST_BYTES = 1 << 30


class Counted(Protocol):
    """Whose counts are kept: the step ``minimise``."""

    @property
    def open_figures(self) -> tuple[int, int]:
        """Events in sums, and counts of sightings, that have not gone out."""
        ...

    def open_counts(self) -> OpenCounts:
        """What has changed since the last call."""
        ...

    def all_open_counts(self) -> OpenCounts:
        """Everything."""
        ...


class _Record(Struct, array_like=True):
    number: int
    sums_reset: bool
    sums: list[SumRow]
    sightings_reset: bool
    sightings: list[SightingRow]


class Position(NamedTuple):
    """What the mark of a group says of the journal."""

    identity: bytes
    number: int
    events: int
    counts: int


class Kept(NamedTuple):
    """What a journal gives back, and how much of it is missing (0 if it is whole)."""

    sums: list[SumRow]
    sightings: list[SightingRow]
    missing_events: int
    missing_counts: int


class Entry(NamedTuple):
    """One record on its way to the disk."""

    identity: bytes
    number: int
    raw: bytes


def split(mark: bytes) -> tuple[Position | None, bytes]:
    """The position in a mark, None if it has none, and the source's own mark."""
    if not mark.startswith(_MAGIC) or len(mark) < _MARK.size:
        return None, mark
    _, identity, number, events, counts = _MARK.unpack_from(mark)
    return Position(identity, number, events, counts), mark[_MARK.size :]


def recover(directory: Path, position: Position | None) -> Kept:
    """The counts as they stood at a position. Never raises: what cannot be read is missing, and said."""
    if position is None:
        return Kept([], [], 0, 0)
    path = _path(directory, position.identity)
    sums: dict[tuple[object, ...], SumRow] = {}
    sightings: dict[tuple[str | None, str, str], SightingRow] = {}
    try:
        for record in _records(path.read_bytes(), position.number):
            if record.sums_reset:
                sums.clear()
            if record.sightings_reset:
                sightings.clear()
            sums.update((row[0], row) for row in record.sums)
            sightings.update((row[:3], row) for row in record.sightings)
    except FileNotFoundError:
        if position.events or position.counts:
            log.warning("%s: is gone", path)
    except (OSError, ValueError) as error:
        log.warning("%s: what was counted cannot be read any further: %s", path, error)
    kept = [row for row in sightings.values() if row[3]]
    missing = position.events - sum(row[1][0] for row in sums.values())
    return Kept(list(sums.values()), kept, max(0, missing), max(0, position.counts - sum(row[3] for row in kept)))


def _records(data: bytes, last: int) -> list[_Record]:
    """The records of a file up to a number. Raises ValueError if one before it is damaged or missing."""
    found: list[_Record] = []
    offset = 0
    while len(found) <= last:
        if offset + _HEAD.size > len(data):
            raise ValueError(f"it ends after {len(found)} records of {last + 1}")
        crc, length = _HEAD.unpack_from(data, offset)
        body = data[offset + _HEAD.size : offset + _HEAD.size + length]
        if length > _MOST_BYTES or len(body) < length or zlib.crc32(body) != crc:
            raise ValueError(f"record {len(found)} of {last + 1} is damaged")
        try:
            found.append(msgspec.msgpack.decode(body, type=_Record))
        except msgspec.MsgspecError as error:
            raise ValueError(f"record {len(found)} of {last + 1}: {error}") from error
        offset += _HEAD.size + length
    return found


class Journal:
    """Writes the journal of one capture.

    Args:
        directory: where the files lie; made if it is not there.
        counted: whose counts.
        least_bytes: size below which a file is never followed by another.
    """

    def __init__(self, directory: Path, counted: Counted, *, least_bytes: int = _LEAST_BYTES) -> None:
        self._directory = directory
        self._counted = counted
        self._least = least_bytes
        self._identity = b""
        self._number = 0
        self._size = self._limit = 0
        #: Records of the file that is being written, so that it can be written anew after an error.
        self._raws: list[bytes] = []
        self._file: int | None = None
        self._written: tuple[bytes, int] | None = None
        self._figures = (0, 0)

    def next(self, mark: bytes) -> tuple[Entry, bytes]:
        """The record of what was counted until now, and the mark of its group; ``mark`` is the source's."""
        if self._size >= self._limit:
            self._identity, self._number, self._size = secrets.token_bytes(8), 0, 0
            sums, sightings = self._counted.all_open_counts()
        else:
            self._number += 1
            sums, sightings = self._counted.open_counts()
        body = msgspec.msgpack.encode(_Record(self._number, sums.reset, sums.rows, sightings.reset, sightings.rows))
        raw = _HEAD.pack(zlib.crc32(body), len(body)) + body
        if not self._number:
            self._limit = max(self._least, 4 * len(raw))
        self._size += len(raw)
        self._figures = self._counted.open_figures
        position = _MARK.pack(_MAGIC, self._identity, self._number, *self._figures)
        return Entry(self._identity, self._number, raw), position + mark

    def is_behind(self) -> bool:
        """Whether something was counted or went out since the last record."""
        return self._counted.open_figures != self._figures

    def write(self, entry: Entry) -> None:
        """Put a record on the disk; again, if it failed. Raises SpoolError if the disk refuses."""
        if self._written == (entry.identity, entry.number):
            return
        try:
            if not entry.number:
                self._begin(entry.identity)
            if self._file is None:
                self._write_anew(entry)
            else:
                _put(self._file, entry.raw)
        except OSError as error:
            # Nothing is known of what was not synced: the whole file is written anew at the next attempt.
            self.close()
            where = str(_path(self._directory, entry.identity))
            raise SpoolError(f"cannot be written: {error.strerror}", path=where) from error
        self._raws.append(entry.raw)
        self._written = (entry.identity, entry.number)

    def settle(self) -> None:
        """The group of the last record is kept: files before it are not needed any more. Never raises."""
        if self._written is None or self._written[1] > 1:
            return
        keep = _path(self._directory, self._written[0])
        with suppress(OSError):
            for path in self._directory.iterdir():
                if path != keep:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the file go. Never raises."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _begin(self, identity: bytes) -> None:
        if self._written is None or self._written[0] != identity:
            self.close()
            self._raws = []

    def _write_anew(self, entry: Entry) -> None:
        path = _path(self._directory, entry.identity)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            _put(file, b"".join([*self._raws, entry.raw]))
            new.replace(path)
            _sync_directory(self._directory)
        except OSError:
            os.close(file)
            raise
        self._file = file


def _put(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.fdatasync(file)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _path(directory: Path, identity: bytes) -> Path:
    return directory / f"{identity.hex()}{SUFFIX}"

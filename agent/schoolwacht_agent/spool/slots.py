"""The spool's small state files: two slots written in turn, in place, so that one of them is always whole.

In place and not by rename, because a full disk must not keep the agent from recording what it has delivered: that is
what makes room again. The file gets its full size when it is made.

Head, ledger and cursor each have one writing process; any process may read.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from schoolwacht.account import Totals
from schoolwacht_agent.spool.disk import Disk
from schoolwacht_agent.spool.format import FORMAT, State

T = TypeVar("T", bound=msgspec.Struct)

_SLOT = struct.Struct("<IIQ")


class Bound(msgspec.Struct, frozen=True, array_like=True):
    """A place in a lane: segment number and offset in bytes."""

    segment: int = 0
    offset: int = 0


class Floor(msgspec.Struct, frozen=True, array_like=True):
    """Segments of a lane up to this number are dropped; ``ordinal`` is the first that is not."""

    segment: int = -1
    ordinal: int = 0


class Head(msgspec.Struct, frozen=True):
    """How far the lanes are durable: synced when the spool is opened, then written after each commit without a sync.

    It is never ahead of the truth.
    """

    epoch: str
    state: State
    bounds: tuple[Bound, Bound]


class Ledger(msgspec.Struct, frozen=True):
    """The life of the spool, and what the writer had to drop: ``lost[lane][reason]``.

    ``base`` is where all totals stood when the epoch began, ``parent`` the epoch that the spool is a copy of.
    """

    epoch: str
    inode: int
    floors: tuple[Floor, Floor] = (Floor(), Floor())
    lost: tuple[dict[str, int], dict[str, int]] = ({}, {})
    format: int = FORMAT
    base: Totals | None = None
    parent: str = ""


class Held(msgspec.Struct, frozen=True, array_like=True):
    """An event that was taken and must be tried again: where its record lies."""

    ordinal: int
    segment: int
    offset: int
    size: int


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where the reader goes on in a lane; every event below ``ordinal`` is settled, save the held ones.

    ``corrupt`` counts events that could not be read, ``rescued`` those delivered after the writer had counted them
    as dropped.
    """

    segment: int = -1
    offset: int = 0
    ordinal: int = -1
    held: tuple[Held, ...] = ()
    corrupt: int = 0
    rescued: int = 0


class Cursor(msgspec.Struct, frozen=True):
    """What is settled. ``settled_at`` is the time of the last delivery, in seconds since 1970."""

    places: tuple[Place, Place] = (Place(), Place())
    delivered: int = 0
    rejected: int = 0
    settled_at: float = 0.0


class Slots(Generic[T]):
    """One state file.

    Args:
        disk: where it lies.
        path: its name.
        type: what it holds.
        size: of one slot, bytes.
    """

    def __init__(self, disk: Disk, path: str, type: type[T], size: int) -> None:  # noqa: A002 - it is the type
        self.path = path
        self._disk = disk
        self._decoder = msgspec.msgpack.Decoder(type)
        self._size = size
        self._generation: int | None = None

    def prepare(self) -> None:
        """Make the file, if it is not whole. Raises OSError."""
        with suppress(FileNotFoundError):
            present = len(self._disk.read(self.path, 0, 2 * self._size))
            if present == 2 * self._size:
                return
            self._disk.overwrite(self.path, present, bytes(2 * self._size - present), sync=True)
            self._disk.sync_directory("")
            return
        file = self._disk.create(self.path)
        try:
            file.write(bytes(2 * self._size))
            file.sync()
        finally:
            file.close()
        self._disk.sync_directory("")

    def read(self) -> T | None:
        """The newest whole value; None if there is none. Raises OSError other than a missing file."""
        newest = self._newest()
        return newest[1] if newest else None

    def write(self, value: T, *, sync: bool, twice: bool = False) -> None:
        """Put a new value. ``twice`` fills both slots, so that damage to either loses nothing. Raises OSError."""
        if self._generation is None:
            newest = self._newest()
            self._generation = newest[0] if newest else 0
        payload = msgspec.msgpack.encode(value)
        if len(payload) + _SLOT.size > self._size:
            raise ValueError(f"{self.path} cannot hold {len(payload)} bytes")
        for _ in range(2 if twice else 1):
            # Counted up only after success: whoever tries again overwrites the torn slot, never the whole one.
            generation = self._generation + 1
            body = struct.pack("<IQ", len(payload), generation) + payload
            slot = struct.pack("<I", zlib.crc32(body)) + body
            self._disk.overwrite(self.path, (generation % 2) * self._size, slot, sync=sync)
            self._generation = generation

    def _newest(self) -> tuple[int, T] | None:
        try:
            data = self._disk.read(self.path, 0, 2 * self._size)
        except FileNotFoundError:
            return None
        found = [self._slot(data, offset) for offset in (0, self._size)]
        return max((slot for slot in found if slot is not None), key=lambda slot: slot[0], default=None)

    def _slot(self, data: bytes, offset: int) -> tuple[int, T] | None:
        if offset + _SLOT.size > len(data):
            return None
        crc, length, generation = _SLOT.unpack_from(data, offset)
        end = offset + _SLOT.size + length
        if length > self._size or end > len(data) or zlib.crc32(data[offset + 4 : end]) != crc or not generation:
            return None
        try:
            return generation, self._decoder.decode(data[offset + _SLOT.size : end])
        except msgspec.MsgspecError:
            return None


def head_slots(disk: Disk) -> Slots[Head]:
    """The file ``head``."""
    return Slots(disk, "head", Head, 8192)


def ledger_slots(disk: Disk) -> Slots[Ledger]:
    """The file ``ledger``."""
    return Slots(disk, "ledger", Ledger, 8192)


def cursor_slots(disk: Disk) -> Slots[Cursor]:
    """The file ``cursor``; room for 2 × 4,000 held events."""
    return Slots(disk, "cursor", Cursor, 256 << 10)

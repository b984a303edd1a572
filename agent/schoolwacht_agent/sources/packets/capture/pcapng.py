"""The block-structured capture file, pcapng: several interfaces and link types, any resolution of time.

Read: section header, interface description, enhanced, simple and obsolete packet blocks, and of the interface
statistics the packets that were lost. Every other block is stepped over. Both byte orders, also changing from section
to section. Source: draft-ietf-opsawg-pcapng. A simple packet has no time: it gets that of the packet before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from schoolwacht_agent.sources.packets.capture.pieces import Pieces
from schoolwacht_agent.sources.packets.records import CAPTURED_MAX, Batch

#: A section header block reads the same in both byte orders.
MAGIC = b"\x0a\x0d\x0d\x0a"
_LITTLE = b"\x4d\x3c\x2b\x1a"
_BIG = b"\x1a\x2b\x3c\x4d"
#: Blocks that hold a packet are no longer than this; any other may be, and is stepped over.
_BLOCK_MAX = CAPTURED_MAX + 65_536
_INTERFACES_MAX = 65_536


class _Block(IntEnum):
    INTERFACE = 1
    OBSOLETE = 2
    SIMPLE = 3
    STATISTICS = 5
    ENHANCED = 6
    SECTION = 0x0A0D0D0A


class _Option(IntEnum):
    DROPPED_BY_INTERFACE = 5
    DROPPED_BY_SYSTEM = 7
    RESOLUTION = 9
    OFFSET = 14


class _Interface(NamedTuple):
    link: int
    snap: int
    tick: float
    offset: int


class _Layouts(NamedTuple):
    order: str
    block: struct.Struct
    enhanced: struct.Struct
    obsolete: struct.Struct


def _layouts(order: str) -> _Layouts:
    return _Layouts(order, struct.Struct(f"{order}2I"), struct.Struct(f"{order}5I"), struct.Struct(f"{order}2H4I"))


_ORDERS = {_LITTLE: _layouts("<"), _BIG: _layouts(">")}


def read_pcapng(pieces: Pieces) -> Iterator[Batch]:
    """The packets of a file that begins with a section header."""
    return _Reader(pieces).batches()


class _Reader:
    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._layouts = _ORDERS[_LITTLE]
        self._interfaces: list[_Interface] = []
        self._last = 0.0
        self._packets = 0
        self._link = -1
        # Statistics are totals: what was told already, by section's interface and option.
        self._lost: dict[tuple[int, int], int] = {}
        self._records: list[tuple[float, int, int, int, int]] = []

    def batches(self) -> Iterator[Batch]:
        pieces = self._pieces
        going = True
        while going:
            buffer = pieces.buffer
            at = 0
            length = fault = None
            while at + 12 <= pieces.size:
                kind, length, fault = self._block(buffer, at)
                if fault is not None or length > _BLOCK_MAX or at + length > pieces.size:
                    break
                change, fault = self._take(kind, buffer, at, length)
                if fault is not None:
                    break
                if change is not None:
                    yield change
                at += length
                length = None
            if self._records:
                yield Batch(buffer, self._link, self._records)
                self._records = []
            if fault is not None:
                pieces.fail(f"is damaged: {fault}; the {self._packets} packets before it were read")
            if length is not None and length > _BLOCK_MAX and at + length > pieces.size:
                self._step_over(at, length)
            else:
                going = pieces.more(at)
        if pieces.size:
            pieces.cut_off(self._packets)

    def _step_over(self, at: int, length: int) -> None:
        kind = self._layouts.block.unpack_from(self._pieces.buffer, at)[0]
        if kind in (_Block.ENHANCED, _Block.SIMPLE, _Block.OBSOLETE):
            self._pieces.fail(
                f"is damaged: packet {self._packets + 1} claims {length} bytes; the packets before it were read"
            )
        if not self._pieces.skip(at + length):
            self._pieces.cut_off(self._packets)

    def _block(self, buffer: bytes, at: int) -> tuple[int, int, str | None]:
        """Kind and length of the block at ``at``. A section header sets the byte order first."""
        if buffer[at : at + 4] == MAGIC:
            layouts = _ORDERS.get(buffer[at + 8 : at + 12])
            if layouts is None:
                return 0, 0, "a section without a byte order"
            self._layouts = layouts
        kind, length = self._layouts.block.unpack_from(buffer, at)
        if length < 12 or length % 4:
            return kind, 0, f"a block of {length} bytes"
        return kind, length, None

    def _take(self, kind: int, buffer: bytes, at: int, length: int) -> tuple[Batch | None, str | None]:
        """Read one whole block. Gives the packets so far if the link type changes, and what is wrong, if anything."""
        end = at + length - 4
        if kind == _Block.ENHANCED:
            if length < 32:
                return None, "a packet block that is too short"
            number, high, low, captured, wire = self._layouts.enhanced.unpack_from(buffer, at + 8)
            return self._packet(number, high << 32 | low, captured, wire, at + 28, end)
        if kind == _Block.OBSOLETE:
            if length < 32:
                return None, "a packet block that is too short"
            number, _, high, low, captured, wire = self._layouts.obsolete.unpack_from(buffer, at + 8)
            return self._packet(number, high << 32 | low, captured, wire, at + 28, end)
        if kind == _Block.SIMPLE:
            if length < 16 or not self._interfaces:
                return None, "a simple packet block that is too short or without an interface"
            wire = struct.unpack_from(f"{self._layouts.order}I", buffer, at + 8)[0]
            captured = min(wire, self._interfaces[0].snap or wire, end - at - 12)
            return self._packet(0, None, captured, wire, at + 12, end)
        if kind == _Block.SECTION:
            self._interfaces = []
            self._lost = {}
        elif kind == _Block.INTERFACE:
            return None, self._describe(buffer, at, end)
        elif kind == _Block.STATISTICS:
            self._count_dropped(buffer, at, end)
        return None, None

    def _packet(
        self, number: int, ticks: int | None, captured: int, wire: int, start: int, end: int
    ) -> tuple[Batch | None, str | None]:
        if number >= len(self._interfaces):
            return None, f"a packet of interface {number}, which the file does not describe"
        if captured > end - start:
            return None, f"packet {self._packets + 1} is longer than its block"
        interface = self._interfaces[number]
        if ticks is not None:
            self._last = ticks * interface.tick + interface.offset
        change = None
        if interface.link != self._link:
            if self._records:
                change = Batch(self._pieces.buffer, self._link, self._records)
                self._records = []
            self._link = interface.link
        self._records.append((self._last, max(wire, captured), start, captured, 0))
        self._packets += 1
        return change, None

    def _describe(self, buffer: bytes, at: int, end: int) -> str | None:
        if end - at < 16:
            return "an interface block that is too short"
        if len(self._interfaces) >= _INTERFACES_MAX:
            return f"more than {_INTERFACES_MAX} interfaces"
        link, snap = struct.unpack_from(f"{self._layouts.order}HxxI", buffer, at + 8)
        tick, offset = 1e-6, 0
        for code, value in self._options(buffer, at + 16, end):
            if code == _Option.RESOLUTION and value:
                tick = 2.0 ** -(value[0] & 0x7F) if value[0] & 0x80 else 10.0 ** -value[0]
            elif code == _Option.OFFSET and len(value) == 8:
                offset = struct.unpack(f"{self._layouts.order}q", value)[0]
        self._interfaces.append(_Interface(link, snap, tick, offset))
        return None

    def _count_dropped(self, buffer: bytes, at: int, end: int) -> None:
        interface = struct.unpack_from(f"{self._layouts.order}I", buffer, at + 8)[0]
        for code, value in self._options(buffer, at + 20, end):
            if code in (_Option.DROPPED_BY_INTERFACE, _Option.DROPPED_BY_SYSTEM) and len(value) == 8:
                total = struct.unpack(f"{self._layouts.order}Q", value)[0]
                self._pieces.dropped(max(0, total - self._lost.get((interface, code), 0)))
                self._lost[interface, code] = total

    def _options(self, buffer: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
        while at + 4 <= end:
            code, length = struct.unpack_from(f"{self._layouts.order}2H", buffer, at)
            if code == 0 or at + 4 + length > end:
                return
            yield code, buffer[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4

"""The spool's bytes: names of segments, records, and how to find the next whole record after damage. Pure.

A lane is a series of segments. A segment's **name** says its number, the ordinal of its first event in the lane and
the epoch of its sequence numbers (``0000002a-00000001e240-5f3a….log``), so that what it holds can be counted, and its
events be sent, whatever has become of its first bytes.

A **record** is 24 bytes and a payload::

    crc32     4   of all that follows, started with the segment's salt
    magic     3   of the segment
    kind      1   HEADER, EVENT, COPY or COMMIT
    length    4   of the payload
    place     4   EVENT: ordinal in the lane, counted from the segment's first; COPY: counted backwards from it
    sequence  8   EVENT, COPY: number of the event in its epoch; else the transaction

all little-endian. Salt and magic come from the epoch and the segment's number: text from the network that is made to
look like a record cannot pass for one when its surroundings are damaged.

HEADER (first in a segment) and COMMIT (last of each transaction, events lane only) carry a :class:`State`. An event
whose ordinal is not below the first ordinal of any later segment was never committed there and is void: that is how an
abandoned or torn tail is taken back without touching the file. COPY repeats an event of the segment before, which may
not have reached the disk there (``recover``); the first ordinal of a segment with copies is that of its first copy,
which its header knows.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schoolwacht.event import Dataset

FORMAT = 1
#: The longest payload, bytes; an event beyond it could not travel in a batch either.
RECORD_MAX = 4 << 20
#: The longest mark of a source, bytes.
MARK_MAX = 4096
#: The longest HEADER record, bytes.
HEADER_MAX = MARK_MAX + 256

_HEAD = struct.Struct("<3sBIIQ")
_CRC = struct.Struct("<I")
OVERHEAD = _CRC.size + _HEAD.size
_WHOLE = struct.Struct("<I3sBIIQ")
_NAME = re.compile(r"^(?P<number>[0-9a-f]{8})-(?P<base>[0-9a-f]{12})-(?P<epoch>[0-9a-f]{16})\.log$")


class Lane(IntEnum):
    """The two logs. The value is also the order of delivery."""

    SIGNALS = 0
    EVENTS = 1

    @property
    def directory(self) -> str:
        """Its folder in the spool, and its name in reports."""
        return self.name.lower()


#: What travels in the signals lane, ahead of everything else.
SIGNAL_DATASETS = frozenset({Dataset.SIGNAL, Dataset.HEALTH})


class Kind(IntEnum):
    """What a record is."""

    HEADER = 1
    EVENT = 2
    COMMIT = 3
    COPY = 4


class State(msgspec.Struct, frozen=True, array_like=True):
    """Where the spool stands after a transaction: the next numbers, and where the source can go on."""

    transaction: int = 0
    sequence: int = 0
    #: The next ordinal of each lane.
    ordinals: tuple[int, int] = (0, 0)
    mark: bytes = b""
    #: Number of the segment that holds the signals of the transaction; 0 if it has none.
    signals: int = 0


class Key(NamedTuple):
    """Salt and magic of a segment."""

    salt: int
    magic: bytes


class Segment(NamedTuple):
    """A segment as its name tells it. ``base`` is the ordinal of its first event."""

    number: int
    base: int
    epoch: str
    lane: Lane

    @property
    def path(self) -> str:
        """Its file, below the spool's directory."""
        return f"{self.lane.directory}/{self.number:08x}-{self.base:012x}-{self.epoch}.log"

    def ordinal(self, record: Record) -> int | None:
        """The ordinal of an event in this segment; None if the record is no event."""
        if record.kind == Kind.EVENT:
            return self.base + record.place
        return self.base - record.place if record.kind == Kind.COPY else None

    @property
    def key(self) -> Key:
        """Its salt and magic."""
        digest = blake2b(f"{self.lane}{self.number:x}{self.epoch}".encode(), digest_size=7).digest()
        return Key(int.from_bytes(digest[:4], "little"), digest[4:])


class Record(NamedTuple):
    """A whole record found in a buffer: ``buffer[start:end]`` is its payload."""

    kind: int
    place: int
    sequence: int
    start: int
    end: int


def segment_named(lane: Lane, name: str) -> Segment | None:
    """The segment with this file name; None for a file that is no segment."""
    found = _NAME.match(name)
    if found is None:
        return None
    return Segment(int(found["number"], 16), int(found["base"], 16), found["epoch"], lane)


def event_record(key: Key, place: int, sequence: int, payload: bytes) -> bytes:
    """An EVENT record, or with a negative place a COPY."""
    kind = 2 if place >= 0 else 4
    body = _HEAD.pack(key.magic, kind, len(payload), abs(place), sequence) + payload
    return _CRC.pack(zlib.crc32(body, key.salt)) + body


def state_record(key: Key, kind: Kind, state: State) -> bytes:
    """A HEADER or COMMIT record."""
    payload = msgspec.msgpack.encode(state)
    body = _HEAD.pack(key.magic, kind, len(payload), 0, state.transaction) + payload
    return _CRC.pack(zlib.crc32(body, key.salt)) + body


def state_in(payload: bytes | memoryview) -> State | None:
    """The state a HEADER or COMMIT carries; None if it is none (of another format, say)."""
    try:
        return msgspec.msgpack.decode(payload, type=State)
    except msgspec.MsgspecError:
        return None


def first_ordinal(segment: Segment, beginning: bytes) -> int | None:
    """The lowest ordinal that can stand in a segment, from its first bytes; None if its header is not there.

    It lies before the base where the segment begins with copies: the header says where the writer stood before them.
    """
    record = next(records(beginning, segment.key), None)
    if record is None or record.kind != Kind.HEADER or record.start != OVERHEAD:
        return None
    state = state_in(beginning[record.start : record.end])
    return None if state is None else min(segment.base, state.ordinals[segment.lane])


def records(buffer: bytes, key: Key, at: int = 0, size: int | None = None) -> Iterator[Record]:
    """The whole records of ``buffer[:size]`` from ``at`` on, in order; damage between them is passed over.

    A record that lies there only in part counts as damaged.
    """
    salt, magic = key
    size = len(buffer) if size is None else min(size, len(buffer))
    view = memoryview(buffer)
    unpack, crc32 = _WHOLE.unpack_from, zlib.crc32
    while at + OVERHEAD <= size:
        crc, found, kind, length, place, sequence = unpack(buffer, at)
        start = at + OVERHEAD
        end = start + length
        if found == magic and end <= size and length <= RECORD_MAX and crc32(view[at + 4 : end], salt) == crc:
            yield Record(kind, place, sequence, start, end)
            at = end
            continue
        # The magic stands 4 bytes into a record: look for the next one beyond this place.
        found_at = buffer.find(magic, at + 5)
        if found_at < 0:
            return
        at = found_at - 4


def record_at(buffer: bytes, key: Key) -> Record | None:
    """The record that fills ``buffer`` exactly; None if it does not."""
    record = next(records(buffer, key), None)
    return record if record is not None and record.end == len(buffer) and record.start == OVERHEAD else None

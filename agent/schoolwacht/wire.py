"""The wire between agent and collector: one batch is one MessagePack map in one zstd frame.

Promise: whatever bytes come in, :func:`decode_batch` answers or raises :class:`WireError` within bounded memory.
Limits: :data:`LIMITS`. The HTTP layer never inflates anything, because batches have a content type of their own and
no ``Content-Encoding``. Nesting is bounded by the types: a typed decoder follows only the shapes it knows, to the
lengths they allow.

docs/wire.md describes the format for people; tests/schoolwacht/wire_golden.msgpack holds its bytes.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple

import msgspec
import zstandard
from msgspec import Meta, Struct

from schoolwacht.errors import WireError
from schoolwacht.event import Event

VERSION = 1
BATCH_TYPE = "application/vnd.schoolwacht.batch.v1"
REPLY_TYPE = "application/vnd.schoolwacht.reply.v1"
#: Events that are decoded at a time.
SLICE = 50
#: zstd level of a batch; 3 saves 3 % of the bytes for 2 % of the whole way from EVE.
LEVEL = 1


class Limits(NamedTuple):
    """Bounds of one batch. Sizes in bytes."""

    frame: int = 2 << 20
    inflated: int = 8 << 20
    items: int = 2000
    event: int = 256 << 10
    window: int = 8 << 20


LIMITS = Limits()


class Verdict(IntEnum):
    """What became of one event, or of one notification. The only words of delivery in the project."""

    DELIVERED = 0
    RETRY = 1
    REJECTED = 2


class RawBatch(Struct):
    """A batch as it travels, its events still encoded.

    ``epoch`` names the life of the agent's spool (16 hexadecimal digits, new when a spool is made anew) and
    ``sequences`` the place of each event in it: agent, epoch and sequence identify an event for ever.
    """

    version: int
    epoch: Annotated[str, Meta(pattern="^[0-9a-f]{16}$", max_length=16)]
    sequences: Annotated[list[Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]], Meta(max_length=LIMITS.items)]
    events: Annotated[list[msgspec.Raw], Meta(max_length=LIMITS.items)]


class Fault(NamedTuple):
    """An item of a batch that is no event: its place, why, and its bytes for the dead letters."""

    place: int
    reason: str
    raw: bytes


class Decoded(NamedTuple):
    """A decoded batch. ``events[i]`` is None exactly where a fault has place ``i``."""

    epoch: str
    sequences: list[int]
    events: list[Event | None]
    faults: list[Fault]


class Opened(NamedTuple):
    """A batch whose envelope is right. ``size`` is its inflated size in bytes."""

    epoch: str
    sequences: list[int]
    raws: list[msgspec.Raw]
    size: int


class Slice(NamedTuple):
    """Decoded events of a batch from place ``start`` on; None exactly where a fault has that place."""

    start: int
    events: list[Event | None]
    faults: list[Fault]


class Reply(Struct, omit_defaults=True):
    """The collector's answer: one verdict an item, in the batch's order.

    ``reasons`` says why, by the item's place, for rejected items and (where known) for those to retry.
    ``retry_after`` asks the agent to wait that many seconds before its next batch.
    """

    version: int
    verdicts: list[Verdict]
    reasons: dict[int, str] = {}
    retry_after: float | None = None


_event_encoder = msgspec.msgpack.Encoder()
_list_decoder = msgspec.msgpack.Decoder(list[Event])
_raw_decoder = msgspec.msgpack.Decoder(RawBatch)
_event_decoder = msgspec.msgpack.Decoder(Event)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
# One compressor a thread: none may be used by two at once.
_own = threading.local()
# The foreign errors that decoding hostile bytes can raise; RecursionError comes from nesting in skipped fields.
_DECODE_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


#: One event as MessagePack, the form in which the spool keeps it and a batch carries it.
encode_event: Callable[[Event], bytes] = _event_encoder.encode


def decode_event(raw: bytes | memoryview) -> Event:
    """The event in ``raw``. Raises WireError."""
    if len(raw) > LIMITS.event:
        raise WireError(f"no event: {len(raw)} bytes, at most {LIMITS.event} are taken")
    try:
        return _event_decoder.decode(raw)
    except _DECODE_ERRORS as error:
        raise WireError(f"no event: {error}") from error


def encode_batch(epoch: str, sequences: Sequence[int], events: Sequence[bytes], *, level: int = LEVEL) -> bytes:
    """A batch of encoded events as one zstd frame.

    Args:
        epoch: 16 hexadecimal digits.
        sequences: one number an event.
        events: results of :func:`encode_event`; at most ``LIMITS.items``.
        level: zstd level.
    """
    # The events stand last and are encoded already: an empty batch less its empty list, and the list as it is.
    head = _event_encoder.encode(RawBatch(VERSION, epoch, list(sequences), []))[:-1]
    return _compressor(level).compress(b"".join((head, _list_head(len(events)), *events)))


def decode_batch(frame: bytes) -> Decoded:
    """Decode a batch; a faulty event becomes a fault and leaves the others whole.

    Raises WireError if the frame, its limits or its envelope are wrong: then nothing of it can be used.
    """
    opened = open_batch(frame)
    decoded = Decoded(opened.epoch, opened.sequences, [], [])
    for part in decode_slices(opened):
        decoded.events.extend(part.events)
        decoded.faults.extend(part.faults)
    return decoded


def open_batch(frame: bytes) -> Opened:
    """Look at a batch without decoding its events. Raises WireError as :func:`decode_batch` does."""
    data = _inflate(frame)
    try:
        batch = _raw_decoder.decode(data)
    except _DECODE_ERRORS as error:
        raise WireError(f"no batch: {error}") from error
    if batch.version != VERSION:
        raise WireError(f"batch has wire version {batch.version}, this collector speaks {VERSION}")
    if len(batch.sequences) != len(batch.events):
        raise WireError(f"batch has {len(batch.sequences)} sequence numbers for {len(batch.events)} events")
    return Opened(batch.epoch, batch.sequences, batch.events, len(data))


def decode_slices(opened: Opened, size: int = SLICE) -> Iterator[Slice]:
    """Decode the events of a batch some at a time, so that each is used while it is in the processor's cache.

    A slice of ordinary events takes a quarter of a millisecond; of the worst that fits the limits, below 50.
    """
    raws = opened.raws
    for start in range(0, len(raws), size):
        some = raws[start : start + size]
        data = _list_of(some)
        if len(data) > LIMITS.event:
            yield _decode_items(start, some)
            continue
        try:
            events: list[Event | None] = [*_list_decoder.decode(data)]
        except _DECODE_ERRORS:
            yield _decode_items(start, some)
        else:
            yield Slice(start, events, [])


def encode_reply(reply: Reply) -> bytes:
    """The collector's answer as MessagePack (not compressed: it is small)."""
    return _event_encoder.encode(reply)


def decode_reply(data: bytes, *, items: int) -> Reply:
    """The answer to a batch of ``items`` events. Raises WireError, also if it answers for another number."""
    try:
        reply = _reply_decoder.decode(data)
    except _DECODE_ERRORS as error:
        raise WireError(f"no reply of a collector: {error}") from error
    if reply.version != VERSION:
        raise WireError(f"reply has wire version {reply.version}, this agent speaks {VERSION}")
    if len(reply.verdicts) != items:
        raise WireError(f"reply has {len(reply.verdicts)} verdicts for {items} events")
    return reply


def _inflate(frame: bytes) -> bytes:
    if len(frame) > LIMITS.frame:
        raise WireError(f"frame of {len(frame)} bytes, at most {LIMITS.frame} are taken")
    # Not zstandard.decompress: it believes the size a frame declares and ignores the cap.
    reader = zstandard.ZstdDecompressor(max_window_size=LIMITS.window).stream_reader(
        io.BytesIO(frame), read_across_frames=False
    )
    try:
        data: bytes = reader.read(LIMITS.inflated + 1)
    except zstandard.ZstdError as error:
        raise WireError(f"no zstd frame: {error}") from error
    if len(data) > LIMITS.inflated:
        raise WireError(f"frame inflates to more than {LIMITS.inflated} bytes")
    return data


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """This thread's compressor of a level: to make one takes longer than to compress a small batch."""
    made: dict[int, zstandard.ZstdCompressor] | None = getattr(_own, "compressors", None)
    if made is None:
        made = _own.compressors = {}
    if level not in made:
        made[level] = zstandard.ZstdCompressor(level=level)
    return made[level]


def _list_head(number: int) -> bytes:
    """How the MessagePack array of so many items begins."""
    return bytes((0x90 | number,)) if number < 16 else b"\xdc" + number.to_bytes(2, "big")


def _list_of(raws: list[msgspec.Raw]) -> bytes:
    """The MessagePack array of these items."""
    return b"\xdc" + len(raws).to_bytes(2, "big") + b"".join(raws)


def _decode_items(start: int, raws: list[msgspec.Raw]) -> Slice:
    events: list[Event | None] = []
    faults: list[Fault] = []
    for place, raw in enumerate(raws, start):
        view = memoryview(raw)
        try:
            events.append(decode_event(view))
        except WireError as error:
            faults.append(Fault(place, error.message, bytes(view)))
            events.append(None)
    return Slice(start, events, faults)

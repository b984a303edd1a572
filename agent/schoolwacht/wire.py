"""The wire between agent and collector: one batch is one MessagePack map in one zstd frame.

Promise: whatever bytes come in, :func:`decode_batch` answers or raises :class:`WireError` within bounded memory.
Limits: :data:`LIMITS`. The HTTP layer never inflates anything, because batches have a content type of their own and
no ``Content-Encoding``. Nesting and the size of an event are bounded by
the types: a typed decoder follows only the shapes it knows, to the lengths they allow.

docs/wire.md describes the format for people; tests/schoolwacht/wire_golden.* hold its bytes.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
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


class Limits(NamedTuple):
    """Bounds of one batch. Sizes in bytes."""

    frame: int = 2 << 20
    inflated: int = 8 << 20
    items: int = 2000
    window: int = 8 << 20


LIMITS = Limits()


class Verdict(IntEnum):
    """What became of one event, or of one notification. The only words of delivery in the project."""

    DELIVERED = 0
    RETRY = 1
    REJECTED = 2


class Batch(Struct, forbid_unknown_fields=False):
    """A batch as it travels.

    ``epoch`` names the life of the agent's spool (16 hexadecimal digits, new when a spool is made anew) and
    ``sequences`` the place of each event in it: agent, epoch and sequence identify an event for ever.
    """

    version: int
    epoch: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    sequences: Annotated[list[Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]], Meta(max_length=LIMITS.items)]
    events: Annotated[list[Event], Meta(max_length=LIMITS.items)]


class RawBatch(Struct):
    """The same batch with its events still encoded: how an agent builds it, and how a faulty one is taken apart."""

    version: int
    epoch: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
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
_batch_decoder = msgspec.msgpack.Decoder(Batch)
_raw_decoder = msgspec.msgpack.Decoder(RawBatch)
_event_decoder = msgspec.msgpack.Decoder(Event)
_reply_decoder = msgspec.msgpack.Decoder(Reply)
# A batch up to this size is decoded in one go, which is faster; beyond, and if it has faults, item by item, with a
# pause after every _STEP bytes.
_WHOLE = 1 << 20
_STEP = 1 << 18
# The foreign errors that decoding hostile bytes can raise; RecursionError comes from nesting in skipped fields.
_DECODE_ERRORS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)


def encode_event(event: Event) -> bytes:
    """One event as MessagePack, the form in which the spool keeps it and a batch carries it."""
    return _event_encoder.encode(event)


def decode_event(raw: bytes | memoryview) -> Event:
    """The event in ``raw``. Raises WireError."""
    try:
        return _event_decoder.decode(raw)
    except _DECODE_ERRORS as error:
        raise WireError(f"no event: {error}") from error


def encode_batch(epoch: str, sequences: Sequence[int], events: Sequence[bytes], *, level: int = 3) -> bytes:
    """A batch of encoded events as one zstd frame.

    Args:
        epoch: 16 hexadecimal digits.
        sequences: one number an event.
        events: results of :func:`encode_event`; at most ``LIMITS.items``.
        level: zstd level; 1–3 suit a small box.
    """
    batch = RawBatch(VERSION, epoch, list(sequences), [msgspec.Raw(raw) for raw in events])
    return zstandard.ZstdCompressor(level=level).compress(_event_encoder.encode(batch))


def decode_batch(frame: bytes) -> Decoded:
    """Decode a batch; a faulty event becomes a fault and leaves the others whole.

    Raises WireError if the frame, its limits or its envelope are wrong: then nothing of it can be used.
    """
    steps = decode_steps(frame)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            decoded: Decoded = done.value
            return decoded


def decode_steps(frame: bytes) -> Generator[None, None, Decoded]:
    """:func:`decode_batch` in bounded steps: it yields where other work may run, and returns the batch.

    A step takes a few milliseconds for a batch as agents send them, and below 50 for the worst that fits the limits.
    """
    data = _inflate(frame)
    yield
    if len(data) <= _WHOLE:
        try:
            batch = _batch_decoder.decode(data)
        except _DECODE_ERRORS:
            yield
        else:
            _check_envelope(batch.version, len(batch.sequences), len(batch.events))
            return Decoded(batch.epoch, batch.sequences, list(batch.events), [])
    return (yield from _decode_items(data))


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


def _check_envelope(version: int, sequences: int, events: int) -> None:
    if version != VERSION:
        raise WireError(f"batch has wire version {version}, this collector speaks {VERSION}")
    if events > LIMITS.items:
        raise WireError(f"batch of {events} events, at most {LIMITS.items} are taken")
    if sequences != events:
        raise WireError(f"batch has {sequences} sequence numbers for {events} events")


def _decode_items(data: bytes) -> Generator[None, None, Decoded]:
    try:
        batch = _raw_decoder.decode(data)
    except _DECODE_ERRORS as error:
        raise WireError(f"no batch: {error}") from error
    _check_envelope(batch.version, len(batch.sequences), len(batch.events))
    yield
    events: list[Event | None] = []
    faults: list[Fault] = []
    size = 0
    for place, raw in enumerate(batch.events):
        view = memoryview(raw)
        try:
            events.append(decode_event(view))
        except WireError as error:
            faults.append(Fault(place, error.message, bytes(view)))
            events.append(None)
        size += len(view)
        if size > _STEP:
            size = 0
            yield
    return Decoded(batch.epoch, batch.sequences, events, faults)

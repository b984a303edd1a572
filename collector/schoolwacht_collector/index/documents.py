r"""An event or a record as the JSON that every store keeps, with the checks that all stores share.

Stored text never holds U+0000 (SQLite's JSON functions end a text there): it is written ``\x00``, as bytes that are
no text are. Times are UTC, ending in Z. A document that one store could not take is refused for all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.index.port import Kind

#: Between these a time is kept to the microsecond (the range of nanoseconds in 63 bits).
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2262, 1, 1, tzinfo=UTC)

_MICROS_TIMES = ("timestamp", "event_ingested", "event_start", "event_end", "evidence_taken")
_OTHER_TIMES = ("tls_server_not_before", "tls_server_not_after")

_encoder = msgspec.json.Encoder()


#: Bytes of an id at most: Elasticsearch's bound, and more than any of ours has.
ID_BYTES = 512


def may_be_id(text: str) -> bool:
    """Whether anything could be kept under this id; what people ask for by a URL may be any text."""
    try:
        return 0 < len(text.encode()) <= ID_BYTES
    except UnicodeEncodeError:
        return False


class Unfit(ValueError):  # noqa: N818 - says what the document is
    """A document that no store takes; the text says why."""


def kind_of(event: Event) -> Kind:
    """Whether an event is kept as an event or as a signal."""
    return Kind.SIGNAL if event.event_dataset is Dataset.SIGNAL else Kind.EVENT


def prepare(event: Event) -> None:
    """Check identity and times of an event and turn the times to UTC, in place. Raises Unfit."""
    if not event.event_id:
        raise Unfit("event.id is missing")
    for name in _MICROS_TIMES:
        if (moment := getattr(event, name)) is not None:
            if moment.tzinfo is not UTC:
                moment = _utc(moment, name)
                setattr(event, name, moment)
            if not FIRST <= moment < LAST:
                raise Unfit(f"{name.replace('_', '.')} is {moment.isoformat()}, outside 1970 to 2261")
    for name in _OTHER_TIMES:
        if (moment := getattr(event, name)) is not None and moment.tzinfo is not UTC:
            setattr(event, name, _utc(moment, name))


def encode(item: msgspec.Struct) -> bytes:
    """An event or record as JSON in UTF-8. Raises Unfit for text that is none (a lone surrogate)."""
    try:
        data = _encoder.encode(item)
    except (UnicodeEncodeError, msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Unfit(f"cannot be written as JSON: {error}") from error
    return _without_nul(data) if b"\\u0000" in data else data


def encode_record(record: msgspec.Struct) -> bytes:
    """A record as JSON, its times in UTC. Raises StoreError: a record is ours, so a fault in it is one of the code."""
    try:
        changes = {
            name: _utc(value, encoded)
            for name, encoded in zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
            if isinstance(value := getattr(record, name), datetime) and value.tzinfo is not UTC
        }
        return encode(msgspec.structs.replace(record, **changes) if changes else record)
    except Unfit as error:
        raise StoreError(f"{type(record).__name__} cannot be stored: {error}") from error


def without_zero(text: str) -> str:
    r"""The text as it is kept: U+0000 becomes ``\x00``."""
    return text.replace("\0", "\\x00") if "\0" in text else text


def row(data: bytes | str) -> dict[str, Any]:
    """The row that :func:`encode` wrote."""
    decoded: dict[str, Any] = msgspec.json.decode(data)
    return decoded


def _utc(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is None:
        raise Unfit(f"{name} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise Unfit(f"{name} is out of range") from error


def _without_nul(data: bytes) -> bytes:
    return _encoder.encode(_cleaned(msgspec.json.decode(data)))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return without_zero(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value

"""One line of an EVE file as a record: by one typed decode, or, where it does not fit, field by field."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.suricata.record import Eve

#: The foreign errors that decoding any bytes can raise; RecursionError comes from nesting.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError)
# How ``surrogateescape`` marks a byte that is no UTF-8.
_NO_UTF8 = re.compile("[\udc80-\udcff]")
_FIELDS = {item.encode_name: item for item in msgspec.structs.fields(Eve)}


#: One line of the exact shapes; raises one of :data:`DECODE_ERRORS`, and then :func:`salvage` may still read it.
decode_fast: Callable[[bytes], Eve] = msgspec.json.Decoder(Eve).decode


def salvage(line: bytes) -> tuple[Eve, list[str]]:
    r"""A line that :data:`decode_fast` refuses, less what cannot be used of it; the record and those fields' names.

    Bytes that are no UTF-8 are written as ``\xNN``. Raises SourceError if it is no JSON object, or one without a
    timestamp and an event type.
    """
    try:
        text = line.decode("utf-8", "surrogateescape").strip("\0 \t\r")
        tree = msgspec.json.decode(_NO_UTF8.sub(lambda found: rf"\\x{ord(found[0]) - 0xDC00:02x}", text))
    except DECODE_ERRORS as error:
        raise SourceError("line is no JSON") from error
    if not isinstance(tree, dict):
        raise SourceError("line is no JSON object")
    for name in ("timestamp", "event_type"):
        if not isinstance(tree.get(name), str):
            raise SourceError(f"record without {name}")
    dropped: list[str] = []
    values = {name: _fitting(tree[name], item.type, name, dropped) for name, item in _FIELDS.items() if name in tree}
    return Eve(**values), dropped


def _fitting(value: Any, annotation: Any, name: str, dropped: list[str]) -> Any:
    """``value`` in the declared type, less what does not fit; None if nothing does."""
    try:
        return msgspec.convert(value, annotation)
    except DECODE_ERRORS:
        dropped.append(name)
    shape = _struct_of(annotation)
    if shape is None or not isinstance(value, dict):
        return None
    kept = {}
    for item in msgspec.structs.fields(shape):
        if item.encode_name in value:
            inner = _fitting(value[item.encode_name], item.type, f"{name}.{item.encode_name}", dropped)
            if inner is not None:
                kept[item.name] = inner
    try:
        return shape(**kept)
    except TypeError:
        return None


def _struct_of(annotation: Any) -> type[Struct] | None:
    info = msgspec.inspect.type_info(annotation)
    members = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    for member in members:
        if isinstance(member, msgspec.inspect.StructType):
            return member.cls
    return None

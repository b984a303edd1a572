"""JSON lines: an object a line with the columns, or a record as ``schoolwacht indicators list --json`` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators.make import COLUMNS
from schoolwacht_collector.indicators.port import Format, Found, Record, Text, lines

_EXPORTED: MappingProxyType[str, str] = MappingProxyType(
    {
        "threat.indicator.type": "type",
        "threat.indicator.name": "value",
        "threat.indicator.provider": "provider",
        "threat.indicator.description": "description",
        "threat.indicator.confidence": "confidence",
        "threat.indicator.marking.tlp": "tlp",
        "threat.indicator.valid_from": "valid_from",
        "threat.indicator.valid_until": "valid_until",
        "threat.indicator.reference": "reference",
    }
)
#: What an export says besides, which the collector that takes it in decides itself.
_IGNORED = frozenset({"id", "@timestamp"})
_IGNORED_BELOW = ("indicator.", "sightings.")


def _read(text: Text) -> Iterator[Found]:
    for line in lines(text):
        if isinstance(line, IndicatorError):
            yield line
            continue
        try:
            yield Record(line[0], _columns(line[1]))
        except IndicatorError as error:
            yield IndicatorError(error.message, path=text.path, line=line[0], field=error.field)


def _columns(text: str) -> dict[str, str]:
    try:
        record = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise IndicatorError(f"is no JSON object: {error}") from error
    columns: dict[str, str] = {}
    for given, value in _flat(record):
        name = _EXPORTED.get(given, given)
        if name in _IGNORED or name.startswith(_IGNORED_BELOW) or value is None:
            continue
        if name not in COLUMNS:
            raise IndicatorError(f"is unknown; known are {', '.join(COLUMNS)}", field=given)
        if not isinstance(value, str):
            raise IndicatorError("must be text", field=given)
        columns[name] = value
    return columns


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


FORMAT = Format(lambda text: text.head.startswith("{"), _read, "a JSON object a line, as an export has it")

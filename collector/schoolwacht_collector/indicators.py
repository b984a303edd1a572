"""Indicators as people write them: read, made normal, checked, refused where they would do harm.

Three text forms, told apart by the first line that says something:

* JSON lines: an object a line with the columns below (or an exported record, nested or with dotted names);
* CSV with a header line: ``type,value`` and any of ``provider,description,confidence,tlp,valid_until``;
* a plain list: one value a line, its type seen from its form; ``#`` begins a comment.

Promise: a faulty line gives an :class:`IndicatorError` with file, line and column, and every good line is used. The
same thing written in two ways (``hxxps://EVIL[.]example.``, ``evil.example``) gives the same record and id.
Limits: a record is one line; 256 MiB a file; URLs and file hashes are not compared with anything yet and are refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from schoolwacht.errors import IndicatorError
from schoolwacht.event import KEYWORD_MAX, TEXT_MAX
from schoolwacht.indicators import IndicatorType, indicator_id
from schoolwacht_collector import tlp
from schoolwacht_collector.match.values import guess_type, normalise, printable
from schoolwacht_collector.records import Indicator

FILE_MAX = 256 << 20
COLUMNS = ("type", "value", "provider", "description", "confidence", "tlp", "valid_until")
CONFIDENCES = ("High", "Medium", "Low")

_NAMES_IN_EXPORT: MappingProxyType[str, str] = MappingProxyType(
    {
        "threat.indicator.type": "type",
        "threat.indicator.name": "value",
        "threat.indicator.provider": "provider",
        "threat.indicator.description": "description",
        "threat.indicator.confidence": "confidence",
        "threat.indicator.marking.tlp": "tlp",
        "threat.indicator.valid_until": "valid_until",
    }
)
_IGNORED_IN_EXPORT = frozenset({"id", "@timestamp"})


def load_indicators(
    path: Path, *, now: datetime | None = None, provider: str = "cert"
) -> tuple[list[Indicator], list[IndicatorError]]:
    """The indicators of a file, each once, and what is wrong with the other lines.

    Args:
        path: a file in one of the three forms.
        now: the records' ``timestamp``; the clock's time if None.
        provider: who says so, where the file does not.

    Raises IndicatorError if the file cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX + 1)  # also where the size is not known beforehand: a pipe, a device
    except OSError as error:
        raise IndicatorError(f"cannot be read: {error.strerror}", path=str(path)) from error
    if len(raw) > FILE_MAX:
        raise IndicatorError(f"is larger than {FILE_MAX >> 20} MiB; split it", path=str(path))
    return parse_indicators(raw, path=str(path), now=now, provider=provider)


def parse_indicators(
    raw: bytes, *, path: str, now: datetime | None = None, provider: str = "cert"
) -> tuple[list[Indicator], list[IndicatorError]]:
    """Like :func:`load_indicators`, from bytes; ``path`` is what errors call them. Of one id the last line counts."""
    now = datetime.now(UTC) if now is None else now
    found: dict[str, Indicator] = {}
    faults: list[IndicatorError] = []
    for number, fields in _records(raw, faults, path):
        try:
            indicator = make_indicator(fields, now=now, provider=provider)
        except IndicatorError as error:
            faults.append(_at(error, path, number))
        else:
            found[indicator.id] = indicator
    return list(found.values()), sorted(faults, key=lambda fault: fault.line or 0)


def make_indicator(fields: Mapping[str, str], *, now: datetime, provider: str = "cert") -> Indicator:
    """A checked, normal record from the columns of one line; without ``type`` it is seen from the value's form.

    Raises IndicatorError that names the column.
    """
    given = {name: text.strip() for name, text in fields.items()}
    value = given.get("value", "")
    if not value:
        raise IndicatorError("is empty", field="value")
    kind = _type(given["type"]) if given.get("type") else guess_type(value)
    value = normalise(kind, value)
    return Indicator(
        id=indicator_id(kind, value),
        timestamp=now,
        type=kind,
        value=value,
        provider=printable(given.get("provider") or provider, "provider", KEYWORD_MAX),
        description=printable(given.get("description", ""), "description", TEXT_MAX),
        confidence=_confidence(given.get("confidence") or "High"),
        tlp=_tlp(given.get("tlp") or "AMBER"),
        valid_until=_moment(given["valid_until"]) if given.get("valid_until") else None,
    )


def _type(text: str) -> IndicatorType:
    try:
        return IndicatorType(text.lower())
    except ValueError as error:
        raise IndicatorError(f'"{text}" is none of {", ".join(IndicatorType)}', field="type") from error


def _confidence(text: str) -> str:
    word = text.capitalize()
    if word not in CONFIDENCES:
        raise IndicatorError(f'"{text}" is none of {", ".join(CONFIDENCES)}', field="confidence")
    return word


def _tlp(text: str) -> str:
    try:
        return tlp.read(text).value
    except ValueError as error:
        raise IndicatorError(f'"{text}" is none of {", ".join(tlp.Tlp)}', field="tlp") from error


def _moment(text: str) -> datetime:
    """ISO 8601; a day alone means its end, a time without zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        if len(text) <= 10:
            moment = datetime.combine(moment.date(), time.max)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise IndicatorError(f'"{text}" is no date or time such as 2027-01-31', field="valid_until") from error


def _at(error: IndicatorError, path: str, line: int) -> IndicatorError:
    return IndicatorError(error.message, path=path, line=line, field=error.field)


def _lines(raw: bytes, faults: list[IndicatorError], path: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            faults.append(IndicatorError("is no UTF-8 text", path=path, line=number))
            continue
        if text and not text.startswith("#"):
            yield number, text


def _records(raw: bytes, faults: list[IndicatorError], path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each line's columns as text, in whichever of the three forms the file is."""
    lines = _lines(raw, faults, path)
    first = next(lines, None)
    if first is None:
        return
    number, text = first
    header = [name.strip().lower() for name in text.split(",")]
    if text.startswith("{"):
        yield from _json_records(first, lines, faults, path)
    elif "value" in header:
        unknown = sorted(set(header) - set(COLUMNS))
        if unknown:
            message = f"unknown columns are left out: {', '.join(unknown)}; known are {', '.join(COLUMNS)}"
            faults.append(IndicatorError(message, path=path, line=number))
        yield from _csv_records(header, lines, faults, path)
    else:
        yield number, _plain(text)
        for number, text in lines:
            yield number, _plain(text)


def _plain(text: str) -> dict[str, str]:
    return {"value": re.split(r"\s+#", text, maxsplit=1)[0]}


def _csv_records(
    header: list[str], lines: Iterator[tuple[int, str]], faults: list[IndicatorError], path: str
) -> Iterator[tuple[int, dict[str, str]]]:
    for number, text in lines:
        try:
            (row,) = csv.reader([text], strict=True)
        except (csv.Error, ValueError) as error:
            faults.append(IndicatorError(f"is no line of CSV: {error}", path=path, line=number))
            continue
        if len(row) != len(header):
            message = f"has {len(row)} columns where the header has {len(header)}"
            faults.append(IndicatorError(message, path=path, line=number))
            continue
        yield number, {name: cell for name, cell in zip(header, row, strict=True) if name in COLUMNS}


def _json_records(
    first: tuple[int, str], lines: Iterator[tuple[int, str]], faults: list[IndicatorError], path: str
) -> Iterator[tuple[int, dict[str, str]]]:
    number, text = first
    while True:
        try:
            yield number, _json_columns(text)
        except IndicatorError as error:
            faults.append(_at(error, path, number))
        following = next(lines, None)
        if following is None:
            return
        number, text = following


def _json_columns(text: str) -> dict[str, str]:
    try:
        record = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise IndicatorError(f"is no JSON object: {error}") from error
    columns: dict[str, str] = {}
    for given, value in _flat(record):
        name = _NAMES_IN_EXPORT.get(given, given)
        if name in _IGNORED_IN_EXPORT or value is None:
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

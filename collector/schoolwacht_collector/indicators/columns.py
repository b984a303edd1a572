"""CSV with a header line: ``type,value`` and any other of :data:`.make.COLUMNS`."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators.make import COLUMNS
from schoolwacht_collector.indicators.port import Format, Found, Record, Text, lines


def _header(line: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in line.split(",")]


def _fits(text: Text) -> bool:
    first = next((line for line in lines(text._replace(raw=text.raw[: 1 << 16])) if isinstance(line, tuple)), None)
    return first is not None and "value" in _header(first[1])


def _read(text: Text) -> Iterator[Found]:
    header: list[str] = []
    for line in lines(text):
        if isinstance(line, IndicatorError):
            yield line
            continue
        number, content = line
        if not header:
            header = _header(content)
            if "value" not in header:
                yield IndicatorError("is no header: the column value is missing", path=text.path, line=number)
                return
            if unknown := sorted(set(header) - set(COLUMNS)):
                message = f"unknown columns are left out: {', '.join(unknown)}; known are {', '.join(COLUMNS)}"
                yield IndicatorError(message, path=text.path, line=number)
            continue
        row = cells(content)
        if isinstance(row, str):
            yield IndicatorError(row, path=text.path, line=number)
        elif len(row) != len(header):
            message = f"has {len(row)} columns where the header has {len(header)}"
            yield IndicatorError(message, path=text.path, line=number)
        else:
            yield Record(number, {name: cell for name, cell in zip(header, row, strict=True) if name in COLUMNS})


def cells(line: str) -> list[str] | str:
    """The cells of a line of CSV, or why it is none."""
    try:
        (row,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        return f"is no line of CSV: {error}"
    return row


FORMAT = Format(_fits, _read, "CSV with a header line: value, and any of the other columns")

"""What the lists of abuse.ch have in common: CSV whose header may be a comment, licence CC0 (TLP:CLEAR)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.indicators.columns import cells
from schoolwacht_collector.indicators.port import Found, Record, Text, lines

#: What a row under each header (columns in lower case) becomes.
Headers: TypeAlias = Mapping[tuple[str, ...], Callable[[Mapping[str, str]], Mapping[str, str] | None]]


def rows(text: Text, headers: Headers) -> Iterator[Found]:
    """Records of a table whose header (columns in lower case) is one of ``headers``, which says what a row becomes.

    The header may be a comment; without any, the first of ``headers`` holds. None for a row leaves it out.
    """
    names, make = next(iter(headers.items()))
    for line in lines(text, comments=True):
        if isinstance(line, IndicatorError):
            yield line
            continue
        number, content = line
        row = cells(content.lstrip("# "))
        if not isinstance(row, str) and (known := tuple(cell.strip().lower() for cell in row)) in headers:
            names, make = known, headers[known]
            continue
        if content.startswith("#"):
            continue
        row = cells(content.replace('", "', '","'))
        if isinstance(row, str) or len(row) != len(names):
            message = row if isinstance(row, str) else f"has {len(row)} columns, not the {len(names)} of this list"
            yield IndicatorError(message, path=text.path, line=number)
            continue
        columns = make(dict(zip(names, (cell.strip() for cell in row), strict=True)))
        if columns is not None:
            yield Record(number, columns)


def has_header(text: Text, headers: Headers) -> bool:
    """Whether one of the first lines is one of the headers."""
    for line in lines(text._replace(raw=text.raw[:8192]), comments=True):
        row = "" if isinstance(line, IndicatorError) else cells(line[1].lstrip("# "))
        if not isinstance(row, str) and tuple(cell.strip().lower() for cell in row) in headers:
            return True
    return False

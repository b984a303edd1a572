"""A file of schools: which location belongs to which board. CSV, one location a line.

::

    location,board,name,sector,region
    00AB00,12345,De Horizon,po,Utrecht

``location`` and ``board`` are required columns; columns may stand in any order and be parted by comma or semicolon.
Empty lines and lines that begin with ``#`` are skipped. Forms of locations and boards are the registry's to check.
"""

from __future__ import annotations

import csv
from pathlib import Path

from schoolwacht.errors import ConfigError
from schoolwacht_collector.records import School

COLUMNS = ("location", "board", "name", "sector", "region")
_REQUIRED = ("location", "board")


def read(path: Path) -> list[School]:
    """The schools of a file, in its order. Raises ConfigError naming the file and the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is no UTF-8 text", path=str(path)) from error
    lines = [
        (number, line.rstrip("\r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise ConfigError(f"is empty: its first line is {','.join(COLUMNS)}", path=str(path))
    (first, header), *rows = lines
    delimiter = ";" if header.count(";") > header.count(",") else ","
    columns = [name.strip().strip('"').lower() for name in header.split(delimiter)]
    missing = [name for name in _REQUIRED if name not in columns]
    if missing or len(set(columns)) != len(columns) or not set(columns) <= set(COLUMNS):
        raise ConfigError(
            f"the first line names the columns, each once: {','.join(COLUMNS)}; found {header[:80]!r}",
            path=str(path),
            line=first,
        )
    if not rows:
        raise ConfigError("names no school", path=str(path))
    return [_school(line, columns, delimiter, path, number) for number, line in rows]


def _school(line: str, columns: list[str], delimiter: str, path: Path, number: int) -> School:
    # A reader of one line each: a quotation mark that does not end must not swallow the lines behind it.
    try:
        row = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ConfigError(f"no CSV: {error}", path=str(path), line=number) from error
    if len(row) != len(columns):
        raise ConfigError(f"has {len(row)} columns, the first line has {len(columns)}", path=str(path), line=number)
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    for name in _REQUIRED:
        if not cells[name]:
            raise ConfigError("is required", path=str(path), line=number, field=name)
    return School(
        location=cells["location"],
        board=cells["board"],
        name=cells.get("name", ""),
        sector=cells.get("sector") or None,
        region=cells.get("region") or None,
    )

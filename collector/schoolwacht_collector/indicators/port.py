"""What a format of indicator files is, and what it reads records from. Pure.

A format is a module with a reader, and a line in :data:`.read.FORMATS`. The reader yields a record (the columns of
:func:`.make.make_indicator` as text) or a fault for each piece of the file, in order; a faulty piece stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from schoolwacht.errors import IndicatorError


class Record(NamedTuple):
    """One indicator as a file has it: its line (from 1) and its columns. ``place`` names it where lines do not."""

    line: int
    columns: Mapping[str, str]
    place: str = ""


class Text(NamedTuple):
    """A file: its bytes without byte order mark, and what faults call it."""

    raw: bytes
    path: str

    @property
    def head(self) -> str:
        """As much of its beginning as shows what it is."""
        return self.raw[:HEAD].decode("utf-8", "replace").lstrip()


Found: TypeAlias = Record | IndicatorError
HEAD = 64 << 10


class Format(NamedTuple):
    """A format: whether a file looks like it, how it is read, and what it is, for people.

    ``days`` is how long an indicator of it holds where it does not say so itself; None: for ever.
    """

    fits: Callable[[Text], bool]
    read: Callable[[Text], Iterator[Found]]
    summary: str
    days: int | None = None


def lines(text: Text, *, comments: bool = False) -> Iterator[tuple[int, str] | IndicatorError]:
    """Lines that are not empty, stripped, with their numbers; those that begin with ``#`` only if ``comments``."""
    for number, line in enumerate(text.raw.splitlines(), start=1):
        try:
            decoded = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            yield IndicatorError("is no UTF-8 text", path=text.path, line=number)
            continue
        if decoded and (comments or not decoded.startswith("#")):
            yield number, decoded


def whole_json(text: Text) -> Any:
    """The file as one JSON value. Raises IndicatorError."""
    try:
        return msgspec.json.decode(text.raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise IndicatorError(f"is no JSON: {error}", path=text.path) from error


def line_of(text: Text, mark: object, after: int = 0) -> tuple[int, int]:
    """The line on which an object's id first stands at or after a byte, and that byte; 1 and ``after`` if nowhere."""
    place = text.raw.find(str(mark).encode("utf-8", "replace"), after) if mark else -1
    return (1, after) if place < 0 else (text.raw.count(b"\n", 0, place) + 1, place)


def record_of(value: object) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """A JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str:
    """A JSON text or number as text; empty for anything else."""
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""

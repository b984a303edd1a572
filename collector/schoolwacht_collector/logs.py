"""The collector's log: plain lines on a terminal, JSON lines otherwise.

Promise: no text from the network, no key and no secret gets into it: modules log fixed text, numbers, names of agents
and our own errors; of a foreign exception its type and where it was raised are written, not its message, which may
quote an event. Limits: standard error only; rotation is the service manager's.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO, TypeAlias

import msgspec

from schoolwacht.errors import SchoolwachtError

_ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
_OURS = "schoolwacht"


class PlainFormatter(logging.Formatter):
    """``12:00:01 WARNING intake: text``."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line, with the place of its exception below it."""
        line = f"{_time(record):%H:%M:%S} {record.levelname} {record.name.rpartition('.')[2]}: {record.getMessage()}"
        return line if not _has_error(record) else f"{line}\n  {described(record.exc_info)}"  # type: ignore[arg-type] # _has_error


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as JSON."""
        entry = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _has_error(record):
            entry["error"] = described(record.exc_info)  # type: ignore[arg-type] # _has_error
        return msgspec.json.encode(entry).decode()


def described(error: _ExcInfo) -> str:
    """An exception's type, our own message if it is ours, and the functions it came through."""
    kind, value, trace = error
    text = str(value) if isinstance(value, (SchoolwachtError, OSError)) else ""
    frames = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)
    ]
    return " < ".join([f"{kind.__name__}{': ' if text else ''}{text}", *reversed(frames)])


def configure(*, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Log to ``stream`` (standard error): our own at INFO, or DEBUG; others at WARNING."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter() if stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in (f"{_OURS}", f"{_OURS}_collector", f"{_OURS}_console"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _has_error(record: logging.LogRecord) -> bool:
    # False where a caller says so: asyncio and aiohttp do.
    return record.exc_info is not None and bool(record.exc_info) and record.exc_info[0] is not None

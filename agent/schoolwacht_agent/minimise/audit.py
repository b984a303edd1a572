"""The audit of unmasking: who asked for what, when, for which case and why. A chain of lines that shows tampering.

JSON lines. Each has the hash of the line before it (SHA-256), so that none can be changed, taken out or put in without
breaking the chain; a line of people who opened the seal is also signed (HMAC-SHA-256) with a key that only two of them
together have, so that nobody can forge the chain anew from a line of theirs on. What was found does not stand in it.

The line is on disk before anything is shown. Limit: whoever can write the file can cut lines off its end; the command
prints number and hash of each line, which belong into the case's file for that reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct, structs

from schoolwacht.errors import UnmaskError

_NONE = "0" * 64


class Line(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line. ``outcome`` is ``opened`` or why nothing was; ``signature`` is empty where the seal was not opened."""

    number: int
    at: datetime
    case: str
    reason: str
    officers: list[str]
    values: list[str]
    outcome: str
    before: str
    hash: str = ""
    signature: str = ""


class Request(NamedTuple):
    """What is asked, by whom and why."""

    case: str
    reason: str
    officers: Sequence[str]
    values: Sequence[str]


OPENED = "opened"


def append(path: Path, request: Request, outcome: str, key: bytes | None, *, now: datetime | None = None) -> Line:
    """Add a line, durably. Raises UnmaskError if the chain is broken or the file cannot be written.

    Args:
        path: the file.
        request: what is asked.
        outcome: what became of it.
        key: of the signatures (``seal.audit_key``); with it the signatures so far are checked too.
        now: the time; the clock's if None.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = checked(file.read(), key, path=str(path))
            line = Line(
                number=len(lines) + 1,
                at=now or datetime.now(UTC),
                case=request.case,
                reason=request.reason,
                officers=list(request.officers),
                values=list(request.values),
                outcome=outcome,
                before=lines[-1].hash if lines else _NONE,
            )
            line = structs.replace(line, hash=_hash(line))
            if key is not None:
                line = structs.replace(line, signature=_signature(line, key))
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UnmaskError(f"the audit cannot be written: {error.strerror}", path=str(path)) from error
    return line


def checked(content: bytes, key: bytes | None, *, path: str) -> list[Line]:
    """The lines of an audit. Raises UnmaskError naming the first line that is not as it was written."""
    lines: list[Line] = []
    before = _NONE
    for number, raw in enumerate(content.splitlines(), 1):
        try:
            line = msgspec.json.decode(raw, type=Line)
        except (msgspec.DecodeError, ValueError) as error:
            raise _broken(path, number) from error
        unsigned = key is not None and line.outcome == OPENED
        if line.number != number or line.before != before or line.hash != _hash(line):
            raise _broken(path, number)
        if unsigned and key is not None and not hmac.compare_digest(line.signature, _signature(line, key)):
            raise _broken(path, number)
        before = line.hash
        lines.append(line)
    return lines


def _broken(path: str, number: int) -> UnmaskError:
    return UnmaskError(
        "the chain of the audit is broken: this line or one before it is not as it was written. "
        "Keep the file as evidence elsewhere, tell the board, and begin a new one",
        path=path,
        line=number,
    )


def _hash(line: Line) -> str:
    return hashlib.sha256(msgspec.json.encode(structs.replace(line, hash="", signature=""))).hexdigest()


def _signature(line: Line, key: bytes) -> str:
    return hmac.digest(key, line.hash.encode(), "sha256").hex()

"""How a command of ours starts and ends: its standard streams, and errors as one plain line with an exit status.

Promise: whatever standard output is (closed, a full disk, a pipe whose reader has left) and whatever bytes the
arguments hold, a command ends with a documented status and at most one line on standard error, never a traceback. A
reader that has seen enough is no fault. A closed standard stream never becomes a file that the command opens later.
Limits: a fault of the code itself still shows its traceback; a closed standard error hears nothing.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from schoolwacht.errors import SchoolwachtError

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
_OUTPUT = "standard output"
_AROUND = 20


def perform(name: str, work: Callable[[], int]) -> int:
    """Do the work of the command ``name``; returns its exit status.

    That is the work's own, or 1 if it raised one of our errors or one of the system, or standard output does not take
    what was written; 2 if a text that is no UTF-8 (an argument) cannot be used; 130 if it was interrupted. SystemExit
    (argparse: help, wrong use) passes.
    """
    _claim_streams()
    status = _carry_out(name, work)
    try:
        sys.stdout.flush()  # what an error left there
    except OSError:
        _let_go()
    return status


def say(name: str, text: str) -> None:
    """A line on standard error, if there is one."""
    with suppress(OSError):
        print(f"{name}: {text}", file=sys.stderr)


def _carry_out(name: str, work: Callable[[], int]) -> int:
    try:
        try:
            status = work()
        except SystemExit:
            sys.stdout.flush()  # or a help text could be lost without a word
            raise
        sys.stdout.flush()
    except SchoolwachtError as error:
        say(name, str(error))
        return FAILED
    except UnicodeEncodeError as error:
        part = error.object[max(0, error.start - _AROUND) : error.end + _AROUND]
        say(name, f"{part!a}: is no UTF-8 text")
        return WRONG
    except OSError as error:
        if error.filename == _OUTPUT:
            _let_go()
            if isinstance(error, BrokenPipeError):
                return DONE  # whoever read it has enough
        say(name, f"{error.filename or 'the system'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


class _Output(io.RawIOBase):
    """Standard output, whose errors name it. Without a descriptor it is closed, and every write fails."""

    def __init__(self, descriptor: int | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.silent = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("closed")
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type] # typeshed's Buffer has no name before Python 3.12
        if self.silent:
            return len(view)
        try:
            return os.write(-1 if self._descriptor is None else self._descriptor, view)
        except OSError as error:
            error.filename = _OUTPUT
            raise


def _claim_streams() -> None:
    """Put ours in the place of standard output, unless somebody else has; let nothing take a closed stream's number."""
    closed = []
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets this number: it is the lowest that is free
            closed.append(descriptor)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stdout is sys.__stdout__:
        _take_output(None if 1 in closed else 1)


def _take_output(descriptor: int | None) -> None:
    raw = _Output(descriptor)
    known = sys.__stdout__
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=known.encoding if known is not None else "utf-8",
        errors=known.errors if known is not None else "strict",
        line_buffering=raw.isatty(),
    )


def _let_go() -> None:
    """Drop what standard output did not take; Python itself would complain at its end."""
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", None)
    if isinstance(raw, _Output):
        raw.silent = True

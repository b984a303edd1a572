"""A progress line for people who wait: on a terminal only, on stderr only, gone when the work is done.

``rich`` is loaded when a line is really shown, so that pipelines and services do not pay for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

#: Seconds between two changes of the line.
INTERVAL = 0.1


class Progress(Protocol):
    """Where long work says how far it is."""

    def update(self, **counts: int) -> None:
        """Totals so far, by what is counted: ``update(events=1200, packets=30000)``. Cheap; call it often."""
        ...


class _Silent:
    def update(self, **counts: int) -> None:
        """Say nothing."""


class _Line:
    """Composes the line; ``show`` puts it on the terminal."""

    def __init__(self, what: str, show: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._what = what
        self._show = show
        self._clock = clock
        self._began = clock()
        self._shown = self._began

    def update(self, **counts: int) -> None:
        """Show the totals, and how many of the first kind come in a second."""
        now = self._clock()
        if now - self._shown < INTERVAL:
            return
        self._shown = now
        parts = [f"{count:,} {name}" for name, count in counts.items()]
        if counts:
            name, count = next(iter(counts.items()))
            parts.append(f"{count / (now - self._began):,.0f} {name}/s")
        self._show(f"{self._what}: {', '.join(parts)}")


@contextmanager
def progress(
    what: str, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A progress line named ``what`` while the block runs; silent if ``stream`` (stderr) is no terminal."""
    stream = sys.stderr if stream is None else stream
    if not stream.isatty():
        yield _Silent()
        return
    from rich.console import Console  # noqa: PLC0415 - only where a person looks on
    from rich.text import Text  # noqa: PLC0415

    # Text and not markup: file names come from elsewhere.
    with Console(file=stream).status(Text(what)) as status:
        yield _Line(what, lambda line: status.update(Text(line)), clock)

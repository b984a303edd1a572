"""The line at work on a terminal: a live table with counters; plain lines where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from schoolwacht_console.demo.receiver import Arrival
from schoolwacht_console.inert import inert
from schoolwacht_console.tables import SEVERITY_STYLES, Column, plain, table

#: Seconds between two lines of counters where there is no terminal.
_PLAIN_SECONDS = 5.0


class Standing(NamedTuple):
    """One agent at this moment. ``state`` is ``playing``, ``done`` or what went wrong."""

    school: str
    board: str
    state: str
    events: int
    signals: int


class Snapshot(NamedTuple):
    """The line at this moment."""

    agents: Sequence[Standing]
    stored: int
    rate: float
    alerts: int
    delivered: int


class Display(Protocol):
    """Where the demo shows itself."""

    def say(self, text: str) -> None:
        """A line of our own words."""
        ...

    def tell(self, arrival: Arrival) -> None:
        """An alert has reached the CERT."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """New counters."""
        ...


@contextmanager
def display(names: dict[str, str], *, seconds: float = _PLAIN_SECONDS) -> Iterator[Display]:
    """A live display on a terminal; elsewhere plain lines, with counters every so many ``seconds``.

    ``names`` are the schools' names by location.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        yield _Plain(names, seconds)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield _Live(live, names)


class _Plain:
    def __init__(self, names: dict[str, str], seconds: float) -> None:
        self._names = names
        self._seconds = seconds
        self._shown = time.monotonic()
        self._said = ""

    def say(self, text: str) -> None:
        sys.stdout.write(f"{inert(text)}\n")
        sys.stdout.flush()

    def tell(self, arrival: Arrival) -> None:
        self.say(_sentence(arrival, self._names))

    def show(self, snapshot: Snapshot) -> None:
        if time.monotonic() - self._shown < self._seconds:
            return
        self._shown = time.monotonic()
        playing = sum(one.state == "playing" for one in snapshot.agents)
        line = (
            f"line: {playing} agents playing, {snapshot.stored:,} events stored ({snapshot.rate:,.0f}/s), "
            f"{snapshot.alerts} alerts, {snapshot.delivered} at the CERT"
        )
        if line != self._said:  # a demo left alone for an hour shall not fill a log
            self._said = line
            self.say(line)


class _Live:
    def __init__(self, live: Live, names: dict[str, str]) -> None:
        self._live = live
        self._names = names

    def say(self, text: str) -> None:
        self._live.console.print(plain(text))

    def tell(self, arrival: Arrival) -> None:
        style = SEVERITY_STYLES.get(arrival.severity, "")
        self._live.console.print(plain(_sentence(arrival, self._names), style))

    def show(self, snapshot: Snapshot) -> None:
        self._live.update(_table(snapshot))


def _table(snapshot: Snapshot) -> Table:
    columns = (
        Column("School", wraps=12),
        Column("Board", wraps=12),
        Column("Agent"),
        Column("Events stored", right=True),
        Column("Signals", right=True),
    )
    rows: list[Sequence[str | Text]] = [
        (one.school, one.board, one.state, f"{one.events:,}", f"{one.signals:,}") for one in snapshot.agents
    ]
    made = table(columns, rows)
    made.title = "The line"
    made.caption = (
        f"{snapshot.stored:,} events stored, {snapshot.rate:,.0f}/s · {snapshot.alerts} alerts · "
        f"{snapshot.delivered} at the CERT"
    )
    return made


def _sentence(arrival: Arrival, names: dict[str, str]) -> str:
    school = names.get(arrival.school, arrival.school)
    what = "alert" if arrival.reason == "alert.opened" else f"grew to {arrival.signals:,} signals"
    return f"CERT  {arrival.seconds:5.1f} s after the packet  {arrival.severity:<8} {what}: {arrival.title} ({school})"

"""The Suricata engine as a source of events: the feed's lines through the reader, with everything counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from schoolwacht.event import TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.configuration import version_of
from schoolwacht_agent.sources.suricata.envelope import MODULE
from schoolwacht_agent.sources.suricata.eve import Reader
from schoolwacht_agent.sources.suricata.feeds import Attached, Feed, Live, Replay
from schoolwacht_agent.sources.suricata.rules import rule_files

#: Bytes of EVE that wait when the agent counts as hopelessly behind: about ten seconds of a busy school.
BACKLOG = 64 << 20
_CATCHING_UP = 0.4


class SuricataSource:
    """Events of Suricata (see ``sources/port.py`` for what a source is). Made by one of the three class methods.

    Offline the events come in Suricata's order, and its figures only go into ``counters``; else they are health
    events as well.
    """

    def __init__(self, *, own_engine: bool, health: bool) -> None:
        self.counters = Counters()
        self._reader = Reader(self.counters, own_engine=own_engine, health=health)
        self._feeds: list[Feed] = []
        self._stopped = False
        self._notes: list[Event] = []
        self._weighed = 0.0
        self._waited = 0
        self._shrinks = True

    @classmethod
    def from_files(
        cls, captures: Sequence[Path], *, home: Sequence[str] = DEFAULT_HOME, settings: SuricataTable | None = None
    ) -> Self:
        """Play capture files, one after the other, each through a Suricata of its own.

        Raises SourceError if Suricata or a rule file is missing; a file's own fault comes from :meth:`read`.
        """
        settings = settings or SuricataTable()
        version = version_of(settings.binary)
        rules = rule_files(settings.own_rules, settings.rules)
        made = cls(own_engine=True, health=False)
        made._feeds = [
            Replay(path, settings=settings, version=version, home=home, rules=rules, notes=made) for path in captures
        ]
        return made

    @classmethod
    def live(
        cls,
        interface: str,
        directory: Path,
        mark: bytes = b"",
        *,
        home: Sequence[str] = DEFAULT_HOME,
        expression: str = "",
        settings: SuricataTable | None = None,
    ) -> Self:
        """Run Suricata at an interface; ``directory`` is its own and stays. Raises SourceError.

        ``expression`` is a capture filter; empty takes everything.
        """
        settings = settings or SuricataTable()
        version = version_of(settings.binary)
        rules = rule_files(settings.own_rules, settings.rules)
        made = cls(own_engine=True, health=True)
        made._feeds = [
            Live(
                interface,
                directory.absolute(),  # Suricata works in that directory itself
                mark,
                settings=settings,
                version=version,
                home=home,
                expression=expression,
                rules=rules,
                notes=made,
            )
        ]
        return made

    @classmethod
    def attach(cls, path: Path, mark: bytes = b"", *, settings: SuricataTable | None = None) -> Self:
        """Read the EVE file of a Suricata that somebody else runs. Raises SourceError if it is not there."""
        settings = settings or SuricataTable()
        made = cls(own_engine=False, health=True)
        made._feeds = [Attached(path, mark, from_start=settings.eve_from_start, notes=made)]
        return made

    def read(self) -> Iterator[list[Event]]:
        """See the port."""
        for feed in self._feeds:
            if self._stopped:
                return
            for lines in feed.lines():
                events = self._reader.events(lines)
                if self._notes:
                    events += self._notes
                    self._notes.clear()
                yield events
        if self._notes:
            yield self._notes[:]
            self._notes.clear()

    def mark(self) -> bytes:
        """See the port."""
        return self._feeds[-1].mark() if self._feeds else b""

    def stop(self) -> None:
        """See the port."""
        self._stopped = True
        for feed in self._feeds:
            feed.stop()

    # What feeds tell (feeds.Notes)

    def fault(self, reason: str, number: int = 1) -> None:
        """Count what could not be read."""
        for _ in range(number):
            self.counters.note_invalid(reason)

    def behind(self, waiting: int) -> None:
        """Note how full what waits is: at BACKLOG bytes it is full.

        While it shrinks the agent catches up (after a restart, say): nothing is lost by that, so it is never half full.
        """
        now = time.monotonic()
        if now - self._weighed >= 1.0:
            self._shrinks = waiting < self._waited
            self._weighed, self._waited = now, waiting
        self.counters.behind = min(_CATCHING_UP if self._shrinks else 1.0, waiting / BACKLOG)

    def health(self, condition: str, message: str, value: float | None = None) -> None:
        """Say it in a health event, with the next list of events."""
        self._notes.append(
            Event(
                datetime.now(UTC),
                Dataset.HEALTH,
                MODULE,
                health_condition=condition,
                health_value=value,
                message=clip(message, TEXT_MAX),
            )
        )

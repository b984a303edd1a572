"""The step ``match``: events against the indicators of the agent, in the line and without a pause.

Promise: a new set is used within a second of its file being there, without a restart; events are matched by the old set
until then, and by one set each. An event gives one signal an indicator, with the id by which the collector knows it.
A faulty file is said once, as a health event, and the old set stays in use.

Suricata's own alerts on indicators (detection D24 of the rule set ``suricata``) become signals of the indicator that
they hit; the same hit told by alert and record is one signal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from schoolwacht.errors import IndicatorError
from schoolwacht.event import Event
from schoolwacht.known_bad import DETECTION, RULESET, hit_id, known_bad
from schoolwacht.match import IndicatorSet
from schoolwacht_agent.health import Condition, Finding, said
from schoolwacht_agent.indicators.keep import checked_ago, path_of, refused_of
from schoolwacht_agent.indicators.table import Opened, open_table

#: Addresses and names whose answers are held, each: the agent has less memory than the collector, and fewer of them.
CACHED = 16_384
LOOK_SECONDS = 1.0
#: Seconds without a collector's word on the present set after which it is told that the set may be old.
OLD_SECONDS = 24 * 3600.0
#: Hits remembered, so that the same one is not told twice.
TOLD = 4096

_Seen: TypeAlias = tuple[int, int, int] | None


class Matcher:
    """Matches with what the file in a state directory holds at the moment.

    Args:
        state: the agent's state directory; None for a set that does not change.
        indicators: that set.
        clock: seconds, only differences count.
    """

    def __init__(
        self,
        state: Path | None = None,
        *,
        indicators: IndicatorSet | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._set = indicators if indicators is not None and indicators.size else None
        self._clock = clock
        self._due = clock()
        self._seen: _Seen = None
        self._refused: _Seen = None
        self._is_old = False
        self._told: dict[str, None] = {}
        self._values: dict[str, None] = {}
        self._notes: list[Event] = []
        self.version = ""
        self.hits = 0

    @property
    def size(self) -> int:
        """How many indicators are matched."""
        return 0 if self._set is None else self._set.size

    def through(self, events: list[Event]) -> list[Event]:
        """The events, with a signal behind each that hit; and health events of what is new with the indicators."""
        if self._clock() >= self._due:
            self._look()
        if self._set is not None:
            events = self._matched(events, self._set)
        if self._notes:
            events = events + self._notes
            self._notes = []
        return events

    def figures(self) -> dict[str, int]:
        """Figures for health, by name: how many are matched now, and the signals made of them."""
        return {"indicators.size": self.size, "indicators.hits": self.hits}

    def _matched(self, events: list[Event], indicators: IndicatorSet) -> list[Event]:
        match = indicators.match
        kept: list[Event] | None = None
        for place, event in enumerate(events):
            hits = match(event)
            replaced = False
            if not hits and event.signal_detection == DETECTION and event.rule_ruleset != RULESET:
                hits = indicators.look(event)
                replaced = bool(hits)
            if not hits:
                if kept is not None:
                    kept.append(event)
                continue
            if kept is None:
                kept = events[:place]
            if not replaced:
                kept.append(event)
            for hit in hits:
                _remember(self._values, hit.value)
                _remember(self._values, hit.indicator.value)
            kept += [signal for signal in known_bad(event, hits) if self._is_new(signal)]
        return events if kept is None else kept

    def _is_new(self, signal: Event) -> bool:
        known = hit_id(signal, signal.threat_indicator_id or "")
        if known in self._told:
            return False
        _remember(self._told, known)
        self.hits += 1
        return True

    def has_told(self, value: str) -> bool:
        """Whether signals were made of events with this value lately."""
        return value in self._values

    def _look(self) -> None:
        self._due = self._clock() + LOOK_SECONDS
        if self._state is None:
            return
        path = path_of(self._state)
        seen = _signature(path)
        if seen != self._seen:
            self._seen = seen
            if seen is None:
                self._set, self.version = None, ""
            else:
                self._open(path)
        ago = checked_ago(self._state)
        is_old = ago is not None and ago > OLD_SECONDS
        if is_old and not self._is_old:
            hours = int((ago or 0.0) // 3600)
            self._tell(hours, f"no collector has said for {hours} hours whether the indicators are the present ones")
        self._is_old = is_old
        refused = _signature(refused_of(self._state))
        if refused != self._refused:
            self._refused = refused
            if refused is not None:
                self._tell_refused(refused_of(self._state))

    def _open(self, path: Path) -> None:
        try:
            opened = open_table(path)
        except IndicatorError as error:
            self._tell(self.size, f"{error}; the {self.size:,} of before stay in use")
            return
        self._set = IndicatorSet(opened.tables, cached=CACHED)
        self.version = opened.version

    def _tell_refused(self, path: Path) -> None:
        number = _number(path)
        self._tell(
            number,
            f"a set of {number:,} indicators was refused, for {self.size:,} are in use: "
            "`schoolwacht-agent indicators confirm` takes it",
        )

    def _tell(self, value: int, text: str) -> None:
        self._notes.append(said(Finding(Condition.INDICATORS, float(value), text), datetime.now(UTC)))


def _remember(told: dict[str, None], value: str) -> None:
    if value not in told and len(told) >= TOLD:
        del told[next(iter(told))]
    told[value] = None


def _signature(path: Path) -> _Seen:
    """What changes whenever a file is replaced; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _number(path: Path) -> int:
    try:
        opened: Opened = open_table(path)
    except IndicatorError:
        return 0
    return opened.number

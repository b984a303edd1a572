"""The evidence of grave signals: which of them get it, and in what order, in small steps between two lists of events.

One piece is made at a time (``make``). A signal that says the same of the same ends gets none anew for a while, and an
hour has a bound; both are counted.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Generator
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.evidence.make import Maker, Piece
from schoolwacht_agent.evidence.packets import Want
from schoolwacht_agent.evidence.settings import EvidenceTable, Severity
from schoolwacht_agent.evidence.store import Store

#: Signals that wait for their turn; more go without evidence.
WAITING = 64
#: Signals of which one remembers that they have evidence.
REMEMBERED = 10_000
#: What is still made at the end: a live agent is waited for (supervise.STOP_SECONDS), a replay has time.
FINISH_SECONDS, REPLAY_SECONDS = 5.0, 120.0
#: Suricata's priority, where a signature has no severity of its own.
_OF_PRIORITY: MappingProxyType[int, Severity] = MappingProxyType({1: Severity.MAJOR, 2: Severity.MINOR})
_GRAVITY = MappingProxyType({severity: place for place, severity in enumerate(Severity)})
#: What an event of evidence repeats of its signal.
_REPEATED = (
    "source_ip", "source_port", "destination_ip", "destination_port", "network_transport", "network_type",
    "network_protocol", "network_community_id", "network_direction", "network_vlan_id", "network_inner_vlan_id",
    "school_location", "school_zone", "rule_id", "rule_name", "rule_category", "rule_ruleset", "signal_detection",
    "signal_severity", "signal_confidence",
)  # fmt: skip


class _Waiting(NamedTuple):
    """A piece to be made, and when its packets have come, by the monotonic clock."""

    piece: Piece
    due: float


class Evidence:
    """See the module. One object for one stretch of traffic.

    Args:
        settings: ``[evidence]``.
        maker: of pieces.
        store: where they are kept.
        live: whether packets after the signal are still to come.
    """

    def __init__(self, settings: EvidenceTable, maker: Maker, store: Store, *, live: bool = True) -> None:
        self._settings = settings
        self._maker = maker
        self._store = store
        self._live = live
        self._after = settings.after_seconds if live else 0.0
        self._waiting: deque[_Waiting] = deque()
        self._had: OrderedDict[tuple[str | None, Want], float] = OrderedDict()
        self._hour: deque[float] = deque()
        self._making: Generator[None, None, list[Event]] | None = None
        store.forget()

    def note(self, events: list[Event]) -> None:
        """Look for grave signals among events that have their direction and are not yet minimised."""
        for event in events:
            if event.event_dataset is Dataset.SIGNAL and _severity(event) <= _GRAVITY[self._settings.severity]:
                self._note(event)

    def ready(self) -> list[Event]:
        """Go on a little; the events that are ready, of which only the trees are minimised."""
        if self._making is None:
            if not self._waiting or self._waiting[0].due > time.monotonic():
                return []
            self._making = self._maker.make(self._waiting.popleft().piece)
        try:
            next(self._making)
        except StopIteration as end:
            self._making = None
            made: list[Event] = end.value
            return made
        return []

    def finish(self) -> list[Event]:
        """The end of the source: what can still be made in some seconds; what is left is counted."""
        until = time.monotonic() + (FINISH_SECONDS if self._live else REPLAY_SECONDS)
        self._waiting = deque(waiting._replace(due=0.0) for waiting in self._waiting)
        events: list[Event] = []
        while (self._waiting or self._making is not None) and time.monotonic() < until:
            events += self.ready()
            if self._making is not None:
                time.sleep(0.005)
        self.close()
        return events

    def close(self) -> None:
        """End what goes on; what is left is counted."""
        self._maker.counts.over_limit += len(self._waiting) + (self._making is not None)
        self._waiting.clear()
        if self._making is not None:
            self._making.close()
            self._making = None

    def figures(self) -> dict[str, int]:
        """Figures for health, by name; totals."""
        counts: dict[str, int] = msgspec.structs.asdict(self._maker.counts)
        counts |= {"evicted": self._store.evicted, "expired": self._store.expired}
        return {f"evidence.{name}": count for name, count in counts.items()}

    def _note(self, signal: Event) -> None:
        counts = self._maker.counts
        want = Want.of(signal)
        if want is None:
            counts.without_packets += 1
            return
        now = time.monotonic()
        key = (signal.rule_id, want)
        had = self._had.get(key)
        if had is not None and now - had < 60.0 * self._settings.again_minutes:
            counts.repeated += 1
            return
        while self._hour and self._hour[0] < now - 3600:
            self._hour.popleft()
        if len(self._hour) >= self._settings.per_hour or len(self._waiting) >= WAITING:
            counts.over_limit += 1
            return
        self._hour.append(now)
        self._had[key] = now
        if len(self._had) > REMEMBERED:
            self._had.popitem(last=False)
        # An event of its own: the step that minimises changes the signal in place.
        event = Event(timestamp=signal.timestamp, event_dataset=Dataset.EVIDENCE, event_module="evidence")
        for name in _REPEATED:
            setattr(event, name, getattr(signal, name))
        self._waiting.append(_Waiting(Piece(event, want), now + self._after))


def _severity(signal: Event) -> int:
    """How grave a signal is: 0 for the gravest."""
    try:
        return _GRAVITY[Severity(signal.signal_severity or "")]
    except ValueError:
        return _GRAVITY[_OF_PRIORITY.get(signal.event_severity or 0, Severity.INFORMATIONAL)]

"""What is not kept when the agent falls behind: details first, then summaries, then floods of signals.

Behaviour has seen every event before it comes here, so detection keeps its share: only what is stored is shed. Each
event that is shed is counted by its class.

The agent is behind when packets are being dropped, or when what waits before the engine (the ring, Suricata's file)
is half full. Each second that it is behind it sheds one class more; each ten seconds that it is not, one less.

Order: DETAILS (the records of protocols), SUMMARIES (flows and sums), SIGNALS. Of signals the first ten of a rule in a
second are always kept, and health is never shed: what is wrong must arrive.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from types import MappingProxyType

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.health import Condition, Finding
from schoolwacht_agent.sources.port import Counters

#: How full what waits before the engine must be.
BEHIND, CAUGHT_UP = 0.5, 0.1
BETTER_SECONDS = 10.0
#: Signals of one rule in a second that are always kept.
SIGNALS_KEPT = 10


class Kind(IntEnum):
    """Classes of events in the order in which they are shed."""

    DETAILS = 1
    SUMMARIES = 2
    SIGNALS = 3
    NEVER = 4


#: Class of each dataset that is not a detail.
KINDS: MappingProxyType[Dataset, Kind] = MappingProxyType(
    {
        Dataset.FLOW: Kind.SUMMARIES,
        Dataset.SUMMARY: Kind.SUMMARIES,
        Dataset.SIGHTING: Kind.SUMMARIES,
        Dataset.SIGNAL: Kind.SIGNALS,
        Dataset.EVIDENCE: Kind.SIGNALS,
        Dataset.HEALTH: Kind.NEVER,
    }
)


class Shed:
    """Decides by the load what is kept.

    Args:
        counters: of the source; ``dropped`` and ``behind`` say whether it keeps up.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._dropped = counters.dropped
        self._fine_since = 0.0
        self._told = 0
        self._signals: dict[str | None, int] = {}
        #: Classes up to this one are shed; 0: none.
        self.level = 0
        #: How many events of each class were shed.
        self.counts = dict.fromkeys((Kind.DETAILS, Kind.SUMMARIES, Kind.SIGNALS), 0)

    def weigh(self, now: float) -> None:
        """Look at the load; called once a second, ``now`` is monotonic."""
        dropped, behind = self._counters.dropped - self._dropped, self._counters.behind
        self._dropped = self._counters.dropped
        if self._signals:
            self._signals.clear()
        if dropped > 0 or behind >= BEHIND:
            self._fine_since = now
            self.level = min(self.level + 1, Kind.SIGNALS)
        elif behind > CAUGHT_UP:
            self._fine_since = now
        elif self.level and now - self._fine_since >= BETTER_SECONDS:
            self._fine_since = now
            self.level -= 1

    def keep(self, events: list[Event]) -> list[Event]:
        """The events that are kept now, in their order."""
        if not self.level:
            return events
        return list(self._kept(events))

    def begin_period(self) -> None:
        """Count anew for :meth:`finding`."""
        self._told = sum(self.counts.values())

    def finding(self) -> list[Finding]:
        """That events of this period were shed, and how many."""
        shed = sum(self.counts.values()) - self._told
        if not shed:
            return []
        what = ", ".join(f"{count:,} {kind.name.lower()}" for kind, count in self.counts.items() if count)
        text = f"the agent cannot keep up: {shed:,} events were not kept (in all: {what})"
        return [Finding(Condition.SHEDDING, shed, text)]

    def figures(self) -> dict[str, int]:
        """Totals for health and status."""
        return {f"shed.{kind.name.lower()}": count for kind, count in self.counts.items()}

    def _kept(self, events: list[Event]) -> Iterable[Event]:
        for event in events:
            kind = KINDS.get(event.event_dataset, Kind.DETAILS)
            if kind > self.level or (kind is Kind.SIGNALS and self._is_first(event.rule_id)):
                yield event
            else:
                self.counts[kind] += 1

    def _is_first(self, rule: str | None) -> bool:
        count = self._signals.get(rule, 0) + 1
        self._signals[rule] = count
        return count <= SIGNALS_KEPT

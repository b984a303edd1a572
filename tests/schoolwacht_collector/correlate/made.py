"""Signals and sightings for tests of correlation, as rows and as events, and a leader over a store in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.correlate.job import Correlator
from schoolwacht_collector.correlate.read import own_rules
from schoolwacht_collector.correlate.rule import CorrelationRule
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.prevalence.count import Counter
from schoolwacht_collector.records import Agent, Progress, School, Standpoint
from tests.schoolwacht_collector.made import NOW, Clock, stored


def school_of(number: int) -> str:
    """A location for a number."""
    return f"{number % 100:02}AB{number // 100:02}"


def document(
    name: str,
    fields: Mapping[str, Any],
    *,
    at: datetime,
    arrived: datetime | None = None,
    school: int = 0,
    board: int = 0,
    dataset: Dataset = Dataset.SIGNAL,
    agent: str | None = None,
) -> Event:
    """A stored event of a school's gateway with these fields (dotted names)."""
    row: dict[str, Any] = {
        "@timestamp": at.isoformat(),
        "event.dataset": dataset.value,
        "event.id": name,
        "event.ingested": (arrived or at).isoformat(),
        "organization.id": f"4{board:04}",
        "school.location": school_of(school),
        "observer.name": agent or f"agent-{school}",
    }
    if dataset is Dataset.SIGNAL:
        row |= {"rule.id": "1", "rule.name": "A rule", "rule.ruleset": "suricata", "signal.entity": "10.1.0.5",
                "signal.key": f"key-{school}-{fields.get('signal.detection')}", "signal.score": 40}  # fmt: skip
    return msgspec.convert(row | dict(fields), Event)


def gateway(number: int, board: int, *, seen: datetime, standpoint: Standpoint = Standpoint.GATEWAY) -> Agent:
    """An enrolled agent of one school."""
    return Agent(
        id=f"agent-{number}",
        timestamp=seen,
        key_hash="0" * 64,
        board=f"4{board:04}",
        schools=(School(location=school_of(number), board=f"4{board:04}"),),
        standpoint=standpoint,
        last_seen=seen,
    )


class Leader:
    """Counter, correlator and folder over one store, looking when told; ``lead`` begins as another leader does."""

    def __init__(self, store: MemoryStore | None = None, *, rules: Iterable[CorrelationRule] | None = None) -> None:
        self.store = store or MemoryStore()
        self.clock = Clock()
        self.rules = tuple(rules) if rules is not None else tuple(own_rules())
        self.lead()

    def lead(self) -> None:
        """Be another leader, who knows what the store knows."""
        self.counter = Counter(self.store, clock=self.clock)
        self.correlator = Correlator(
            self.store, self.rules, clock=self.clock, counting_since=lambda: self.counter.begun
        )
        self.counter.on_change = self.correlator.seen
        self.folder = Folder(self.store, clock=self.clock)

    async def counting_since(self, days: int) -> None:
        """Sightings have been counted for so long."""
        begun = self.clock.now - timedelta(days=days)
        await self.store.put(Kind.PROGRESS, Progress(id="prevalence-begun", timestamp=begun, until=begun), None)

    async def look(self) -> list[dict[str, Any]]:
        """Look once, all three; the correlated signals that there are then, oldest first."""
        await self.counter.look()
        await self.correlator.look()
        await self.folder.look()
        return [row for row in await stored(self.store, Kind.SIGNAL) if row["rule.ruleset"] == "correlation"]


__all__ = ["NOW", "Leader", "document", "gateway", "school_of", "stored"]

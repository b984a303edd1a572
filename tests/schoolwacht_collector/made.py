"""Signals, indicators and alerts for tests, made by the collector's own functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.fold import Evidence, begin, fold
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store, Tally
from schoolwacht_collector.indicators import make_indicator
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Alert, Indicator
from schoolwacht_collector.signals import complete_signal

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Clock:
    """A clock that moves when told."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def signal(
    name: str,
    *,
    arrived: datetime = NOW,
    at: datetime | None = None,
    entity: str = "10.1.0.5",
    severity: str = "Major",
    board: str = "41000",
    school: str = "00AB00",
    rule: str = "2000001",
) -> Event:
    """A completed Suricata signal as intake stores it."""
    made = Event(
        timestamp=at or arrived,
        event_dataset=Dataset.SIGNAL,
        event_id=name,
        event_ingested=arrived,
        event_module="suricata",
        organization_id=board,
        school_location=school,
        observer_name="agent-one",
        source_ip=entity,
        destination_ip="198.51.100.7",
        network_direction=Direction.OUTBOUND,
        rule_id=rule,
        rule_name="Log4Shell in a header",
        rule_ruleset="suricata",
        signal_severity=severity,
        threat_technique_id=["T1190"],
    )
    complete_signal(made)
    return made


def alert(*, count: int = 1, severity: str = "Major", opened: datetime = NOW, entity: str = "10.1.0.5") -> Alert:
    """An alert as the folder makes it."""
    row = documents.row(documents.encode(signal("s1", arrived=opened, severity=severity, entity=entity)))
    begun = begin(row, since=None, previous=None)
    folded = fold(begun, Evidence(Tally(count, opened, opened), opened, [row], begun.score), now=opened)
    assert folded is not None
    return folded


def indicator(kind: str, value: str, *, valid_until: datetime | None = None, tlp: str = "AMBER") -> Indicator:
    """A checked indicator."""
    fields = {"type": IndicatorType(kind).value, "value": value, "tlp": tlp}
    if valid_until is not None:
        fields["valid_until"] = valid_until.isoformat()
    return make_indicator(fields, now=NOW)


async def stored(store: Store, kind: Kind) -> list[dict[str, object]]:
    """All rows of a kind, oldest first."""
    return (await store.search(Search(kind, All(), SECTOR, limit=10_000, oldest_first=True))).rows

"""The shapes that the API takes and gives, besides the records themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.indicators.seen import AtSchool, Sightings
from schoolwacht_collector.ledger import LedgerDay
from schoolwacht_collector.prevalence.ask import Answer
from schoolwacht_collector.records import Alert, AlertState, Indicator, RegisteredTest, School, Tuning


class Found(Struct, frozen=True):
    """Rows of a search, newest first; ``next`` is the ``after`` of the following page.

    ``missing`` names what the store could not read: rows of it may be lacking.
    """

    rows: list[dict[str, Any]]
    next: str | None
    missing: tuple[str, ...] = ()


class Alerts(Struct, frozen=True):
    """Alerts, in the order that was asked for."""

    alerts: list[Alert]
    next: str | None


class AlertStory(Struct, frozen=True):
    """An alert, its latest signals, other events of the same connections, and other traffic of the same entity."""

    alert: Alert
    signals: list[dict[str, Any]]
    connections: list[dict[str, Any]]
    host: list[dict[str, Any]]


class StateChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The new state of an alert, and why; ``by`` is who, as far as the caller knows."""

    state: AlertState
    reason: Annotated[str, Meta(max_length=1000)] = ""
    by: Annotated[str, Meta(max_length=64)] = ""


class AgentView(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An agent as people may see it: all but the hash of its key."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    board: str = field(name="organization.id")
    schools: tuple[School, ...] = field(name="agent.schools")
    enabled: bool = field(default=True, name="agent.enabled")
    last_seen: datetime | None = field(default=None, name="agent.last_seen")
    version: str | None = field(default=None, name="agent.version")
    stored: int = field(default=0, name="agent.stored")
    rejected: int = field(default=0, name="agent.rejected")
    #: Events that are not accounted for, and since when; absent if its ledger balances.
    difference: int = field(default=0, name="ledger.difference")
    since: datetime | None = field(default=None, name="ledger.since")


class LedgerView(Struct, frozen=True):
    """An agent's ledger: what is missing since when, of what sort, what waits in its spool, and its days, latest first.

    ``unexplained`` do not add up in the spool's own sums, ``vanished`` waited in a spool that is gone, ``uncounted``
    were taken as the agent says, and no collector knows of it. ``accepted`` of them a person has looked into.
    """

    agent: str
    difference: int
    since: datetime | None
    unexplained: int
    vanished: int
    uncounted: int
    accepted: int
    accepted_by: str | None
    reason: str | None
    waiting: int
    days: list[LedgerDay]


class Acceptance(Struct, frozen=True, forbid_unknown_fields=True):
    """That somebody has looked into what is missing, and why it is; ``by`` is who, as far as the caller knows."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    by: Annotated[str, Meta(max_length=64)] = ""


class Agents(Struct, frozen=True):
    """Agents, latest change first."""

    agents: list[AgentView]
    next: str | None


class Indicators(Struct, frozen=True):
    """Indicators, latest change first, and by id what the signals of those that were seen say."""

    indicators: list[Indicator]
    sightings: dict[str, Sightings]
    next: str | None


class Seen(Struct, frozen=True):
    """Since when and at how many schools a value is known, for each kind of value that it was seen as."""

    seen: list[Answer]


class NewIndicator(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A value to match from now on, with the columns of an indicator file. Without a type the value's form decides."""

    value: Annotated[str, Meta(min_length=1, max_length=512)]
    type: Annotated[str, Meta(description="One of: " + ", ".join(IndicatorType))] = ""
    provider: str = ""
    description: str = ""
    confidence: Annotated[str, Meta(description="High, Medium or Low")] = ""
    tlp: Annotated[str, Meta(description="CLEAR, GREEN, AMBER, AMBER+STRICT or RED")] = ""
    valid_from: Annotated[str, Meta(description="ISO 8601; a day alone means its beginning")] = ""
    valid_until: Annotated[str, Meta(description="ISO 8601; a day alone means its end")] = ""
    reference: Annotated[str, Meta(description="where it is described: a URL, or its source's own id")] = ""


class NewIndicators(Struct, frozen=True, forbid_unknown_fields=True):
    """Indicators to add. A faulty one refuses all; one that a check speaks against is left out unless ``force`` is set.

    ``force`` needs a ``reason``; both are kept, with ``by``.
    """

    indicators: Annotated[list[NewIndicator], Meta(min_length=1, max_length=10_000)]
    force: bool = False
    reason: Annotated[str, Meta(max_length=1000)] = ""
    by: Annotated[str, Meta(max_length=64)] = ""


class RefusedIndicator(Struct, frozen=True):
    """An indicator that is not kept, and what speaks against it."""

    type: IndicatorType
    value: str
    reason: str


class Added(Struct, frozen=True):
    """The indicators as they are kept, and those that were left out."""

    indicators: list[Indicator]
    refused: list[RefusedIndicator]


class IndicatorStory(Struct, frozen=True):
    """One indicator, what its signals say, and at which schools it was seen (most signals first, a hundred at most)."""

    indicator: Indicator
    sightings: Sightings
    schools: list[AtSchool]


_By = Annotated[str, Meta(max_length=64, description="who, as far as the caller knows")]
_Reason = Annotated[str, Meta(max_length=1000)]
#: With its offset from UTC, or ending in Z.
_Moment = Annotated[datetime, Meta(tz=True)]


class NewTuning(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule that hides alerts, until a moment at most a year ahead. What is left out holds for all."""

    reason: _Reason
    until: _Moment
    rule: Annotated[str | None, Meta(description="a detection such as D24, or a rule's id")] = None
    school: Annotated[str | None, Meta(description="a location such as 00AA00")] = None
    board: str | None = None
    entity: Annotated[str | None, Meta(description="the host that the alert is about")] = None
    network: Annotated[str | None, Meta(description="a network that the entity lies in")] = None
    destination: Annotated[str | None, Meta(description="a network that all destinations lie in")] = None
    by: _By = ""


class Tunings(Struct, frozen=True):
    """Tuning rules, latest change first; those with ``tuning.ended_at`` were ended."""

    tunings: list[Tuning]
    next: str | None


class TuningPreview(Struct, frozen=True):
    """Alerts of the last 30 days, how many of them a rule would have hidden, and ten of those."""

    alerts: int
    hidden: int
    latest: list[Alert]


class Ending(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why something ends, and who says so."""

    reason: _Reason
    by: _By = ""


class Snooze(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Until when nobody is told (at most 31 days ahead), why, and who says so; without a moment it ends."""

    until: _Moment | None = None
    reason: _Reason = ""
    by: _By = ""


class NewTest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A test that schools have ordered. ``expected`` are detections that it should set off."""

    name: Annotated[str, Meta(max_length=200)]
    since: _Moment
    until: _Moment
    sources: list[str] = []
    schools: list[str] = []
    expected: list[str] = []
    by: _By = ""


class Tests(Struct, frozen=True):
    """Registered tests, latest first."""

    tests: list[RegisteredTest]
    next: str | None

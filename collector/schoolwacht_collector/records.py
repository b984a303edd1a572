"""What the collector keeps besides events: alerts, deliveries, agents, indicators, leases.

Frozen; a change is a new struct put under the old one's version. Names on disk are dotted ECS names like an event's,
so one query language serves all. A record's id is its field ``id``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct, field

from schoolwacht.account import Totals
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.index.port import Kind


class AlertState(StrEnum):
    """Where an alert stands in triage."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Severity(StrEnum):
    """Severity of an alert, from its score: ≥ 80, ≥ 60, ≥ 40, ≥ 20, below."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFORMATIONAL = "informational"


class Alert(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Signals of one rule, school and entity, folded: what a person sees.

    ``timestamp`` is the time of the last change, ``opened`` the arrival of the first signal (both system time);
    ``first`` and ``last`` are times of the traffic. ``examples`` are ids of signals, oldest first.

    ``since`` and ``arrived`` bound what it counts, by arrival: signals of its key from ``since`` on (which is where
    the key's previous alert ended), and ``arrived`` is the newest of them.
    """

    id: str
    timestamp: datetime = field(name="@timestamp")
    state: AlertState = field(name="alert.state")
    key: str = field(name="signal.key")
    title: str = field(name="alert.title")
    severity: Severity = field(name="alert.severity")
    score: int = field(name="alert.score")
    count: int = field(name="alert.count")
    opened: datetime = field(name="alert.opened")
    since: datetime = field(name="alert.since")
    arrived: datetime = field(name="alert.arrived")
    first: datetime = field(name="alert.first")
    last: datetime = field(name="alert.last")
    entity: str = field(name="signal.entity")
    rule_id: str = field(name="rule.id")
    rule_name: str = field(name="rule.name")
    rule_ruleset: str = field(name="rule.ruleset")
    detection: str | None = field(default=None, name="signal.detection")
    rule_category: str | None = field(default=None, name="rule.category")
    board: str = field(name="organization.id")
    school: str = field(name="school.location")
    agent: str = field(name="observer.name")
    tactic_id: tuple[str, ...] = field(default=(), name="threat.tactic.id")
    tactic_name: tuple[str, ...] = field(default=(), name="threat.tactic.name")
    technique_id: tuple[str, ...] = field(default=(), name="threat.technique.id")
    technique_name: tuple[str, ...] = field(default=(), name="threat.technique.name")
    indicator_id: str | None = field(default=None, name="threat.indicator.id")
    indicator_type: str | None = field(default=None, name="threat.indicator.type")
    indicator_name: str | None = field(default=None, name="threat.indicator.name")
    tlp: str | None = field(default=None, name="threat.indicator.marking.tlp")
    examples: tuple[str, ...] = field(default=(), name="alert.examples")
    #: Why nobody is told of it: the tuning rule that hides it, the registered test that made it, or a person's snooze.
    suppressed_by: str | None = field(default=None, name="alert.suppressed_by")
    test: str | None = field(default=None, name="alert.test")
    snoozed_until: datetime | None = field(default=None, name="alert.snoozed_until")
    #: Whether all its signals were found by a look back (an indicator that came after the traffic).
    retro: bool = field(default=False, name="alert.retro")
    #: Of an alert of the sector: how many schools and boards, which (as many as are kept), and a query for the signals
    #: that it is made of. Its own ``board`` and ``school`` are empty.
    school_count: int = field(default=0, name="alert.school_count")
    board_count: int = field(default=0, name="alert.board_count")
    schools: tuple[str, ...] = field(default=(), name="alert.schools")
    boards: tuple[str, ...] = field(default=(), name="alert.boards")
    members: str | None = field(default=None, name="alert.members")
    #: Who changed the state last, when and why.
    changed_by: str | None = field(default=None, name="alert.changed_by")
    changed_at: datetime | None = field(default=None, name="alert.changed_at")
    reason: str | None = field(default=None, name="alert.reason")


class DeliveryState(StrEnum):
    """Where a notification stands in the outbox."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REJECTED = "rejected"


class Delivery(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A notification to one target, kept until it has arrived. ``id`` is also the id the receiver sees."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    state: DeliveryState = field(name="delivery.state")
    target: str = field(name="delivery.target")
    alert_id: str = field(name="delivery.alert_id")
    #: Why it is sent: ``alert.opened``, ``alert.grew``, ``alert.spread`` or ``alert.continues``.
    reason: str = field(name="delivery.reason")
    #: The body as JSON text, fixed when the notification was made.
    body: str = field(name="delivery.body")
    board: str = field(name="organization.id")
    attempts: int = field(default=0, name="delivery.attempts")
    due: datetime = field(name="delivery.due")
    last_error: str | None = field(default=None, name="delivery.last_error")


class School(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A location that an agent may speak for. ``location`` is a vestiging such as 00AB00."""

    location: str
    board: str
    name: str = ""
    sector: str | None = None
    region: str | None = None


class Standpoint(StrEnum):
    """Where an agent stands: at one school's gateway, or on a path that carries many (the national exchange point)."""

    GATEWAY = "gateway"
    NDC = "ndc"


class Agent(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An enrolled agent and what it may speak for: one school at a gateway, several on the NDC path.

    ``id`` is the agent's name; ``key_hash`` the SHA-256 of its key in hexadecimal. ``board`` is whose the agent itself
    is: the school's at a gateway, else the operator's of the path.
    """

    id: str
    timestamp: datetime = field(name="@timestamp")
    key_hash: str = field(name="agent.key_hash")
    board: str = field(name="organization.id")
    schools: tuple[School, ...] = field(name="agent.schools")
    standpoint: Standpoint = field(default=Standpoint.GATEWAY, name="agent.standpoint")
    enabled: bool = field(default=True, name="agent.enabled")
    last_seen: datetime | None = field(default=None, name="agent.last_seen")
    version: str | None = field(default=None, name="agent.version")
    #: Totals since enrolment, as the collector counted them.
    stored: int = field(default=0, name="agent.stored")
    rejected: int = field(default=0, name="agent.rejected")


class Said(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an agent said of one epoch of its spool: the furthest report of each day, and when reports arrived."""

    epoch: str
    parent: str = ""
    base: Totals = Totals()
    first: datetime
    last: datetime
    days: dict[str, Totals] = {}


class Shed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one run of an agent's capture did not keep: the running total by day."""

    run: str
    days: dict[str, int] = {}


class Counted(Struct, frozen=True, omit_defaults=True):
    """What one run of a collector counted of an agent on a day: items new in the store, acknowledged, rejected."""

    stored: int = 0
    delivered: int = 0
    rejected: int = 0


class Tallied(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A day of an agent as collectors counted it, by run; ``found``: its events in the store, if they were counted."""

    day: str
    runs: dict[str, Counted] = {}
    found: int = 0


class Ledger(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An agent's ledger: its reports and the collectors' counts of the last days (:mod:`.ledger`). ``id`` is its name.

    ``difference`` events are not accounted for, ``since`` then; ``accepted`` is what a person has looked into.
    """

    id: str
    timestamp: datetime = field(name="@timestamp")
    board: str = field(name="organization.id")
    agent: str = field(name="observer.name")
    difference: int = field(default=0, name="ledger.difference")
    since: datetime | None = field(default=None, name="ledger.since")
    accepted: int = field(default=0, name="ledger.accepted")
    accepted_by: str | None = field(default=None, name="ledger.accepted_by")
    reason: str | None = field(default=None, name="ledger.reason")
    said: tuple[Said, ...] = field(default=(), name="ledger.said")
    shed: tuple[Shed, ...] = field(default=(), name="ledger.shed")
    counted: tuple[Tallied, ...] = field(default=(), name="ledger.counted")


class Indicator(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A value that the CERT knows as bad. ``id`` is derived from type and value; ``board`` is empty: sector-wide."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    type: IndicatorType = field(name="threat.indicator.type")
    value: str = field(name="threat.indicator.name")
    provider: str = field(default="cert", name="threat.indicator.provider")
    description: str = field(default="", name="threat.indicator.description")
    confidence: str = field(default="High", name="threat.indicator.confidence")
    tlp: str = field(default="AMBER", name="threat.indicator.marking.tlp")
    valid_from: datetime | None = field(default=None, name="threat.indicator.valid_from")
    valid_until: datetime | None = field(default=None, name="threat.indicator.valid_until")
    #: Where it is described, as its source says: a URL, or the id of an object there.
    reference: str = field(default="", name="threat.indicator.reference")
    #: When it was first given here; giving it again changes ``timestamp`` alone.
    added: datetime | None = field(default=None, name="indicator.added")
    #: Who let it through although a check spoke against it, why, and what the check said.
    forced_by: str | None = field(default=None, name="indicator.forced_by")
    forced_why: str | None = field(default=None, name="indicator.forced_why")
    doubt: str | None = field(default=None, name="indicator.doubt")


class Lease(Struct, frozen=True, kw_only=True):
    """Who runs the leader-only jobs, until when."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    holder: str = field(name="lease.holder")
    until: datetime = field(name="lease.until")


class Progress(Struct, frozen=True, kw_only=True):
    """How far a leader-only job has come, for the leader after this one. ``id`` names the job."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    until: datetime = field(name="progress.until")


class Tuning(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A rule that hides alerts: they are kept, counted and found, and nobody is told. What is None holds for all.

    ``rule`` is a detection (``D24``) or the id of a rule. ``network`` holds the alert's entity, ``destination`` all
    destinations of its signals.
    """

    id: str
    timestamp: datetime = field(name="@timestamp")
    created: datetime = field(name="tuning.created")
    by: str = field(name="tuning.by")
    reason: str = field(name="tuning.reason")
    until: datetime = field(name="tuning.until")
    rule: str | None = field(default=None, name="tuning.rule")
    school: str | None = field(default=None, name="tuning.school")
    board: str | None = field(default=None, name="tuning.board")
    entity: str | None = field(default=None, name="tuning.entity")
    network: str | None = field(default=None, name="tuning.network")
    destination: str | None = field(default=None, name="tuning.destination")
    ended_at: datetime | None = field(default=None, name="tuning.ended_at")
    ended_by: str | None = field(default=None, name="tuning.ended_by")
    ended_why: str | None = field(default=None, name="tuning.ended_why")


class RegisteredTest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A test that schools have ordered: what comes from its sources in its time is marked, and nobody is told.

    ``sources`` are networks (either end of the traffic), ``schools`` locations; what is empty holds for all, and one of
    them is set. ``expected`` are detections that the test should set off.
    """

    id: str
    timestamp: datetime = field(name="@timestamp")
    name: str = field(name="test.name")
    by: str = field(name="test.by")
    created: datetime = field(name="test.created")
    since: datetime = field(name="test.since")
    until: datetime = field(name="test.until")
    sources: tuple[str, ...] = field(default=(), name="test.sources")
    schools: tuple[str, ...] = field(default=(), name="test.schools")
    expected: tuple[str, ...] = field(default=(), name="test.expected")


class Audit(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who did what to which object, why, when. Written before the thing is done, never changed."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    by: str = field(name="audit.by")
    action: str = field(name="audit.action")
    object: str = field(name="audit.object")
    reason: str = field(default="", name="audit.reason")
    detail: str = field(default="", name="audit.detail")


class PrevalenceBucket(Struct, frozen=True, kw_only=True):
    """Some values with when and at how many schools they were seen (:mod:`.prevalence.buckets`)."""

    id: str
    timestamp: datetime = field(name="@timestamp")
    values: str = field(name="prevalence.values")


#: Which struct a kind of record is.
RECORDS: MappingProxyType[Kind, type[Struct]] = MappingProxyType(
    {
        Kind.ALERT: Alert,
        Kind.DELIVERY: Delivery,
        Kind.AGENT: Agent,
        Kind.INDICATOR: Indicator,
        Kind.LEASE: Lease,
        Kind.PROGRESS: Progress,
        Kind.TUNING: Tuning,
        Kind.TEST: RegisteredTest,
        Kind.AUDIT: Audit,
        Kind.PREVALENCE: PrevalenceBucket,
        Kind.LEDGER: Ledger,
    }
)

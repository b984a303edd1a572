"""A correlation rule as data: which signals are its members, how they are grouped, and when a group is raised.

What Sigma's correlation format says (type, members, group-by, timespan, condition) is told apart from the one
extension that it lacks: the least number of schools and boards, the weight of one agent, and checks that are made
before a group is raised. :mod:`.read` makes it of a rule file.

Source: Sigma correlation rules specification 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from schoolwacht_collector.query.ast import Node


class Form(StrEnum):
    """How the members of a window are counted (Sigma ``correlation.type``)."""

    #: Members; one agent counts for ``weight`` of them at most.
    EVENT_COUNT = "event_count"
    #: Different values of a field; one agent brings ``weight`` of them at most.
    VALUE_COUNT = "value_count"
    #: Each selection has a member in the window.
    TEMPORAL = "temporal"
    #: The same, in the order of the selections.
    TEMPORAL_ORDERED = "temporal_ordered"


class Level(StrEnum):
    """Whose the result is: one school's, or the sector's."""

    SCHOOL = "school"
    SECTOR = "sector"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which signals are members: a query over one signal's fields."""

    name: str
    where: Node


@dataclass(frozen=True, slots=True)
class Common:
    """Keep out what is common: a value that was known for ``age`` and seen at ``share`` of the schools.

    ``kind`` is that of a sighting (domain, address, ja4); ``field`` has the value.
    """

    kind: str
    field: str
    share: float
    age: timedelta


@dataclass(frozen=True, slots=True)
class New:
    """Raise only what the sector has not known for ``within``: the value of ``field``, as a sighting of ``kind``."""

    kind: str
    field: str
    within: timedelta


@dataclass(frozen=True, slots=True)
class Around:
    """Some stored event must lie around the member: ``where`` holds, and each field ``same`` has the member's value.

    ``same`` pairs a field of the event with one of the member. The event's own time lies ``before`` the member's at
    most, and ``after`` it at most.
    """

    where: Node
    same: tuple[tuple[str, str], ...]
    before: timedelta
    after: timedelta


@dataclass(frozen=True, slots=True)
class Low:
    """Groups whose ``field`` lies in one of these networks are told as information only."""

    field: str
    networks: tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationRule:
    """One rule.

    Args:
        id: of the catalogue (X1, D06); ``rule.id`` of its signals.
        uuid: Sigma's id.
        title: one line in plain English.
        level: whose the result is.
        severity: Critical, Major, Minor or Informational.
        confidence: High, Medium or Low.
        techniques: ATT&CK.
        form: how members are counted.
        selections: which signals are members; several for the temporal forms.
        group_by: fields that are equal in a group. A signal without one of them is no member.
        span: the window.
        counted: the field whose different values are counted (``VALUE_COUNT``).
        least: how many of them, or of members, at least.
        schools: different schools at least.
        boards: different boards at least.
        share: schools at least, as a share of the connected ones; the greater of both numbers counts.
        weight: what one agent counts for at most (a sensor on a path of many schools is not bound by it).
        sightings: the kind of sightings (domain, ja4) that the rule counts in place of signals: values that the sector
            had not known for a month, from their first sighting on.
        learn: how long sightings must have been counted before the rule speaks.
        reputation: raise a domain only if its last label is one of these (often registered for abuse), which weighs
            less, or a signal says that it imitates another.
        variant: keep out a JA4 whose ciphers were known before at this share of the schools: a new release.
        late: how much later than others' a signal may arrive and still be counted with them.
        healthy: leave out schools whose agent had trouble within this time before the signal.
        usual: raise only if this many times the schools of the median of the seven spans before; 0 does not ask.
        common: keep out what is common.
        new: raise only what is new.
        around: stored events that must be there.
        low: networks of which groups are information only.
    """

    id: str
    uuid: str
    title: str
    level: Level
    severity: str
    confidence: str
    techniques: tuple[str, ...] = ()
    form: Form
    selections: tuple[Selection, ...]
    group_by: tuple[str, ...]
    span: timedelta
    counted: str | None = None
    least: int = 1
    schools: int = 1
    boards: int = 1
    share: float = 0.0
    weight: int = 1
    late: timedelta = field(default=timedelta(hours=6))
    healthy: timedelta | None = None
    usual: float = 0.0
    common: Common | None = None
    new: New | None = None
    around: tuple[Around, ...] = ()
    low: Low | None = None
    sightings: str | None = None
    learn: timedelta = field(default=timedelta(days=7))
    reputation: frozenset[str] = frozenset()
    variant: float = 0.0

"""What tuning rules and registered tests cover, as far as an alert itself says it. Pure."""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address, ip_network

from schoolwacht_collector.query.ast import And, Between, Node, Or, Within
from schoolwacht_collector.records import Alert, RegisteredTest, Tuning


def in_force(tuning: Tuning, now: datetime) -> bool:
    """Whether a rule hides alerts now."""
    return tuning.ended_at is None and now < tuning.until


def covers(tuning: Tuning, alert: Alert) -> bool:
    """Whether all that a rule says of an alert holds, save its destination (:func:`destinations`)."""
    return (
        (tuning.rule is None or tuning.rule in names_of(alert))
        and tuning.school in (None, alert.school)
        and tuning.board in (None, alert.board)
        and tuning.entity in (None, alert.entity)
        and (tuning.network is None or _lies_in(alert.entity, tuning.network))
    )


def names_of(alert: Alert) -> tuple[str, ...]:
    """The names by which a rule may call what an alert is about."""
    whole = f"{alert.rule_ruleset}:{alert.rule_id}"
    return (alert.rule_id, whole) if alert.detection is None else (alert.detection, alert.rule_id, whole)


def destinations(tuning: Tuning) -> Node | None:
    """What every signal of a covered alert must match; None if the rule says nothing of destinations."""
    return None if tuning.destination is None else Within("destination.ip", ip_network(tuning.destination))


def may_be_of(test: RegisteredTest, alert: Alert) -> bool:
    """Whether an alert can be a test's: at one of its schools, and in its time for a part."""
    here = not test.schools or alert.school in test.schools
    return here and alert.last >= test.since and alert.first < test.until


def of_test(test: RegisteredTest) -> Node:
    """The signals that a test made, by time and sources (its schools are the search's)."""
    # A moment is excluded at its end, as everywhere.
    nodes: list[Node] = [Between("@timestamp", test.since, test.until, include_high=False)]
    if test.sources:
        networks = [ip_network(each) for each in test.sources]
        fields = ("source.ip", "destination.ip")
        nodes.append(Or(tuple(Within(field, network) for network in networks for field in fields)))
    return And(tuple(nodes))


def _lies_in(entity: str, network: str) -> bool:
    try:
        address = ip_address(entity)
    except ValueError:  # a MAC address, or an agent
        return False
    return address in ip_network(network)

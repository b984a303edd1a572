"""How a detector says what it found: a signal event in the terms of docs/detections.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Dataset, Event, clip


class Rule(NamedTuple):
    """What is the same for every signal of a detector."""

    id: str
    name: str
    severity: str
    confidence: str
    technique: str
    category: str


def raise_signal(
    rule: Rule,
    event: Event,
    message: str,
    *,
    first: float,
    severity: str | None = None,
    confidence: str | None = None,
    destination: bool = True,
    port: bool = True,
    detail: Mapping[str, str | float | None],
) -> Event:
    """A signal of ``rule``, completed by ``event``.

    Args:
        rule: the detector's constant part.
        event: the event that completed the pattern; its time, ends and direction become the signal's.
        message: one plain English sentence with the figures.
        first: when the pattern began, seconds since 1970.
        severity: instead of the rule's own.
        confidence: instead of the rule's own.
        destination: whether the pattern is about one destination; else the signal names none.
        port: whether it is about one destination port.
        detail: figures for the analyst, into ``nsm.detail``; None is left out.
    """
    return Event(
        timestamp=event.timestamp,
        event_dataset=Dataset.SIGNAL,
        event_module="behave",
        event_start=datetime.fromtimestamp(min(first, event.timestamp.timestamp()), UTC),
        event_end=event.timestamp,
        message=clip(message, TEXT_MAX),
        source_ip=event.source_ip,
        source_mac=event.source_mac,
        destination_ip=event.destination_ip if destination else None,
        destination_port=event.destination_port if port else None,
        network_transport=event.network_transport,
        network_protocol=event.network_protocol,
        network_direction=event.network_direction,
        network_vlan_id=event.network_vlan_id,
        network_inner_vlan_id=event.network_inner_vlan_id,
        school_location=event.school_location,
        school_zone=event.school_zone,
        rule_id=rule.id,
        rule_name=rule.name,
        rule_category=rule.category,
        rule_ruleset="behaviour",
        signal_detection=rule.id,
        signal_severity=severity or rule.severity,
        signal_confidence=confidence or rule.confidence,
        threat_technique_id=[rule.technique],
        nsm_detail={
            name: clip(_text(value), KEYWORD_MAX)
            for name, value in list(detail.items())[:LIST_MAX]
            if value is not None
        },
    )


def _text(value: str | float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

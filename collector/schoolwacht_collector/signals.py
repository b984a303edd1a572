"""Signals: an indicator's hit becomes one, and a signal that came from an agent is completed. Pure.

Promise: one signal an event and indicator; its id follows from both, so that a redelivered event gives no second one,
nor does an agent that found the same (:mod:`schoolwacht.known_bad`).
Limits: ``MOST`` signals an event, those of the surest indicators; each says how many further ones hit. Whatever an
agent claims of ``signal.{entity,key,score}`` is replaced: only the collector folds and scores.
"""

from __future__ import annotations

from collections.abc import Iterable

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.identity import identify
from schoolwacht.known_bad import MOST, hit_id, known_bad
from schoolwacht.match import Hit
from schoolwacht_collector.attack import tactic_names, tactics_of, technique_names
from schoolwacht_collector.score import score

#: Characters of an event's id that tell its time.
_TIME = 12


def signals_of(event: Event, hits: Iterable[Hit], *, most: int = MOST) -> list[Event]:
    """The signals of one stamped event, complete and ready to be stored (:func:`schoolwacht.known_bad.known_bad`).

    Of an agent's own signal of a match the ones that replace it: what the agent claims of an indicator does not count.
    """
    signals = known_bad(event, hits, most=most)
    of_traffic = event.event_dataset is not Dataset.SIGNAL
    for signal in signals:
        if event.event_id is not None:
            # The same beginning as the event's id, which sorts by time.
            signal.event_id = f"{event.event_id[:_TIME]}-{hit_id(event, signal.threat_indicator_id or '')}"
            signal.signal_event_id = event.event_id if of_traffic else None
        derive(signal)
        complete_signal(signal)
    return signals


def complete_signal(event: Event) -> None:
    """Add to a stamped signal, in place, what the collector knows: entity, key, score, names of technique and tactic.

    The event needs its tenant (``organization.id``, ``school.location``) already.
    """
    techniques = event.threat_technique_id
    if techniques:
        if event.threat_technique_name is None:
            event.threat_technique_name = technique_names(techniques) or None
        if event.threat_tactic_id is None:
            event.threat_tactic_id = tactics_of(techniques) or None
    if event.threat_tactic_id and event.threat_tactic_name is None:
        event.threat_tactic_name = tactic_names(event.threat_tactic_id) or None
    event.signal_entity = entity_of(event)
    event.signal_key = key_of(event)
    event.signal_score = score(
        severity=event.signal_severity, priority=event.event_severity, confidence=event.signal_confidence
    )


def entity_of(event: Event) -> str:
    """What the signal is about at the school: its own host.

    The source of traffic that leaves the school or stays inside, the destination of traffic that comes in; where the
    direction is unknown the source. Without addresses the MAC address, and at last the agent.
    """
    ends = (
        event.source_ip or event.nsm_arp_sender_ip or event.source_mac,
        event.destination_ip or event.destination_mac,
    )
    first, second = reversed(ends) if event.network_direction is Direction.INBOUND else ends
    if event.network_direction is None:
        second = None  # a sighting names the outside only (docs/privacy.md)
    return first or second or event.observer_name or "unknown"


def key_of(event: Event) -> str:
    """Signals of one key fold into one alert: same detection (or rule), board, school, entity and indicator.

    The board is part of it, because an alert belongs to one board also when a school moves to another.
    """
    rule = event.signal_detection or f"{event.rule_ruleset}:{event.rule_id}"
    parts = (rule, event.organization_id, event.school_location, event.signal_entity, event.threat_indicator_id)
    return identify(*parts)

"""From an event and the Sigma rules that it fits to signals, complete and ready to be stored. Pure.

Promise: one signal an event and rule, whose id follows from both, so that a redelivered event gives no second one. A
rule with ``once`` gives one a day, school and combination of the fields it names: its id follows from those instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from schoolwacht.derive import derive
from schoolwacht.event import ATTRIBUTES, KEYWORD_MAX, TEXT_MAX, Dataset, Event, clip
from schoolwacht.identity import identify
from schoolwacht_collector.rules.sigma import SigmaMatcher
from schoolwacht_collector.rules.told import Once
from schoolwacht_collector.signals import complete_signal

RULESET = "sigma"
_TIME = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rule_signals(event: Event, matchers: Iterable[SigmaMatcher], once: Once | None = None) -> list[Event]:
    """The signals of a stamped event; of rules with ``once`` those that ``once`` says are to be made."""
    signals = []
    for matcher in matchers:
        name = None if event.event_id is None else _id(event, event.event_id, matcher)
        if name is None or once is None or not matcher.once or once.first(name):
            signals.append(_signal(event, matcher, name))
    return signals


def _signal(event: Event, matcher: SigmaMatcher, name: str | None) -> Event:
    rule = matcher.rule
    signal = copy.copy(event)
    signal.event_dataset = Dataset.SIGNAL
    # What follows from the dataset is derived anew.
    signal.event_kind = signal.event_category = signal.event_type = signal.event_action = signal.event_outcome = None
    signal.event_severity = signal.event_sequence = signal.event_id = None
    signal.related_ip = signal.related_hosts = signal.related_hash = signal.related_user = None
    signal.message = clip(str(rule.values["description"]), TEXT_MAX)
    signal.rule_id = matcher.name
    signal.rule_name = clip(rule.title, KEYWORD_MAX)
    signal.rule_category = "Single event"
    signal.rule_ruleset = RULESET
    signal.threat_technique_id = list(rule.techniques) or None
    signal.signal_detection = rule.detection
    signal.signal_severity, signal.signal_confidence = matcher.severity
    signal.event_id, signal.signal_event_id = name, event.event_id
    derive(signal)
    complete_signal(signal)
    return signal


def _id(event: Event, event_id: str, matcher: SigmaMatcher) -> str:
    if not matcher.once:
        return f"{event_id[:_TIME]}-{identify(RULESET, matcher.name, event_id)}"
    day = event.timestamp.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    values = (str(getattr(event, ATTRIBUTES[name])) for name in matcher.once)
    known = identify(RULESET, matcher.name, event.organization_id, event.school_location, day.isoformat(), *values)
    since = max(0, (day - _EPOCH) // timedelta(milliseconds=1))
    return f"{since:0{_TIME}x}-{known}"

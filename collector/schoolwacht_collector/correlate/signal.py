"""From a match to the signal that is stored, and folded, like any other. Pure.

A school's signal carries the school, the host and the detection of its members, so that it falls into the alert that
they made and raises it. A sector's has no school and no board (``organization.id`` is empty, which no board's scope
holds): what it is about is the value that the group shares, and the schools and boards stand in ``nsm.detail``.

``nsm.detail`` of a sector's signal: ``schools`` and ``boards`` (numbers), ``school_list`` and ``board_list`` (as many
as fit a text), ``connected`` (schools that could have seen it), ``members`` (a query for the signals that it is made
of), ``anchor`` and ``step`` (what the next leader needs to know that this was told).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schoolwacht.derive import derive
from schoolwacht.event import TEXT_MAX, Dataset, Event, clip
from schoolwacht.identity import identify
from schoolwacht_collector.correlate.engine import Match
from schoolwacht_collector.correlate.rule import CorrelationRule, Level
from schoolwacht_collector.score import score
from schoolwacht_collector.signals import complete_signal

RULESET = "correlation"
#: Whose a sector's signal is: nobody's. No scope of boards holds it.
NOBODY = ""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def signal_of(
    match: Match,
    *,
    now: datetime,
    connected: int,
    severity: str | None = None,
    prevalence: float | None = None,
    known_for: timedelta | None = None,
) -> Event:
    """The signal of a match.

    Args:
        match: what was completed.
        now: its arrival.
        connected: how many schools could have seen it.
        severity: instead of the rule's.
        prevalence: share of schools at which what it is about was seen, where the rule asked.
        known_for: since when it is known, where the rule asked.
    """
    rule, window = match.rule, match.window
    end = datetime.fromtimestamp(window.end, UTC)
    if rule.level is Level.SCHOOL:
        signal = _of_school(match, end)
    else:
        entity = match.group[0] if match.group else rule.title
        signal = sector_signal(
            rule, entity, end=end, start=datetime.fromtimestamp(window.start, UTC),
            schools=window.schools, boards=window.boards, connected=connected,
            members=_query(rule, match.group),
        )  # fmt: skip
        _take_over(signal, match.row)
        signal.signal_key = sector_key(rule.id, *match.group)
    signal.signal_severity = severity or rule.severity
    signal.event_ingested = now
    signal.event_id = event_id(end, match.id)
    signal.signal_score = score(
        severity=signal.signal_severity, priority=None, confidence=rule.confidence,
        prevalence=prevalence, known_for=known_for,
    )  # fmt: skip
    group = msgspec.json.encode(match.group).decode()
    # Never cut: the next leader reads it. Without it that one raises the signal once more, under the same id.
    told = {"group": group} if len(group) <= TEXT_MAX else {}
    signal.nsm_detail = (signal.nsm_detail or {}) | {
        "anchor": f"{match.anchor:.3f}",
        "step": str(match.step),
        **told,
    }
    return signal


def sector_signal(
    rule: CorrelationRule,
    entity: str,
    *,
    start: datetime,
    end: datetime,
    schools: Sequence[str],
    boards: Sequence[str],
    connected: int,
    members: str | None = None,
    detail: Mapping[str, str] | None = None,
) -> Event:
    """A sector's signal without id, arrival and score. ``members`` is a query for what it is made of."""
    of = f" of {connected:,} connected" if connected else ""
    signal = _begun(rule, start, end)
    signal.message = clip(
        f"{rule.title}: {entity} at {counted(len(schools), 'school')} of {counted(len(boards), 'board')}{of}", TEXT_MAX
    )
    signal.organization_id = NOBODY
    found = {
        "schools": str(len(schools)),
        "boards": str(len(boards)),
        "school_list": listed(schools),
        "board_list": listed(boards),
        "connected": str(connected),
        **(detail or {}),
    }
    if members:
        found["members"] = clip(members, TEXT_MAX)
    signal.nsm_detail = found
    derive(signal)
    complete_signal(signal)
    signal.signal_entity = clip(entity)
    signal.signal_key = sector_key(rule.id, entity)
    return signal


def sector_key(rule_id: str, *group: str) -> str:
    """``signal.key`` of a sector's signals about one thing."""
    return identify("sector", rule_id, *group)


def event_id(moment: datetime, identity: str) -> str:
    """An id that sorts by time, like that of every event."""
    since = max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
    return f"{since:012x}-{identity}"


def listed(values: Iterable[str]) -> str:
    """As many of the values as fit one text, with spaces between."""
    text = " ".join(sorted(values))
    return text if len(text) <= TEXT_MAX else text[: text.rindex(" ", 0, TEXT_MAX)]


def counted(number: int, what: str) -> str:
    """``1 school``, ``2 schools``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _begun(rule: CorrelationRule, start: datetime, end: datetime) -> Event:
    return Event(
        timestamp=end,
        event_dataset=Dataset.SIGNAL,
        event_module="correlate",
        event_start=start,
        event_end=end,
        rule_id=rule.id,
        rule_name=rule.title,
        rule_ruleset=RULESET,
        signal_detection=rule.id,
        signal_severity=rule.severity,
        signal_confidence=rule.confidence,
        threat_technique_id=list(rule.techniques) or None,
    )


def _of_school(match: Match, end: datetime) -> Event:
    """A signal at the school of its members, about their host."""
    rule, window = match.rule, match.window
    made = _begun(rule, datetime.fromtimestamp(window.start, UTC), end)
    given: dict[str, Any] = {
        name: value for name, value in match.row.items() if name not in {"rule.name", "nsm.detail"}
    }
    signal = msgspec.convert(msgspec.to_builtins(made, builtin_types=(datetime,)) | given, Event)
    signal.message = clip(f"{rule.title} ({counted(window.size, 'part')})", TEXT_MAX)
    derive(signal)
    entity = signal.signal_entity
    complete_signal(signal)
    if entity is not None and entity != signal.signal_entity:  # of a sighting, say
        signal.signal_entity = entity
    return signal


def _take_over(signal: Event, row: Mapping[str, Any]) -> None:
    """What the members say of the indicator, its TLP above all."""
    signal.threat_indicator_id = row.get("threat.indicator.id")
    signal.threat_indicator_type = row.get("threat.indicator.type")
    signal.threat_indicator_name = row.get("threat.indicator.name")
    signal.threat_indicator_provider = row.get("threat.indicator.provider")
    signal.threat_indicator_confidence = row.get("threat.indicator.confidence")
    signal.threat_indicator_marking_tlp = row.get("threat.indicator.marking.tlp")
    if signal.threat_indicator_name:
        signal.signal_entity = clip(signal.threat_indicator_name)


def _query(rule: CorrelationRule, group: Sequence[str]) -> str:
    """A query for the signals of a group, as far as its fields say."""
    parts = [f'{name}:"{_quoted(value)}"' for name, value in zip(rule.group_by, group, strict=True)]
    return " AND ".join([*parts, f"NOT rule.ruleset:{RULESET}"])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

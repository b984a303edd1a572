"""The score of a signal, 0 to 100, and the severity that follows from it (docs/detections.md).

Base: the rule's severity Critical, Major, Minor, Informational = 90, 70, 40, 10; without it Suricata's priority
1 to 4 = 70, 50, 30, 10; without either 30, as for Suricata's default priority 3. Then: confidence Low −20; seen at
half of the schools or more −15, at two in a hundred or fewer +15; first seen within seven days +15.
"""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType

from schoolwacht_collector.records import Severity

SEVERITIES: MappingProxyType[str, int] = MappingProxyType(
    {"critical": 90, "major": 70, "minor": 40, "informational": 10}
)
PRIORITIES: MappingProxyType[int, int] = MappingProxyType({1: 70, 2: 50, 3: 30, 4: 10})
_UNRATED = PRIORITIES[3]

#: The least score of each severity, highest first.
STEPS: tuple[tuple[int, Severity], ...] = (
    (80, Severity.CRITICAL),
    (60, Severity.HIGH),
    (40, Severity.MEDIUM),
    (20, Severity.LOW),
    (0, Severity.INFORMATIONAL),
)
_RANK = MappingProxyType({severity: rank for rank, (_, severity) in enumerate(reversed(STEPS))})

COMMON = 0.5
RARE = 0.02
NEW = timedelta(days=7)


def score(
    *,
    severity: str | None,
    priority: int | None,
    confidence: str | None,
    prevalence: float | None = None,
    known_for: timedelta | None = None,
) -> int:
    """The score of a signal.

    Args:
        severity: the rule's severity in words, in any case; a word that is not in the list counts as absent.
        priority: Suricata's priority, 1 (highest) to 4.
        confidence: High, Medium or Low, in any case.
        prevalence: the share of schools, 0 to 1, at which what the signal is about was seen; None if not asked for.
        known_for: how long ago it was first seen anywhere in the sector; None if the rule does not ask for it.
    """
    value = SEVERITIES.get(severity.lower()) if severity else None
    if value is None:
        value = PRIORITIES.get(priority, _UNRATED) if priority is not None else _UNRATED
    if confidence and confidence.lower() == "low":
        value -= 20
    if prevalence is not None:
        if prevalence >= COMMON:
            value -= 15
        elif prevalence <= RARE:
            value += 15
    if known_for is not None and known_for <= NEW:
        value += 15
    return max(0, min(100, value))


def severity_of(value: int) -> Severity:
    """The severity of a score."""
    return next(severity for least, severity in STEPS if value >= least)


def at_least(severity: Severity, least: Severity) -> bool:
    """Whether a severity is ``least`` or above."""
    return _RANK[severity] >= _RANK[least]

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.records import Severity
from schoolwacht_collector.score import at_least, score, severity_of


@pytest.mark.parametrize(
    ("severity", "priority", "confidence", "expected"),
    [
        ("Critical", None, None, 90),
        ("Major", None, "High", 70),
        ("Minor", None, "Medium", 40),
        ("Informational", None, None, 10),
        ("critical", 4, None, 90),
        (None, 1, None, 70),
        (None, 2, None, 50),
        (None, 3, None, 30),
        (None, 4, None, 10),
        (None, 255, None, 30),
        (None, None, None, 30),
        ("Unheard of", 1, None, 70),
        ("Major", None, "Low", 50),
        ("Informational", None, "low", 0),
    ],
)
def test_the_base_follows_the_catalogue(
    severity: str | None, priority: int | None, confidence: str | None, expected: int
) -> None:
    assert score(severity=severity, priority=priority, confidence=confidence) == expected


@pytest.mark.parametrize(
    ("prevalence", "known_for", "expected"),
    [
        (0.5, None, 55),
        (0.49, None, 70),
        (0.02, None, 85),
        (0.021, None, 70),
        (None, timedelta(days=7), 85),
        (None, timedelta(days=7, seconds=1), 70),
        (0.01, timedelta(days=1), 100),
    ],
)
def test_what_is_common_counts_less_and_what_is_rare_or_new_more(
    prevalence: float | None, known_for: timedelta | None, expected: int
) -> None:
    found = score(severity="Major", priority=None, confidence=None, prevalence=prevalence, known_for=known_for)
    assert found == expected


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        (100, Severity.CRITICAL),
        (80, Severity.CRITICAL),
        (79, Severity.HIGH),
        (60, Severity.HIGH),
        (59, Severity.MEDIUM),
        (40, Severity.MEDIUM),
        (39, Severity.LOW),
        (20, Severity.LOW),
        (19, Severity.INFORMATIONAL),
        (0, Severity.INFORMATIONAL),
    ],
)
def test_the_severity_follows_from_the_score(value: int, severity: Severity) -> None:
    assert severity_of(value) is severity


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_higher_score_is_never_less_severe(one: int, other: int) -> None:
    assert at_least(severity_of(max(one, other)), severity_of(min(one, other)))

"""Bounds and weights: what one agent can do to the groups of others, and what memory it can take."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from schoolwacht_collector.correlate import engine as module
from schoolwacht_collector.correlate.engine import ALONE, Engine
from schoolwacht_collector.correlate.read import own_rules
from schoolwacht_collector.index import documents
from tests.schoolwacht_collector.correlate.made import NOW, document


def _rules(*names: str) -> list[Any]:
    return [rule for rule in own_rules() if rule.id in names]


def _scan(
    number: int, *, school: int, source: str = "203.0.113.9", at: datetime = NOW, agent: str | None = None
) -> dict[str, Any]:
    fields = {"signal.detection": "D01", "network.direction": "inbound", "source.ip": source}
    made = document(f"{number:06}", fields, at=at, school=school, board=school % 7, agent=agent)
    return documents.row(documents.encode(made))


def test_a_pattern_is_told_once_and_again_when_it_has_grown() -> None:
    engine = Engine(_rules("X2"))
    told = [len(engine.take(_scan(school, school=school))) for school in range(20)]
    assert [place + 1 for place, number in enumerate(told) if number] == [5, 6, 8, 10, 15, 20]


def test_one_agent_that_claims_many_schools_counts_for_one() -> None:
    engine = Engine(_rules("X2"))
    assert not [match for school in range(50) for match in engine.take(_scan(school, school=school, agent="one"))]


def test_a_sensor_on_a_path_of_many_schools_counts_for_all_of_them() -> None:
    engine = Engine(_rules("X2"))
    engine.free = frozenset({"path"})
    assert [match for school in range(5) for match in engine.take(_scan(school, school=school, agent="path"))]


def test_an_agent_that_invents_values_drives_out_its_own_groups_only() -> None:
    engine = Engine(_rules("X2"))
    for school in range(4):
        engine.take(_scan(school, school=school))
    for number in range(5 * ALONE):
        source = f"198.51.{number // 250}.{number % 250}"
        engine.take(_scan(1000 + number, school=50, source=source, agent="liar"))
    assert engine.groups <= ALONE + 1
    assert engine.dropped == 4 * ALONE
    assert engine.take(_scan(9999, school=4))


def test_a_rule_holds_a_bounded_number_of_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUPS", 100)
    engine = Engine(_rules("X2"))
    for number in range(300):
        engine.take(_scan(number, school=number, source=f"198.51.100.{number % 250}", agent=f"a{number}"))
    assert engine.groups <= 100


def test_what_can_fill_no_window_any_more_is_forgotten() -> None:
    engine = Engine(_rules("X2"))
    engine.take(_scan(1, school=1))
    engine.expire(NOW + timedelta(hours=6))
    assert engine.groups == 1
    engine.expire(NOW + timedelta(hours=8))
    assert engine.groups == 0


def test_the_share_of_connected_schools_raises_what_is_needed() -> None:
    engine = Engine(_rules("X7"))
    (rule,) = engine.rules
    engine.connected = 100
    assert engine.need(rule).schools == 1
    engine.connected = 10_000
    assert engine.need(rule).schools == 5

"""The project's own rules: readable, proven by their examples, and no condition that nothing tells of."""

from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht_collector.rules.examples import attempt, mutations
from schoolwacht_collector.rules.read import Kind, Rule, files, read

RULES = Path(__file__).resolve().parents[3] / "rules"


def own(kind: Kind) -> list[Rule]:
    return [rule for rule in read(files([RULES / kind.value]))[0] if rule.kind is kind]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_rule_file_is_without_fault(kind: Kind) -> None:
    folder = RULES / kind.value
    assert own(kind)
    assert [str(each) for each in read(files([folder]))[1]] == []


@pytest.mark.parametrize("rule", own(Kind.SIGMA), ids=lambda rule: rule.name)
def test_a_sigma_rule_does_what_its_examples_say(rule: Rule) -> None:
    assert [str(each) for each in attempt(rule).faults] == []


@pytest.mark.parametrize("rule", own(Kind.SIGMA), ids=lambda rule: rule.name)
def test_no_condition_of_a_sigma_rule_can_be_switched_off_unnoticed(rule: Rule) -> None:
    outcome = mutations(rule)
    assert [str(each) for each in outcome.faults] == []
    assert outcome.tried > 0

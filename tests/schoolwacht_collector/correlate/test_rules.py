"""Every rule of rules/correlation against its own examples, through the leader's jobs and a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from schoolwacht_collector.correlate.examples import raised
from schoolwacht_collector.correlate.read import RuleFaults, RuleFile, read, read_all

_DIRECTORY = Path(__file__).parents[3] / "rules" / "correlation"
_FILES = read_all(_DIRECTORY)
_EXAMPLES = [
    pytest.param(file, example, wanted, id=f"{file.rule.id}-{'match' if wanted else 'miss'}-{place}")
    for file in _FILES
    for wanted, name in ((True, "match"), (False, "miss"))
    for place, example in enumerate(file.examples[name])
]


@pytest.mark.parametrize(("file", "example", "wanted"), _EXAMPLES)
def test_a_rule_raises_its_matches_and_none_of_its_misses(
    file: RuleFile, example: Mapping[str, Any], wanted: bool
) -> None:
    assert raised(file, example) is wanted


def test_every_rule_has_examples_of_both() -> None:
    assert {file.rule.id for file in _FILES} >= {"X1", "X2", "X3", "X4", "X5", "X6", "X7", "D06", "D16", "D28", "D32"}
    assert all(file.examples["match"] and file.examples["miss"] for file in _FILES)


def test_all_faults_of_a_file_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    text = (_DIRECTORY / "x2-same-scanner.yml").read_text(encoding="utf-8")
    text = (
        text.replace("- source.ip\n", "- source.pi\n")
        .replace("timespan: 60m", "timespan: 60")
        .replace("weight", "wait")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RuleFaults) as caught:
        read(path)
    assert {fault.field for fault in caught.value.faults} == {
        "schoolwacht.wait", "correlation.timespan", "correlation",
    }  # fmt: skip
    assert all(fault.path == str(path) for fault in caught.value.faults)

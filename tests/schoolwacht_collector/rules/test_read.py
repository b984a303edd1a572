from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht_collector.rules.read import read_file
from tests.schoolwacht_collector.rules.test_shipped import RULES

GOOD = (RULES / "sigma" / "d14-smb1.yml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("level: informational", "level: grave", "level", 15),
        ("name: D14", "name: d14", "name", 4),
        ("title_nl: ", "titel: ", "titel", 2),
        ("status: stable", "status: fine", "status", 5),
        ("level: informational", "level: [high]", "level", None),
        ("status: stable", "status: {a: 1}", "status", 5),
        ("tags: []", "tags: [attack.t9999]", "tags.0", None),
        ("runbook_nl:", "runbook_nl: []\nreferences:", "runbook_nl", None),
    ],
)
def test_a_fault_names_file_line_and_field(tmp_path: Path, old: str, new: str, field: str, line: int | None) -> None:
    path = tmp_path / "rule.yml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    rule, faults = read_file(path)
    assert rule is None
    found = next(each for each in faults if each.field == field)
    assert found.path == str(path)
    assert line is None or found.line == line


def test_all_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(GOOD.replace("level: informational", "level: x").replace("name: D14", "name: x"), "utf-8")
    assert {each.field for each in read_file(path)[1]} == {"level", "name"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "no YAML"),
        ("- a", "mapping"),
        ("title: x\ntitle: y", "twice"),
        ("a: &x [1]\nb: *x", "alias"),
        ("title: !!python/object/apply:os.system [x]", "no YAML"),
        ("title: x", "no rule"),
        ("title: !!bool maybe", "no YAML"),
        ("title: !!int ''", "no YAML"),
        ("title: !!float ''", "no YAML"),
        ("title: !!timestamp 'a'", "no YAML"),
    ],
)
def test_what_is_no_rule_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rule.yml"
    path.write_text(text, "utf-8")
    rule, faults = read_file(path)
    assert rule is None
    assert said in str(faults[0])

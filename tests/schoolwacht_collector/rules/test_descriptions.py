"""The descriptions of signatures and detectors agree with what they describe, and their captures are played by tests.

Each capture of a Suricata description is played by tests/schoolwacht_agent/sources/suricata/test_rules.py, each of a
behaviour description with an expectation in a README by tests/schoolwacht_agent/behave/test_captures.py or by the tests
of the line: not again here.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_collector.rules.read import LEVELS, Kind, Rule, read_file
from tests.bench.detections import expectations
from tests.parts import CAPTURES
from tests.schoolwacht_agent.behave.test_captures import judged
from tests.schoolwacht_collector.rules.test_shipped import RULES, own

SURICATA, BEHAVIOUR = own(Kind.SURICATA), own(Kind.BEHAVIOUR)
CATALOGUE = re.compile(r"^\| (D\d\d) \| [^|]+ \| behaviour, agent \|", re.MULTILINE)
ALERT = re.compile(r"signature_severity (\w+), confidence (\w+)")
EXPECTED = {folder / name: what for folder in (CAPTURES, CAPTURES / "behaviour")
            for name, what in expectations(folder).items()}  # fmt: skip


def name(rule: Rule) -> str:
    return rule.name


def captures(rule: Rule, side: str) -> list[Path]:
    return [(rule.path.parent / each["capture"]).resolve() for each in rule.values["examples"][side]]


def test_every_file_of_signatures_has_its_description() -> None:
    described = {rule.values["suricata"]["file"] for rule in SURICATA}
    assert described == {path.name for path in (RULES / "suricata").glob("*.rules")}


def test_every_detector_of_the_catalogue_has_its_description() -> None:
    catalogue = (RULES.parent / "docs" / "detections.md").read_text("utf-8")
    assert sorted(rule.name for rule in BEHAVIOUR) == CATALOGUE.findall(catalogue)


@pytest.mark.parametrize("rule", SURICATA, ids=name)
def test_level_and_techniques_are_those_of_the_signatures(rule: Rule) -> None:
    text = (rule.path.parent / rule.values["suricata"]["file"]).read_text("utf-8")
    order = [severity for severity, _ in LEVELS.values()]
    assert LEVELS[rule.level][0] == min((found[0] for found in ALERT.findall(text)), key=order.index)
    assert set(rule.techniques) == set(re.findall(r"mitre_technique_id (T[\d.]+)", text))
    assert rule.detection == rule.path.name[:3].upper()


@pytest.mark.parametrize("rule", SURICATA, ids=name)
def test_the_captures_of_signatures_are_those_that_their_tests_play(rule: Rule) -> None:
    folder = RULES / "examples" / "suricata" / rule.path.stem
    assert captures(rule, "match") == [folder / "match"]
    assert captures(rule, "miss") == [folder / "miss"]


@pytest.mark.parametrize("rule", BEHAVIOUR, ids=name)
def test_a_description_names_settings_that_the_agent_has(rule: Rule) -> None:
    known = {item.name for item in msgspec.structs.fields(BehaveSettings)}
    assert rule.values["behaviour"]["detector"] in known


@pytest.mark.parametrize("rule", BEHAVIOUR, ids=name)
def test_a_recorded_capture_is_expected_to_show_what_the_description_says(rule: Rule) -> None:
    for side in ("match", "miss"):
        for capture in captures(rule, side):
            assert capture.is_file()
            if capture.is_relative_to(CAPTURES):
                wanted = EXPECTED[capture].partition("not ")[0]
                assert (rule.name in wanted) is (side == "match"), capture


MADE = [
    pytest.param(rule, side, capture, id=f"{rule.name}-{side}")
    for rule in BEHAVIOUR
    for side in ("match", "miss")
    for capture in captures(rule, side)
    if not capture.is_relative_to(CAPTURES)
]


@pytest.mark.parametrize(("rule", "side", "capture"), MADE)
def test_a_made_capture_shows_what_the_description_says(rule: Rule, side: str, capture: Path) -> None:
    found = {event.signal_detection for event in judged(str(capture))}
    assert (rule.name in found) is (side == "match")


def test_every_made_capture_is_an_example() -> None:
    made = set((RULES / "examples" / "behaviour").rglob("*.pcap*"))
    assert {parameters.values[2] for parameters in MADE} == made


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("file: d10-zerologon.rules", "file: d99.rules", "suricata.file: d99.rules is no file beside"),
        ("file: d10-zerologon.rules", "file: ../d10.rules", "suricata.file: ../d10.rules is no file beside"),
        ("file: d10", "files: d10", "suricata: has one key, file"),
    ],
)
def test_a_description_of_nothing_is_told(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "d10.yml"
    text = (RULES / "suricata" / "d10-zerologon.yml").read_text("utf-8")
    path.write_text(text.replace(old, new), "utf-8")
    assert any(fault in str(each) for each in read_file(path)[1])

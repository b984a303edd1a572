from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schoolwacht.derive import derive
from schoolwacht.errors import RuleError
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_collector.rules.compile import compiled, required, single
from schoolwacht_collector.rules.read import Kind, Rule, read
from schoolwacht_collector.rules.sigma import matcher, matchers
from tests.schoolwacht_collector.rules.test_shipped import RULES

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def rule_of(detection: dict[str, Any], *, service: str = "flow", name: str = "S99", level: str = "low") -> Rule:
    values = {
        "title": "A rule",
        "description": "What it finds.",
        "logsource": {"product": "schoolwacht", "service": service},
        "detection": detection,
    }
    lines = {"": 1, "detection": 5, "detection.s": 6, **{f"detection.s.{key}": 7 for key in detection.get("s", {})}}
    return Rule(Path("r.yml"), Kind.SIGMA, name, "id", "A rule", "Een regel", level, (), values, lines)


def fits(detection: dict[str, Any], **fields: Any) -> bool:
    """Whether an event fits, on its own and in the function of its dataset."""
    event = Event(timestamp=NOW, event_dataset=Dataset.FLOW, **fields)
    derive(event)
    made = matcher(rule_of({"condition": "s", **detection}))
    alone = single(made.tree)(event)
    together = compiled([made])[Dataset.FLOW](event)
    assert together == ([made] if alone else [])
    return alone


@pytest.mark.parametrize(
    ("selection", "fitting", "other"),
    [
        ({"url.path": "/Login"}, {"url_path": "/LOGIN"}, {"url_path": "/login2"}),
        ({"url.path|cased": "/Login"}, {"url_path": "/Login"}, {"url_path": "/login"}),
        ({"url.path|endswith": [".exe", ".dll"]}, {"url_path": "/a.DLL"}, {"url_path": "/a.dll/b"}),
        ({"url.path|contains|all": ["a", "b"]}, {"url_path": "/ba"}, {"url_path": "/a"}),
        ({"url.path": "/*/x?z"}, {"url_path": "/1/xyz"}, {"url_path": "/1/xz"}),
        ({"url.path|re": "^/[0-9]+$"}, {"url_path": "/12"}, {"url_path": "/1a"}),
        ({"destination.port": [23, 445]}, {"destination_port": 445}, {"destination_port": 444}),
        ({"destination.port|gte": 1024}, {"destination_port": 1024}, {"destination_port": 1023}),
        ({"source.ip|cidr": ["10.0.0.0/8", "fd00::/8"]}, {"source_ip": "fd00::1"}, {"source_ip": "11.0.0.1"}),
        ({"tls.resumed": True}, {"tls_resumed": True}, {"tls_resumed": False}),
        ({"url.path": None}, {}, {"url_path": "/"}),
        ({"url.path|exists": True}, {"url_path": "/"}, {}),
        ({"user.name|fieldref": "url.domain"}, {"user_name": "a", "url_domain": "a"}, {"user_name": "a"}),
        ({"tags": "x"}, {"tags": ["w", "X"]}, {"tags": ["w"]}),
        ({"tags|contains|all": ["a", "b"]}, {"tags": ["xa", "bx"]}, {"tags": ["xa"]}),
        ({"nsm.detail.ttl": 64}, {"nsm_detail": {"ttl": "64"}}, {"nsm_detail": {"ttl": "65"}}),
        ({"network.direction": "inbound"}, {"network_direction": Direction.INBOUND}, {}),
        ({"derived.http.host_is_address": True}, {"url_domain": "192.0.2.1"}, {"url_domain": "a.example"}),
    ],
)
def test_a_condition_fits_what_sigma_says(
    selection: dict[str, Any], fitting: dict[str, Any], other: dict[str, Any]
) -> None:
    assert fits({"s": selection}, **fitting)
    assert not fits({"s": selection}, **other)
    if None not in selection.values():
        assert not fits({"s": selection})


def test_selections_are_joined_as_the_condition_says() -> None:
    detection = {
        "s": {"destination.port": 80},
        "f1": {"url.path": "/a"},
        "f2": [{"url.path": "/b"}, {"url.domain": "c"}],
        "condition": "s and not 1 of f*",
    }
    assert fits(detection, destination_port=80)
    assert not fits(detection, destination_port=80, url_path="/a")
    assert not fits(detection, destination_port=80, url_domain="c")
    assert not fits(detection)


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"source.adress": "x"}, "did you mean source.address"),
        ({"rule.id|re": "(?=x)"}, "invalid perl operator"),
        ({"destination.port": "eighty"}, "never fits"),
        ({"destination.port|cidr": "10.0.0.0/8"}, "never fits"),
        ({"url.path|fieldref": "destination.port"}, "another type"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_its_place(selection: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleError) as caught:
        matcher(rule_of({"s": selection, "condition": "s"}))
    assert said in str(caught.value)
    assert caught.value.line == (5 if "perl" in said else 7)  # pySigma refuses expressions itself, without a place


def test_words_without_a_field_are_refused() -> None:
    with pytest.raises(RuleError, match="without a field"):
        matcher(rule_of({"s": ["word"], "condition": "s"}))


def test_a_rule_is_looked_at_only_where_its_literal_stands() -> None:
    tree = matcher(rule_of({"s": {"network.direction": "inbound", "destination.port": [1, 2]}, "condition": "s"})).tree
    assert required(tree) == ("destination.port", frozenset({1, 2}))
    other = matcher(rule_of({"s": {"destination.port": 1}, "t": {"url.path": "x"}, "condition": "s or t"})).tree
    assert required(other) is None


def test_no_value_of_a_rule_becomes_code() -> None:
    text = "'); raise SystemExit(); ('"
    assert fits({"s": {"url.path": text}}, url_path=text)
    assert fits({"s": {"url.path|contains": text}}, url_path=f"a{text}")


@pytest.mark.parametrize(
    "detection",
    [
        "  smb1: {nsm.smb.dialect: x}\n  condition: 5",
        "  smb1: {nsm.smb.dialect: x}\n  condition: {a: b}",
        "  smb1: {5: x}\n  condition: smb1",
        f"  smb1: {{nsm.smb.dialect: x}}\n  condition: {'not ' * 300}smb1",
    ],
)
def test_a_detection_that_cannot_be_read_is_a_fault_and_the_others_match(tmp_path: Path, detection: str) -> None:
    good = RULES / "sigma" / "d14-smb1.yml"
    bad = tmp_path / "bad.yml"
    text = re.sub(r"(?ms)^detection:\n(  .*?\n)+", lambda _: f"detection:\n{detection}\n", good.read_text("utf-8"))
    bad.write_text(text, "utf-8")
    rules, faults = read([bad, RULES / "sigma" / "d15-old-tls.yml"])
    found, more = matchers(rules)
    assert [each.name for each in found] == ["D15"]
    assert [Path(str(each.path)).name for each in [*faults, *more]] == ["bad.yml"]


@pytest.mark.parametrize("name", ["'@timestamp'", "event.id", "[a]"])
def test_what_differs_for_each_event_cannot_be_told_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "once.yml"
    text = (RULES / "sigma" / "d15-old-tls.yml").read_text("utf-8")
    path.write_text(text.replace("once:\n    - destination.ip\n    - destination.port\n", f"once: [{name}]\n"), "utf-8")
    rules, _ = read([path])
    found, faults = matchers(rules)
    assert (found, [each.field for each in faults]) == ([], ["schoolwacht.once.0"])

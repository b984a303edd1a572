from __future__ import annotations

import json
from datetime import timedelta

from msgspec.structs import replace

from schoolwacht_collector.notify.body import Reason, body_of, count_in
from tests.schoolwacht_collector.made import NOW, alert


def test_the_body_says_what_a_cert_must_know() -> None:
    body = json.loads(body_of(alert(count=3), Reason.OPENED, link="https://sw.example/alerts/x", now=NOW))
    assert (body["type"], body["timestamp"]) == ("alert.opened", "2026-11-24T09:00:00Z")
    data = body["data"]
    assert data["rule"] == {"id": "2000001", "name": "Log4Shell in a header", "ruleset": "suricata"}
    assert data["technique"] == [{"id": "T1190", "name": "Exploit Public-Facing Application"}]
    assert data["tactic"] == [{"id": "TA0001", "name": "Initial Access"}]
    assert {name: data[name] for name in ("severity", "score", "count", "school", "board", "entity", "link")} == {
        "severity": "high",
        "score": 70,
        "count": 3,
        "school": "00AB00",
        "board": "41000",
        "entity": "10.1.0.5",
        "link": "https://sw.example/alerts/x",
    }
    assert data["title"] == "Log4Shell in a header: traffic from 10.1.0.5"
    assert data["first"] == data["last"] == "2026-11-24T09:00:00Z"


def test_what_is_unknown_is_absent() -> None:
    data = json.loads(body_of(alert(), Reason.GREW, link=None, now=NOW))["data"]
    assert not {"link", "indicator", "detection"} & data.keys()


def test_the_count_in_a_body_can_be_read_back() -> None:
    assert count_in(body_of(alert(count=12_345), Reason.OPENED, link=None, now=NOW + timedelta(days=1))) == 12_345


def test_an_indicator_comes_with_its_label() -> None:
    bad = replace(alert(), indicator_id="i1", indicator_type="domain", indicator_name="evil.example", tlp="AMBER")
    data = json.loads(body_of(bad, Reason.OPENED, link=None, now=NOW))["data"]
    assert data["indicator"] == {"id": "i1", "type": "domain", "value": "evil.example", "tlp": "AMBER"}

"""Each format as its publisher writes it: what is kept, what is refused with which reason, and what is recognised."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.indicators import FORMATS, parse_indicators
from schoolwacht_collector.indicators.port import Text
from schoolwacht_collector.indicators.read import recognise
from schoolwacht_collector.indicators.stix_pattern import PatternError, values_of
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.made import NOW

RED = "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
GREEN_OF_TLP1 = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"


def read(text: str, name: str | None = None) -> tuple[list[Indicator], list[str]]:
    found, faults = parse_indicators(text.encode(), path="file", now=NOW, format=name)
    return found, [str(fault) for fault in faults]


def pairs(found: list[Indicator]) -> list[tuple[str, str]]:
    return [(each.type.value, each.value) for each in found]


def bundle(*objects: dict[str, Any]) -> str:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)}, indent=1)


def indicator(pattern: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": "2026-11-01T00:00:00Z",
        **more,
    }


SSLBL = """\
################################################################
# abuse.ch SSLBL SSL Certificate Blacklist (SHA1 Fingerprints) #
################################################################
#
# Listingdate,SHA1,Listingreason
2026-11-20 10:11:12,8f4cb64d8b3b2e3f0f2a7ef3dba0a1c6a2a6a6c1,Dridex C&C
2026-11-20 10:11:12,zz,AsyncRAT C&C
2026-11-20 10:11:12,1f4cb64d8b3b2e3f0f2a7ef3dba0a1c6a2a6a6c2,AsyncRAT C&C
"""
FEODO_CSV = """\
# Feodo Tracker
"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"
"2026-11-01 08:00:00","185.220.101.5","443","online","2026-11-23","QakBot"
"2026-11-01 08:00:00","185.220.101.6","443","offline","2026-11-20","Emotet"
"""
FEODO_JSON = json.dumps(
    [
        {"ip_address": "185.220.101.5", "port": 443, "status": "online", "first_seen": "2026-11-01 08:00:00",
         "last_online": "2026-11-23", "malware": "QakBot"},
        {"port": 443},
    ],
    indent=2,
)  # fmt: skip
URLHAUS = """\
# URLhaus Database Dump (CSV - recent URLs only)
# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter
"1","2026-11-23 20:00:00","http://185.220.101.5:37211/bin.sh","online","","malware_download","mirai","https://urlhaus.abuse.ch/url/1/","x"
"2","2026-11-23 20:00:00","http://EVIL.example/a b?x=1","offline","","malware_download","None","https://urlhaus.abuse.ch/url/2/","x"
"3","2026-11-23 20:00:00","ftp://evil.example/a","online","","malware_download","None","https://urlhaus.abuse.ch/url/3/","x"
"""
MISP = {
    "Event": {
        "info": "Campaign",
        "Orgc": {"name": "CIRCL"},
        "Tag": [{"name": "tlp:green"}],
        "Attribute": [
            {"uuid": "a1", "type": "ip-dst", "value": "185.220.101.5", "to_ids": True, "comment": "server"},
            {"uuid": "a2", "type": "domain|ip", "value": "evil.example|185.220.101.6", "to_ids": True},
            {"uuid": "a3", "type": "comment", "value": "text", "to_ids": False},
            {"uuid": "a4", "type": "mutex", "value": "x", "to_ids": True},
            {"uuid": "a5", "type": "domain", "value": "gone.example", "to_ids": True, "deleted": True},
        ],
        "Object": [
            {"Attribute": [
                {"uuid": "a6", "type": "filename|sha256", "value": f"a.exe|{'ab' * 32}", "to_ids": True,
                 "Tag": [{"name": "tlp:red"}, {"name": 'misp:confidence-level="fairly-confident"'}]},
            ]}
        ],
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (bundle(), "stix"),
        (json.dumps(MISP), "misp"),
        (json.dumps({"response": {"Attribute": []}}), "misp"),
        (FEODO_JSON, "feodo"),
        (FEODO_CSV, "feodo"),
        (SSLBL, "sslbl"),
        (URLHAUS, "urlhaus"),
        ('{"value":"evil.example"}', "jsonl"),
        ("# made by hand\ntype,value\ndomain,evil.example", "csv"),
        ("evil.example", "list"),
        ("", "list"),
    ],
)
def test_each_format_is_recognised_by_its_beginning(text: str, name: str) -> None:
    assert recognise(Text(text.encode(), "file")) == name


def test_a_stix_indicator_keeps_validity_confidence_tlp_source_and_id() -> None:
    author = {"type": "identity", "id": "identity--1", "name": "NCSC"}
    found, faults = read(
        bundle(
            author,
            indicator(
                "[domain-name:value = 'evil.example']",
                name="Loader",
                created_by_ref="identity--1",
                confidence=40,
                valid_until="2027-01-01T00:00:00Z",
                object_marking_refs=[GREEN_OF_TLP1],
            ),
        )
    )
    assert faults == []
    (one,) = found
    assert (one.type, one.value, one.provider, one.confidence, one.tlp) == (
        "domain", "evil.example", "NCSC", "Medium", "GREEN",
    )  # fmt: skip
    assert one.valid_from == datetime(2026, 11, 1, tzinfo=UTC)
    assert one.valid_until == datetime(2027, 1, 1, tzinfo=UTC)
    assert one.reference == "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"
    assert one.description == "Loader"


def test_values_of_a_stix_pattern_joined_by_or_are_indicators_each() -> None:
    pattern = (
        "([ipv4-addr:value = '185.220.101.5' OR ipv4-addr:value ISSUBSET '185.220.102.0/24'] OR "
        "[url:value IN ('http://evil.example/a', 'http://evil.example/b')]) OR "
        f"[file:hashes.'SHA-256' = '{'ab' * 32}' OR x509-certificate:hashes.'SHA-1' = '{'cd' * 20}']"
    )
    found, faults = read(bundle(indicator(pattern)))
    assert faults == []
    assert pairs(found) == [
        ("address", "185.220.101.5"),
        ("network", "185.220.102.0/24"),
        ("url", "evil.example/a"),
        ("url", "evil.example/b"),
        ("file-sha256", "ab" * 32),
        ("certificate-sha1", "cd" * 20),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pattern": "[domain-name:value = 'a.example' AND ipv4-addr:value = '185.220.101.5']"}, "needs AND"),
        ({"pattern": "[a:b = 'x'] FOLLOWEDBY [a:b = 'y']"}, "a:b is not compared"),
        ({"pattern": "[domain-name:value = 'a.example'] FOLLOWEDBY [domain-name:value = 'b']"}, "FOLLOWEDBY"),
        ({"pattern": "[domain-name:value = 'a.example'] REPEATS 5 TIMES"}, "REPEATS"),
        ({"pattern": "[domain-name:value LIKE '%.example']"}, "needs LIKE"),
        ({"pattern": "[domain-name:value MATCHES '^a']"}, "a regular expression"),
        ({"pattern": "[domain-name:value NOT = 'a.example']"}, "needs NOT"),
        ({"pattern": "[domain-name:value != 'a.example']"}, "'!='"),
        ({"pattern": "[domain-name:value = 'a.example'"}, "ends too early"),
        ({"pattern": "[process:name = 'a']"}, "process:name is not compared"),
        ({"pattern": "(" * 50}, "nests too deep"),
        ({"pattern": "€"}, "cannot be read from column 1"),
        ({"pattern": 5}, "has no pattern"),
        ({"pattern_type": "sigma"}, "type sigma"),
        ({"pattern": "[ipv4-addr:value = '10.0.0.1']"}, "private addresses"),
    ],
)
def test_a_stix_object_that_cannot_be_used_is_named_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    good = indicator("[domain-name:value = 'evil.example']", id="indicator--good")
    found, faults = read(bundle({**indicator(""), **changes}, good))
    assert [each.value for each in found] == ["evil.example"]
    (fault,) = faults
    assert fault.startswith("file:8: objects[0] indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f: ")
    assert reason in fault


def test_a_revoked_stix_indicator_ends_when_it_was_revoked() -> None:
    gone = indicator("[domain-name:value = 'evil.example']", revoked=True, modified="2026-11-20T00:00:00Z")
    (one,), _ = read(bundle(gone))
    assert one.valid_until == datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reference", "definitions", "label"),
    [
        (RED, [], "RED"),
        ("marking-definition--unknown", [], "RED"),
        ("marking-definition--x", [{"definition_type": "statement", "definition": {"statement": "(c)"}}], "AMBER"),
        ("marking-definition--x", [{"definition_type": "tlp", "definition": {"tlp": "white"}}], "CLEAR"),
    ],
)
def test_the_tlp_of_a_stix_marking_is_kept_and_an_unknown_one_is_red(
    reference: str, definitions: list[dict[str, Any]], label: str
) -> None:
    markings = [{"type": "marking-definition", "id": reference, **each} for each in definitions]
    one = indicator("[domain-name:value = 'evil.example']", object_marking_refs=[reference])
    found, _ = read(bundle(one, *markings))
    assert [each.tlp for each in found] == [label]


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_of_values_or_refused(text: str) -> None:
    for pattern in (text, f"[domain-name:value = '{text}']", f"[{text}]"):
        with contextlib.suppress(PatternError):
            assert values_of(pattern)


def test_misp_attributes_for_detection_are_kept_with_what_their_event_says() -> None:
    found, faults = read(json.dumps(MISP))
    assert pairs(found) == [
        ("address", "185.220.101.5"),
        ("domain", "evil.example"),
        ("address", "185.220.101.6"),
        ("file-sha256", "ab" * 32),
    ]
    assert faults == ["file:1: attribute 4 a4: type 'mutex' is not compared"]
    first, *_, last = found
    assert (first.provider, first.tlp, first.description) == ("CIRCL", "GREEN", "Campaign: server")
    assert (last.tlp, last.confidence) == ("RED", "Medium")


@pytest.mark.parametrize("shape", ["list", "response", "attributes", "one"])
def test_misp_files_of_every_shape_are_read(shape: str) -> None:
    attribute = {"type": "ip-src", "value": "185.220.101.0/24", "to_ids": True}
    event = {"Event": {"Attribute": [attribute]}}
    shapes: dict[str, Any] = {
        "list": [event, event],
        "response": {"response": [event]},
        "attributes": {"response": {"Attribute": [attribute]}},
        "one": {"Attribute": [attribute]},
    }
    found, faults = read(json.dumps(shapes[shape]), "misp")
    assert (pairs(found), faults) == ([("network", "185.220.101.0/24")], [])


def test_sslbl_gives_certificates_and_names_a_line_that_is_none() -> None:
    found, faults = read(SSLBL)
    assert [each.value[:4] for each in found] == ["8f4c", "1f4c"]
    assert found[0].provider == "abuse.ch SSLBL"
    assert found[0].description == "Dridex C&C"
    assert [fault.split(": ")[0] for fault in faults] == ["file:7"]


@pytest.mark.parametrize("text", [FEODO_CSV, FEODO_JSON])
def test_feodo_gives_addresses_that_end_after_thirty_days(text: str) -> None:
    found, faults = read(text)
    assert pairs(found)[0] == ("address", "185.220.101.5")
    assert found[0].description == "QakBot command server, port 443"
    assert found[0].valid_until == NOW + timedelta(days=30)
    if text is FEODO_JSON:
        assert faults == ["file:1: [1]: has no ip_address"]
    else:
        assert [each.confidence for each in found] == ["High", "Medium"]


def test_urlhaus_gives_urls_and_refuses_what_is_not_http() -> None:
    found, faults = read(URLHAUS)
    assert pairs(found) == [("url", "185.220.101.5:37211/bin.sh"), ("url", "evil.example/a%20b?x=1")]
    assert [each.confidence for each in found] == ["High", "Medium"]
    assert len(faults) == 1
    assert "only HTTP is compared" in faults[0]


def test_what_the_command_gives_holds_where_the_file_says_nothing() -> None:
    given_ = {"tlp": "RED", "valid_until": "2027-06-01"}
    found, _ = parse_indicators(b"value,tlp\na.example,GREEN\nb.example,\n", path="f", now=NOW, given=given_)
    assert [each.tlp for each in found] == ["GREEN", "RED"]
    assert {each.valid_until for each in found if each.valid_until} == {datetime(2027, 6, 1, 23, 59, 59, 999999, UTC)}


@pytest.mark.parametrize("name", list(FORMATS))
@given(
    raw=st.one_of(st.binary(max_size=200), st.sampled_from([b"[" * 5000, b'{"objects":' * 900, b'[{"a":1}]', b"{}"]))
)
def test_whatever_a_file_holds_each_format_answers_with_records_and_faults(name: str, raw: bytes) -> None:
    found, faults = parse_indicators(raw, path="file", now=NOW, format=name)
    assert all(fault.path == "file" for fault in faults)
    assert all(each.id for each in found)

"""One line says what a row is about, whatever its dataset."""

from __future__ import annotations

from typing import Any

import pytest

from schoolwacht.event import Dataset
from schoolwacht_console.headline import HEADLINES, ends, headline, size


def test_every_dataset_has_its_line() -> None:
    assert set(HEADLINES) == {dataset.value for dataset in Dataset}


@pytest.mark.parametrize("dataset", Dataset)
def test_a_row_without_details_still_says_something(dataset: Dataset) -> None:
    assert headline({"event.dataset": dataset.value})


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            {"event.dataset": "evidence", "evidence.packets": 12, "evidence.bytes": 3400},
            "evidence of 12 packets, 3.4 kB",
        ),
        (
            {"event.dataset": "evidence", "evidence.fault": "the capture is gone"},
            "no evidence: the capture is gone",
        ),
        (
            {"event.dataset": "dns", "dns.question.name": "c.example", "dns.answers.data": ["", "", ""]},
            "c.example",
        ),
        (
            {"event.dataset": "health", "health.condition": "blind", "health.value": 45.24089, "message": "no packet"},
            "blind 45.24: no packet",
        ),
        (
            {"event.dataset": "health", "health.condition": "ok", "health.value": 0.0, "message": "the agent works"},
            "ok: the agent works",
        ),
        (
            {"event.dataset": "health", "message": "suricata", "health.packets": 1200, "health.dropped": 0},
            "report of suricata: 1,200 packets, 0 dropped",
        ),
        ({"event.dataset": "file", "file.size": 2200}, "file without a name, 2.2 kB"),
        (
            {
                "event.dataset": "summary",
                "network.protocol": "dns",
                "dns.question.name": "a.example",
                "summary.events": 12,
                "summary.failures": 2,
            },
            "dns a.example: 12 in a minute, 2 failed",
        ),
        (
            {
                "event.dataset": "summary",
                "network.transport": "tcp",
                "destination.port": 22,
                "summary.events": 1,
                "source.bytes": 1000,
                "destination.bytes": 200,
            },
            "tcp 22: 1 in a minute, 1.2 kB",
        ),
        (
            {
                "event.dataset": "sighting",
                "sighting.kind": "domain",
                "sighting.value": "a.example",
                "sighting.count": 3,
            },
            "domain a.example, 3 times",
        ),
        (
            {
                "event.dataset": "dns",
                "dns.question.name": "a.example",
                "dns.question.type": "A",
                "dns.answers.data": ["192.0.2.1"],
                "dns.response_code": "NOERROR",
            },
            "a.example A → 192.0.2.1",
        ),
        (
            {"event.dataset": "dns", "dns.question.name": "b.example", "dns.response_code": "NXDOMAIN"},
            "b.example → NXDOMAIN",
        ),
        (
            {
                "event.dataset": "http",
                "http.request.method": "GET",
                "url.domain": "c.example",
                "url.original": "/x?y",
                "http.response.status_code": 404,
            },
            "GET c.example/x?y → 404",
        ),
        (
            {
                "event.dataset": "flow",
                "network.protocol": "tls",
                "source.bytes": 1500,
                "destination.bytes": 98_500,
                "source.packets": 3,
                "destination.packets": 70,
                "nsm.flow.state": "closed",
            },
            "tls, 73 packets, 100 kB, closed",
        ),
        ({"event.dataset": "tls", "tls.client.server_name": "d.example"}, "d.example"),
        ({"event.dataset": "file", "file.name": "a.exe", "file.size": 12}, "a.exe, 12 B"),
        ({"event.dataset": "signal", "rule.name": "Port scan"}, "Port scan"),
        (
            {"event.dataset": "signal", "rule.name": "Port scan", "message": "50 ports within 60 s"},
            "50 ports within 60 s",
        ),
    ],
)
def test_the_line_tells_the_main_facts(row: dict[str, Any], line: str) -> None:
    assert headline(row) == line


def test_an_ipv6_end_stands_in_brackets() -> None:
    row = {"source.ip": "2001:db8::1", "source.port": 443, "destination.ip": "192.0.2.7"}
    assert ends(row) == ("[2001:db8::1]:443", "192.0.2.7")


@pytest.mark.parametrize(("number", "text"), [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (3.4e12, "3.4 TB")])
def test_sizes_are_short(number: float, text: str) -> None:
    assert size(number) == text

"""``schoolwacht analyse`` from captures to alerts, as a process."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from schoolwacht_console.analyse import as_json
from tests.parts import CAPTURES, suricata
from tests.schoolwacht_console import sample

COMMAND = [sys.executable, "-m", "schoolwacht_console.cli", "analyse"]
INDICATORS = ["--indicators", str(CAPTURES / "indicators.csv")]
FIELDS = {"rule", "rule_id", "title", "severity", "score", "school", "entity", "count", "first", "last", "technique"}


class Analysed(NamedTuple):
    code: int
    alerts: list[dict[str, Any]]
    err: str
    left: list[str]


def analyse(tmp_path: Path, *arguments: str) -> Analysed:
    done = subprocess.run(
        [*COMMAND, "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    alerts = [json.loads(line) for line in done.stdout.splitlines()]
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("schoolwacht-")]
    return Analysed(done.returncode, alerts, done.stderr, left)


def test_captures_become_alerts_and_nothing_is_left_behind(tmp_path: Path) -> None:
    found = analyse(
        tmp_path,
        str(CAPTURES / "bad-download.pcap"), str(CAPTURES / "port-scan.pcap"),
        "--engine", "packets", "--home", "10.21.0.0/16", "--home", "10.22.0.0/16", *INDICATORS,
    )  # fmt: skip
    assert found.code == 0, found.err
    assert found.left == []
    assert all(alert.keys() >= FIELDS for alert in found.alerts)
    assert {(alert["rule"], alert["entity"]) for alert in found.alerts} == {
        ("D24", "10.21.0.23"),
        ("D01", "10.22.0.66"),
    }
    scan = next(alert for alert in found.alerts if alert["rule"] == "D01")
    assert (scan["technique"], scan["severity"], scan["school"]) == ("T1046", "high", "00AA00")
    assert scan["first"].endswith("Z")


def test_a_real_suricata_gives_the_same_alerts(tmp_path: Path) -> None:
    suricata()
    found = analyse(tmp_path, str(CAPTURES / "bad-download.pcap"), "--engine", "suricata", *INDICATORS)
    assert found.code == 0, found.err
    assert {alert["indicator"] for alert in found.alerts} == {"203.0.113.66", "gratis-spellen.example"}


def test_an_old_capture_keeps_its_times(tmp_path: Path) -> None:
    raw = bytearray((CAPTURES / "bad-download.pcap").read_bytes())
    order = "<" if bytes(raw[:4]) in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    place = 24
    while place < len(raw):
        struct.pack_into(f"{order}I", raw, place, 1_262_304_000)  # 2010-01-01
        place += 16 + struct.unpack_from(f"{order}I", raw, place + 8)[0]
    old = tmp_path / "old.pcap"
    old.write_bytes(raw)
    found = analyse(tmp_path, str(old), "--engine", "packets", *INDICATORS)
    assert {alert["first"][:10] for alert in found.alerts} == {"2010-01-01"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pcap", b""),
        ("text.pcap", b"this is no capture at all, but it is long enough to be one"),
        ("cut.pcap", (CAPTURES / "bad-tls.pcap").read_bytes()[:700]),
        ("missing.pcap", None),
    ],
)
def test_a_bad_file_is_named_and_the_others_are_still_done(tmp_path: Path, name: str, content: bytes | None) -> None:
    bad = tmp_path / name
    if content is not None:
        bad.write_bytes(content)
    good = str(CAPTURES / "bad-download.pcap")
    found = analyse(tmp_path, str(bad), good, "--engine", "packets", *INDICATORS)
    assert found.code == 2
    assert str(bad) in found.err
    assert found.alerts


def test_indicators_that_cannot_be_read_are_code_2(tmp_path: Path) -> None:
    found = analyse(tmp_path, str(CAPTURES / "bad-tls.pcap"), "--indicators", str(tmp_path / "none.csv"))
    assert (found.code, found.alerts) == (2, [])
    assert "none.csv" in found.err


@pytest.mark.parametrize("wrong", [["--home", "10.0.0.1/8"], ["--engine", "tcpdump"], []])
def test_wrong_use_is_code_2(tmp_path: Path, wrong: list[str]) -> None:
    captures = [str(CAPTURES / "bad-tls.pcap")] if wrong else []
    assert analyse(tmp_path, *captures, *wrong).code == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_analysis_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        # Often enough that it is still at work when the signal comes, however busy the machine.
        [*COMMAND, *[str(CAPTURES / "port-scan.pcap")] * 50],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as process:
        while not list(tmp_path.glob("schoolwacht-analyse-*/analysis/agent.toml")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert list(tmp_path.iterdir()) == []
    assert b"Traceback" not in err


def test_an_alert_without_a_detection_is_named_after_its_rule() -> None:
    alert = sample.alert(1, detection=None, rule_id="2001219", technique_id=("T1046", "T1595"), indicator_name=None)
    values = as_json(alert)
    assert (values["rule"], values["rule_id"], values["technique"]) == ("2001219", "2001219", "T1046,T1595")
    assert "indicator" not in values


def test_a_bad_url_and_a_bad_file_are_found_by_the_agent_at_the_usual_level_of_detail(tmp_path: Path) -> None:
    suricata()
    listed = tmp_path / "list.csv"
    listed.write_text(
        "type,value\nurl,hxxp://download.gratis-spellen.example/files/spel.exe\n"
        "file-sha256,a5b7e1564eb5ce80f766744c5a33ce1951fe40b0763c92dde49cc5bb6c50f4a7\n",
        encoding="utf-8",
    )
    found = analyse(
        tmp_path,
        str(CAPTURES / "bad-download.pcap"), "--engine", "suricata", "--home", "10.21.0.0/16",
        "--indicators", str(listed),
    )  # fmt: skip
    assert found.code == 0, found.err
    assert {alert["title"].split()[2] for alert in found.alerts if alert["rule"] == "D24"} == {"URL", "file"}

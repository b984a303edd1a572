"""The demo as its user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.parts import CAPTURES

COMMAND = [sys.executable, "-m", "schoolwacht_console.cli", "demo", "--port", "0", "--engine", "packets"]


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(tmp_path)}


def test_it_ends_by_itself_with_every_event_and_alert_accounted_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--exit", "--speed", "25", "--pcap", str(CAPTURES / "bad-download.pcap")],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["agents"] == 4
    assert summary["events"] == summary["stored"] > 1000
    assert summary["lost"] == 0
    assert summary["alerts"] == summary["delivered"] >= 7
    assert summary["seconds_packet_to_cert_p95"] is not None
    assert done.stdout.count("CERT ") == summary["notifications"] + 1
    assert list(tmp_path.iterdir()) == []


def test_without_exit_it_serves_the_console_until_ctrl_c(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--speed", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout is not None
        console = ""
        for line in process.stdout:
            if found := re.fullmatch(r"console: (http://127\.0\.0\.1:\d+)\n", line):
                console = found[1]
            if "until Ctrl-C" in line:
                break
        with urllib.request.urlopen(f"{console}/") as page:
            assert b"Vertical port scan" in page.read()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_capture_that_cannot_be_played_makes_it_fail_by_name(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_bytes((CAPTURES / "bad-download.pcap").read_bytes()[:-7])
    done = subprocess.run(
        [*COMMAND, "--exit", "--speed", "1000", "--pcap", str(bad)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        env=environment(tmp_path),
    )
    assert done.returncode == 1
    assert str(bad) in done.stdout
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["failed"] == {"your-capture": 2}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--captures", "/nonexistent"], "demo.toml"),
        (["--pcap", "/nonexistent.pcap"], "/nonexistent.pcap"),
        (["--pcap", __file__], f"{__file__}: --pcap: is no capture"),
        (["--speed", "0"], "above 0"),
    ],
)
def test_wrong_use_is_code_2_with_the_way_out(wrong: list[str], message: str) -> None:
    done = subprocess.run([*COMMAND, *wrong], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_port_that_is_taken_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [part if part != "0" else str(taken.getsockname()[1]) for part in COMMAND]
        done = subprocess.run([*command, "--exit"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "choose another port" in done.stderr

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset
from schoolwacht.wire import decode_event
from schoolwacht_agent import config, unable
from schoolwacht_agent.spool import Reader
from schoolwacht_agent.status import status_of

FAULT = SourceError("there is no network interface 'mirror0'")


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'[agent]\nname = "gw"\nstate = "{tmp_path / "state"}"\n[source]\nengine = "packets"\ninterface = "mirror0"\n'
        '[uplink]\ncollectors = ["http://127.0.0.1:9"]\n'
    )
    return path


def attempt(configuration: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name != "INVOCATION_ID"}
    return subprocess.run(
        [sys.executable, "-m", "schoolwacht_agent", "run", "--only", "capture", "--config", str(configuration)],
        env=known | {"SCHOOLWACHT_AGENT_KEY": "gw.secret"} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def told(state: Path) -> list[str]:
    """The health events of that kind in the spool."""
    with Reader(state / "spool") as reader:
        portion = reader.take(2000, 1 << 22)
    events = [decode_event(item.raw) for item in portion.items] if portion is not None else []
    return [one.message or "" for one in events if one.event_dataset is Dataset.HEALTH]


def test_a_capture_that_cannot_work_says_so_in_log_status_and_a_health_event(configuration: Path) -> None:
    state = configuration.parent / "state"
    first = attempt(configuration)
    assert (first.returncode, "there is no network interface 'mirror0'" in first.stderr) == (1, True)
    assert told(state) == []
    second = attempt(configuration)
    assert "(2 attempts)" in second.stderr
    assert "doctor" in second.stderr
    (text,) = told(state)
    assert "there is no network interface 'mirror0'" in text
    attempt(configuration)
    assert len(told(state)) == 1, "told once a period"
    (problem, *_) = status_of(config.load(configuration)).problems
    assert "(3 attempts)" in problem
    assert "mirror0" in problem
    assert "doctor" in problem


def test_under_systemd_it_waits_before_it_ends(configuration: Path) -> None:
    assert "ends in 1 s" in attempt(configuration, INVOCATION_ID="0" * 32).stderr


def test_a_part_that_waits_to_be_started_again_can_be_stopped(configuration: Path) -> None:
    for at in range(6):  # the next wait is long
        unable.note(configuration.parent / "state", "capture", FAULT, now=time.time() - 6 + at)
    arguments = ["run", "--only", "capture", "--config", str(configuration)]
    program = (
        "import signal; from schoolwacht_agent.cli import main\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)  # as a part does that worked for a while\n"
        f"main({arguments!r})"
    )
    environment = os.environ | {"SCHOOLWACHT_AGENT_KEY": "gw.secret", "INVOCATION_ID": "0" * 32}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("to be started again" in line for line in process.stderr)
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM


def test_waits_double_up_to_a_minute(tmp_path: Path) -> None:
    found = [unable.note(tmp_path, "capture", FAULT, now=100.0 + at).wait for at in range(9)]
    assert found == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failures_far_apart_are_not_one(tmp_path: Path) -> None:
    unable.note(tmp_path, "capture", FAULT, now=100.0)
    assert unable.note(tmp_path, "capture", FAULT, now=1000.0).times == 1


def test_a_part_that_works_again_is_unable_no_more(tmp_path: Path) -> None:
    unable.note(tmp_path, "capture", FAULT)
    unable.clear(tmp_path, "capture")
    assert unable.read(tmp_path, "capture") is None


def test_a_damaged_file_is_no_file(tmp_path: Path) -> None:
    unable.note(tmp_path, "capture", FAULT)
    (tmp_path / "status" / "capture.unable").write_text("{")
    assert unable.read(tmp_path, "capture") is None

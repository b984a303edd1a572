from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schoolwacht_agent.app import CAPTURE
from schoolwacht_agent.cli import main, parser
from schoolwacht_agent.health import Beat, beat_path
from tests.parts import CAPTURES
from tests.schoolwacht_agent.collecting import StubCollector, collecting, status

WEB = CAPTURES / "web-and-dns.pcap"


def replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    code = main(["replay", "--engine", "packets", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def config(root: Path, *urls: str, **tables: str) -> Path:
    path = root / "agent.toml"
    text = f'[agent]\nname = "gw"\nstate = "{root / "state"}"\n[uplink]\ncollectors = {json.dumps(list(urls))}\n'
    path.write_text(text + "backoff_seconds = 0.05\nconnect_seconds = 1\n")
    return path


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StubCollector]:
    monkeypatch.setenv("SCHOOLWACHT_AGENT_KEY", "gw.secret")
    async with collecting() as stub:
        yield stub


async def run(*arguments: object) -> tuple[int, str, str]:
    """The command as a process, beside the collector that runs here."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schoolwacht_agent", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


def test_events_come_as_nested_ecs_lines_with_what_follows_from_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, said = replay(capsys, WEB, "--json")
    assert code == 0
    # What the engine cannot see is told, and nothing else.
    (told,) = said.splitlines()
    assert re.search(r"is not enough for .*\(signatures\)", told)
    events = [json.loads(line) for line in lines]
    dns = next(event for event in events if event["event"]["dataset"] == "dns")
    assert dns["event"]["category"] == ["network"]
    assert dns["client"]["ip"] == dns["source"]["ip"]
    assert dns["network"]["direction"] in {"outbound", "internal"}
    assert dns["dns"]["question"]["name"] in dns["related"]["hosts"]


def test_without_json_an_event_is_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = replay(capsys, WEB)
    assert code == 0
    assert any(" dns " in line and " > " in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_only_signals_are_printed_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = replay(capsys, CAPTURES / "port-scan.pcap", "--signals", "--json")
    assert lines
    assert {json.loads(line)["event"]["dataset"] for line in lines} == {"signal"}


def test_home_networks_decide_the_direction(capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = replay(capsys, WEB, "--json", "--home", "198.51.100.0/24", "--home", "203.0.113.0/24")
    events = [json.loads(line) for line in lines]
    assert {one["network"]["direction"] for one in events if one["event"]["dataset"] == "dns"} == {"inbound"}


def test_faulty_captures_are_named_and_the_others_are_still_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.pcap").touch()
    (tmp_path / "text.pcap").write_text("no capture")
    (tmp_path / "cut.pcap").write_bytes(WEB.read_bytes()[:3000])
    faulty = [tmp_path / name for name in ("empty.pcap", "text.pcap", "cut.pcap", "absent.pcap")]
    alone = len(replay(capsys, WEB)[1])
    code, lines, said = replay(capsys, *faulty, WEB)
    assert code == 2
    for path in faulty:
        assert f"{path}: " in said
    assert len(lines) > alone, "what could be read of the cut one counts too"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--home", "10.0.0.1/8"], "--home 10.0.0.1/8"),
        (["--home", "school"], "--home school"),
        (["--send"], "--send needs --config"),
        (["--speed", "2"], "--speed goes with --as-live"),
        (["--as-live", "--speed", "0"], "above 0"),
        (["--send", "--config", "x", "--json"], "--send prints nothing"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = replay(capsys, WEB, *arguments)
    assert code == 2
    assert reason in said


def test_a_configuration_at_fault_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nname = "gw"\nspoon = 1\n')
    for command in (["run"], ["status"], ["replay", str(WEB), "--send"]):
        assert main([*command, "--config", str(path)]) == 1
        assert f"{path}: agent.spoon: unknown setting" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error() -> None:
    shell = f"{sys.executable} -m schoolwacht_agent replay --engine packets --json {WEB} {WEB} {WEB} | head -n 1"
    done = subprocess.run(["/bin/bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "replay", "status", "doctor"])
def test_help_has_an_example_and_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parser().parse_args([command, "--help"])
    text = capsys.readouterr().out
    assert f"schoolwacht-agent {command}" in text.partition("examples:")[2]
    assert "exit codes:" in text


async def test_a_replay_is_sent_and_ends_when_everything_is_settled(tmp_path: Path, collector: StubCollector) -> None:
    path = config(tmp_path, collector.url)
    code, out, said = await run("replay", WEB, "--send", "--config", path, "--engine", "packets")
    assert (code, out) == (0, ""), said
    assert f"delivered {len(collector.events)}, rejected 0" in said
    assert len(collector.events) > 10


async def test_a_second_replay_of_the_same_capture_has_numbers_of_its_own(
    tmp_path: Path, collector: StubCollector
) -> None:
    path = config(tmp_path, collector.url)
    for _ in range(2):
        assert (await run("replay", WEB, "--send", "--config", path, "--engine", "packets"))[0] == 0
    assert len({epoch for epoch, _ in collector.events}) == 1
    assert sorted(sequence for _, sequence in collector.events) == list(range(len(collector.events)))


async def test_a_refused_key_ends_a_replay_and_keeps_the_events(tmp_path: Path, collector: StubCollector) -> None:
    collector.script = [status(403)]
    path = config(tmp_path, collector.url)
    code, _, said = await run("replay", WEB, "--send", "--config", path, "--engine", "packets")
    assert code == 1
    assert "refuses the agent's key" in said
    code, _, said = await run("replay", WEB, "--send", "--config", path, "--engine", "packets")
    assert code == 0, said
    assert sorted(sequence for _, sequence in collector.events) == list(range(len(collector.events)))


async def test_status_says_what_does_not_run_and_what_was_delivered(tmp_path: Path, collector: StubCollector) -> None:
    path = config(tmp_path, collector.url)
    await run("replay", WEB, "--send", "--config", path, "--engine", "packets")
    code, out, _ = await run("status", "--config", path)
    assert code == 1
    assert "the capture does not run" in out
    assert f"delivered  {len(collector.events)}" in out
    code, out, _ = await run("status", "--config", path, "--json")
    read = json.loads(out)
    assert read["spool"]["delivered"] == len(collector.events)
    assert read["problems"] == ["the capture does not run", "the forwarder does not run"]


async def test_doctor_finds_a_machine_that_can_work_fine(tmp_path: Path, collector: StubCollector) -> None:
    path = config(tmp_path, collector.url)
    path.write_text(path.read_text() + '[source]\nengine = "packets"\ninterface = "lo"\n')
    _, out, _ = await run("doctor", "--config", path, "--json")
    levels = {finding["check"]: finding["level"] for finding in json.loads(out)}
    rights = levels.pop("rights")
    assert rights == levels.pop("engine") == ("fine" if os.geteuid() == 0 else "fault")
    levels.pop("room")
    assert levels.pop("detections") == "warning", "this engine has no signatures"
    assert levels.pop("privacy") == "warning", "the board has made no key"
    assert set(levels.values()) == {"fine"}, out
    assert {"configuration", "key", "state", "interface", "spool", "evidence", "collector", "clock"} == set(levels)


async def test_doctor_does_not_take_a_capture_that_ended_for_one_that_sees(
    tmp_path: Path, collector: StubCollector
) -> None:
    path = config(tmp_path, collector.url)
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    beat = beat_path(tmp_path / "state", CAPTURE)
    beat.parent.mkdir(parents=True)
    beat.write_bytes(msgspec.json.encode(Beat(CAPTURE, ended.pid, datetime.now(UTC))))
    _, out, _ = await run("doctor", "--config", path, "--json")
    (finding,) = [finding for finding in json.loads(out) if finding["check"] == "sight"]
    assert (finding["level"], finding["text"]) == ("warning", "the agent has run here and does not capture now")


async def test_doctor_names_each_fault_and_what_to_do(
    tmp_path: Path, collector: StubCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHOOLWACHT_AGENT_KEY", "gw.other")
    path = config(tmp_path, "http://127.0.0.1:1", collector.url)
    path.write_text(path.read_text() + '[source]\nengine = "packets"\ninterface = "nosuch0"\n')
    code, out, _ = await run("doctor", "--config", path, "--json")
    assert code == 1
    faults = {finding["text"]: finding["remedy"] for finding in json.loads(out) if finding["level"] == "fault"}
    assert "there is no interface nosuch0" in faults
    assert any("cannot be reached" in text for text in faults)
    assert any("401" in text for text in faults)
    assert all(faults.values())


def indicators_of(tmp_path: Path, *arguments: str) -> int:
    written = tmp_path / "agent.toml"
    written.write_text(f'[agent]\nname = "gw"\nstate = "{tmp_path / "state"}"\n', encoding="utf-8")
    return main(["indicators", *arguments, "--config", str(written)])


def test_indicators_are_loaded_shown_and_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lijst"
    lines.write_text("".join(f'["domain","evil{place}.example"]\n' for place in range(10)), encoding="utf-8")
    assert indicators_of(tmp_path, "load", str(lines)) == 0
    lines.write_text('["domain","evil.example"]\n', encoding="utf-8")
    assert indicators_of(tmp_path, "load", str(lines)) == 1
    assert indicators_of(tmp_path, "show", "--json") == 0
    assert indicators_of(tmp_path, "confirm") == 0
    said = capsys.readouterr()
    assert '"number":10' in said.out
    assert '"refused":1' in said.out
    assert said.out.endswith("1 indicators are in use\n")
    assert "less than half of the 10 in use" in said.err


def test_a_faulty_line_of_indicators_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lijst"
    lines.write_text('["domain","evil.example"]\n["domain","EVIL"]\n', encoding="utf-8")
    assert indicators_of(tmp_path, "load", str(lines)) == 1
    assert f"{lines}:2: value:" in capsys.readouterr().err


def test_load_takes_a_file_and_show_takes_none(tmp_path: Path) -> None:
    assert indicators_of(tmp_path, "load") == 2
    assert indicators_of(tmp_path, "show", "lijst") == 2


def test_a_replay_matches_the_indicators_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lijst"
    lines.write_text(
        '["network","203.0.113.0/24"]\n["network","198.51.100.0/24"]\n["network","192.0.2.0/24"]\n', encoding="utf-8"
    )
    capture = str(CAPTURES / "bad-tls.pcap")
    assert main(["replay", capture, "--engine", "packets", "--signals", "--json", "--indicators", str(lines)]) == 0
    assert '"detection":"D24"' in capsys.readouterr().out

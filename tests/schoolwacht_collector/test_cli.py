"""The command as an administrator runs it: real files, a real SQLite store, the real process for ``serve``."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from schoolwacht.wire import Verdict
from schoolwacht_collector import secret
from schoolwacht_collector.app import make_store
from schoolwacht_collector.cli import main
from schoolwacht_collector.config import load
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.query.ast import All
from tests.schoolwacht_collector.notify.test_courier import delivery
from tests.schoolwacht_collector.serving import deliver, flow

COMMANDS = [
    "init",
    "serve",
    "enrol",
    "schools",
    "disable",
    "enable",
    "migrate",
    "expire",
    "backup",
    "restore",
    "deadletters",
    "doctor",
]


@pytest.fixture(autouse=True)
def _no_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "collector.toml"
    path.write_text(
        f"""
        [collector]
        state = "{tmp_path / "state"}"
        [intake]
        listen = "127.0.0.1:{free_port()}"
        [console]
        listen = "127.0.0.1:{free_port()}"
        """
    )
    return path


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def enrol(config: Path, *more: str) -> int:
    return main(["enrol", "gateway-1", "--school", "00AB00", "--board", "12345", "--config", str(config), *more])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"schoolwacht-collector {command}" in re.split("examples?:", capsys.readouterr().out)[1]


def test_wrong_use_is_exit_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["enrol"])
    assert ended.value.code == 2


def test_init_is_safe_to_run_again(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config", str(config), "--json"]) == 0
    first = answer(capsys)
    assert main(["init", "--config", str(config), "--json"]) == 0
    assert answer(capsys) == first
    assert stat.S_IMODE((tmp_path / "state" / "secret").stat().st_mode) == 0o600


def test_init_does_not_make_a_second_secret_for_a_store_that_is_used(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    enrol(config)
    (tmp_path / "state" / "secret").unlink()
    assert main(["init", "--config", str(config)]) == 1
    assert "another secret" in capsys.readouterr().err
    assert main(["init", "--config", str(config), "--new-secret"]) == 0
    assert (tmp_path / "state" / "secret").exists()


def test_a_missing_configuration_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config", str(tmp_path / "nothing.toml")]) == 1
    assert "nothing.toml: cannot be read" in capsys.readouterr().err


def test_enrol_shows_the_key_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    capsys.readouterr()
    assert enrol(config, "--json") == 0
    found = answer(capsys)
    assert found["key"].startswith("gateway-1.")
    assert (found["board"], found["schools"]) == ("12345", ["00AB00"])
    assert enrol(config) == 1
    assert "enrolled already" in capsys.readouterr().err
    assert enrol(config, "--replace", "--json") == 0
    assert answer(capsys)["key"] != found["key"]


def test_enrol_writes_the_key_to_a_file_of_the_agent_alone(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    file = tmp_path / "agent.key"
    assert enrol(config, "--key-file", str(file)) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("gateway-1.")
    assert file.read_text().strip() not in capsys.readouterr().out


def test_a_key_file_that_exists_is_not_overwritten_and_nobody_is_enrolled(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    file = tmp_path / "agent.key"
    file.write_text("other")
    assert enrol(config, "--key-file", str(file)) == 1
    assert "agent.key" in capsys.readouterr().err
    assert file.read_text() == "other"
    assert enrol(config) == 0


def test_a_failed_enrolment_leaves_no_key_file(config: Path, tmp_path: Path) -> None:
    main(["init", "--config", str(config)])
    file = tmp_path / "agent.key"
    assert main(["enrol", "BAD NAME", "--school", "00AB00=1", "--config", str(config), "--key-file", str(file)]) == 1
    assert not file.exists()


def test_a_sensor_of_many_schools_is_enrolled_with_pairs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    capsys.readouterr()
    pairs = ["--school", "00AB00=12345", "--school", "11CD01=23456", "--school", "11CD02"]
    enrol = ["enrol", "ndc", *pairs, "--board", "99999", "--config", str(config), "--json"]
    assert main(enrol) == 1
    assert "--standpoint ndc" in capsys.readouterr().err
    assert main([*enrol, "--standpoint", "ndc"]) == 0
    said = answer(capsys)
    assert (said["schools"], said["standpoint"], said["board"]) == (["00AB00", "11CD01", "11CD02"], "ndc", "ndc")


def test_the_schools_of_a_sensor_are_changed_by_a_file_and_its_key_stays(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    file = tmp_path / "schools.csv"
    file.write_text("location,board\n00AB00,12345\n")
    options = ["--schools-file", str(file), "--config", str(config), "--json"]
    capsys.readouterr()
    assert main(["enrol", "ndc", "--standpoint", "ndc", *options]) == 0
    capsys.readouterr()
    file.write_text("location,board\n00AB00,12345\n11CD01,23456\n")
    assert main(["schools", "ndc", *options]) == 0
    assert answer(capsys) == {"agent": "ndc", "schools": ["00AB00", "11CD01"]}
    enrol(config)
    capsys.readouterr()
    assert main(["schools", "gateway-1", *options]) == 1
    assert "gateway-1 is a gateway's" in capsys.readouterr().err
    assert main(["schools", "ghost", *options]) == 1
    assert "no agent named ghost" in capsys.readouterr().err


def test_a_school_without_board_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    assert main(["enrol", "ndc", "--school", "00AB00", "--config", str(config)]) == 1
    assert "--school 00AB00=BOARD" in capsys.readouterr().err


def test_disabling_a_name_that_nobody_has_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    assert main(["disable", "ghost", "--config", str(config)]) == 1
    assert "no agent named ghost" in capsys.readouterr().err


def test_enrol_before_init_names_the_way_out(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrol(config) == 1
    assert "schoolwacht-collector init" in capsys.readouterr().err


def test_migrate_keeps_what_is_there(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    enrol(config)
    assert main(["migrate", "--config", str(config)]) == 0
    assert main(["disable", "gateway-1", "--config", str(config)]) == 0


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    return {found["subject"]: (found["level"], found["detail"]) for found in answer(capsys)["findings"]}


def test_doctor_finds_nothing_wrong_with_a_collector_that_is_ready(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    enrol(config)
    capsys.readouterr()
    assert main(["doctor", "--config", str(config), "--json"]) == 0
    found = findings(capsys)
    assert {found[name][0] for name in ("state", "secret", "store", "intake.listen", "console.listen")} == {"ok"}


def test_doctor_says_what_is_missing_before_init(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--config", str(config), "--json"]) == 1
    found = findings(capsys)
    assert {name for name, (level, _) in found.items() if level == "fault"} == {"state", "secret", "store"}
    assert all("schoolwacht-collector init" in found[name][1] for name in ("state", "secret", "store"))


def test_doctor_names_damaged_and_misnamed_files(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    store = tmp_path / "state" / "store"
    for day in ("2026-03-01", "2026-03-02", "2026-03-03", "2026-02-30"):
        (store / f"events-{day}.sqlite").write_bytes(b"no database at all" * 500)
    capsys.readouterr()
    assert main(["doctor", "--config", str(config), "--json"]) == 1
    found = [(each["level"], each["detail"]) for each in answer(capsys)["findings"] if each["subject"] == "files"]
    assert len(found) == 4
    # The newest two were set aside when the store was opened.
    assert [level for level, detail in found if "events-2026-03-01.sqlite is damaged" in detail] == ["fault"]
    assert [level for level, detail in found if ".damaged-" in detail] == ["warning"] * 2
    assert [level for level, detail in found if "events-2026-02-30.sqlite names no day" in detail] == ["warning"]


def test_doctor_says_what_a_target_could_not_be_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret_file = config.parent / "cert.secret"
    secret_file.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    secret_file.chmod(0o600)
    config.write_text(
        config.read_text() + f'[[notify]]\ntype = "webhook"\nname = "cert"\nurl = "http://127.0.0.1:9/x"\n'
        f'secret_file = "{secret_file}"\nallow_private = true\n'
    )
    main(["init", "--config", str(config)])
    capsys.readouterr()
    assert main(["doctor", "--config", str(config), "--json"]) == 0
    assert findings(capsys)["notifications"] == ("ok", "cert")

    async def fill() -> None:
        store = make_store(load(config))
        await store.open()
        waiting = {"msg_1": None, "msg_2": "connection refused", "msg_3": "connection refused"}
        for name, fault in waiting.items():
            await store.put(Kind.DELIVERY, replace(delivery(name), last_error=fault), None)
        await store.close()

    asyncio.run(fill())
    assert main(["doctor", "--config", str(config), "--json"]) == 0
    level, detail = findings(capsys)["notifications"]
    assert level == "warning"
    assert detail.startswith("2 wait for cert since ")
    assert detail.endswith(": connection refused")


def test_doctor_finds_a_port_that_is_taken(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    capsys.readouterr()
    port = int(next(line for line in config.read_text().splitlines() if "listen" in line).split(":")[1].strip('"'))
    with socket.create_server(("127.0.0.1", port)):
        assert main(["doctor", "--config", str(config), "--json"]) == 1
    assert findings(capsys)["intake.listen"][0] == "fault"


def test_doctor_names_a_fault_of_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "collector.toml"
    path.write_text("[store]\nkind = 1\n")
    assert main(["doctor", "--config", str(path)]) == 1
    assert "store.kind" in capsys.readouterr().out


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
                assert response.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail("the collector did not become ready")


def serve(config: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A collector process and the URL of its intake."""
    port = next(line for line in config.read_text().splitlines() if "listen" in line).split(":")[1].strip('"')
    process = subprocess.Popen(
        [sys.executable, "-m", "schoolwacht_collector.cli", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != secret.VARIABLE},
    )
    return process, f"http://127.0.0.1:{port}"


def test_serve_takes_batches_and_ends_on_sigterm(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "--config", str(config)])
    capsys.readouterr()
    enrol(config, "--json")
    key = answer(capsys)["key"]
    process, url = serve(config)
    try:
        wait_ready(url, process)
        reply = asyncio.run(deliver(url, key, [flow(source_ip="10.9.8.7"), flow(source_ip="nonsense")]))
        assert reply.verdicts == [Verdict.DELIVERED, Verdict.REJECTED]
        assert main(["doctor", "--config", str(config), "--json"]) == 0
        assert findings(capsys)["intake.listen"] == (
            "ok",
            f"{url.removeprefix('http://')}: a collector listens there",
        )
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[-1]["message"] == "stopped"
    assert {line["level"] for line in lines} <= {"info", "warning"}
    for planted in (
        key.partition(".")[2],
        "10.9.8.7",
        "nonsense",
        (config.parent / "state" / "secret").read_text().strip(),
    ):
        assert planted.encode() not in log


async def _deliver_until_killed(url: str, key: str, process: subprocess.Popen[bytes]) -> set[int]:
    """Sequences that were acknowledged before the process was killed in the middle of the load."""
    acknowledged: set[int] = set()
    killed = asyncio.Event()

    async def agent(place: int) -> None:
        for number in range(place * 1000, place * 1000 + 1000):
            first = 1 + 20 * number
            try:
                reply = await deliver(url, key, [flow() for _ in range(20)], first=first)
            except (aiohttp.ClientError, ConnectionError):
                return
            assert reply.verdicts == [Verdict.DELIVERED] * 20
            acknowledged.update(range(first, first + 20))
            if len(acknowledged) >= 1000 and not killed.is_set():
                process.kill()
                killed.set()

    async with asyncio.timeout(60):
        await asyncio.gather(*(agent(place) for place in range(6)))
    return acknowledged


def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", "--config", str(config)])
    capsys.readouterr()
    enrol(config, "--json")
    key = answer(capsys)["key"]
    process, url = serve(config)
    try:
        wait_ready(url, process)
        acknowledged = asyncio.run(_deliver_until_killed(url, key, process))
    finally:
        process.kill()
        process.communicate()
    assert len(acknowledged) >= 1000

    async def stored() -> set[int]:
        store = make_store(load(config))
        await store.open()
        try:
            page = await store.search(Search(Kind.EVENT, All(), SECTOR, limit=10_000))
        finally:
            await store.close()
        assert page.next is None
        return {row["event.sequence"] for row in page.rows}

    assert acknowledged <= asyncio.run(stored())

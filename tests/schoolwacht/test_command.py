"""The three commands against standard streams and arguments that are not as they should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from schoolwacht.command import DONE, FAILED, INTERRUPTED, WRONG, perform
from schoolwacht.errors import SchoolwachtError
from schoolwacht_agent import cli as agent
from schoolwacht_collector import cli as collector
from schoolwacht_console import cli as console
from tests.parts import CAPTURES

COMMANDS = {
    "schoolwacht": "schoolwacht_console.cli",
    "schoolwacht-agent": "schoolwacht_agent.cli",
    "schoolwacht-collector": "schoolwacht_collector.cli",
}
REPLAY = ("replay", "--engine", "packets", "--json", str(CAPTURES / "web-and-dns.pcap"))


def run(name: str, *arguments: str, shell: str = "") -> tuple[int, str, str]:
    """The command's exit status, output and errors; ``shell`` redirects its streams."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", COMMANDS[name], *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("name", "shell"),
    [("schoolwacht", ">&-"), ("schoolwacht-agent", ">/dev/full"), ("schoolwacht-collector", ">/dev/full")],
)
def test_output_that_cannot_be_written_is_one_line_and_status_1(name: str, shell: str) -> None:
    status, _, said = run(name, "--help", shell=shell)
    assert status == FAILED
    assert said.startswith(f"{name}: standard output: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("shell", [">&-", ">/dev/full"], ids=["closed", "full"])
def test_a_replay_that_nobody_can_read_is_one_line_and_status_1(shell: str) -> None:
    status, _, said = run("schoolwacht-agent", *REPLAY, shell=shell)
    assert status == FAILED
    assert said.startswith("schoolwacht-agent: standard output: ")
    assert said.count("\n") == 1


def test_a_reader_that_has_enough_is_no_fault() -> None:
    status, said, _ = run("schoolwacht-agent", *REPLAY, shell="| head -c 10")
    assert (status, said) == (DONE, '{"@timesta')


def test_without_any_stream_a_command_still_ends_with_its_status() -> None:
    assert run("schoolwacht-agent", *REPLAY, shell="<&- >&- 2>&-") == (FAILED, "", "")
    assert run("schoolwacht-collector", "enrol", shell="<&- >&- 2>&-") == (WRONG, "", "")


def test_a_closed_stream_is_no_place_for_a_file() -> None:
    # Or the first file that the command opens becomes its standard output.
    code = "import os; from schoolwacht.command import perform; raise SystemExit(perform('x', lambda: os.open('/', 0)))"
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", code], check=False, capture_output=True
    )
    assert done.returncode > 2


@pytest.mark.parametrize(
    "arguments", [("search", "\udcff\udcfe"), ("alerts", "show", "\udcff"), ("agents", "--url", "http://\udcff")]
)
def test_an_argument_that_is_no_text_is_wrong_use(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.main(arguments) == WRONG
    said = capsys.readouterr().err
    assert "\\udcff" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("url", ["http://[", "http://localhost:port", "http://a..b", "localhost:8480"])
def test_an_address_that_is_none_is_wrong_use(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["agents", "--url", url]) == WRONG
    said = capsys.readouterr().err
    assert said.startswith("schoolwacht: --url: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "main", "command"),
    [("schoolwacht-agent", agent.main, "run"), ("schoolwacht-collector", collector.main, "serve")],
)
def test_a_configuration_without_end_is_refused(
    name: str, main: Callable[[Sequence[str]], int], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--config", "/dev/zero"]) == FAILED
    assert capsys.readouterr().err == f"{name}: /dev/zero: is larger than 1 MiB: this is no configuration\n"


def test_errors_become_a_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> int:
        raise error

    assert perform("x", lambda: raising(SchoolwachtError("is wrong", path="f"))) == FAILED
    assert perform("x", lambda: raising(OSError(2, "is not there", "file"))) == FAILED
    assert perform("x", lambda: raising(OSError(5, "input/output error"))) == FAILED
    assert perform("x", lambda: raising(KeyboardInterrupt())) == INTERRUPTED
    assert capsys.readouterr().err == "x: f: is wrong\nx: file: is not there\nx: the system: input/output error\n"


def test_a_broken_pipe_that_is_not_the_output_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            return os.write(writer, b"x")
        finally:
            os.close(writer)

    assert perform("x", work) == FAILED
    assert "Broken pipe" in capsys.readouterr().err


def test_what_the_work_returns_is_the_status(tmp_path: Path) -> None:
    assert perform("x", lambda: 42) == 42

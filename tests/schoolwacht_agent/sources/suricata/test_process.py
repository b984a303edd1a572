"""A process of our own: its words, its end, and what an earlier run left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.suricata.process import Process, Word, end_left_over, read_words


def script(tmp_path: Path, body: str) -> str:
    """A program in Suricata's place."""
    path = tmp_path / "engine"
    path.write_text(f"#!{sys.executable}\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def wait_for(condition: object, seconds: float = 10.0) -> bool:
    assert callable(condition)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split(") ")[1][0] != "Z"
    except OSError:
        return False


SLEEP = "import time; print('klaar', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


@pytest.mark.parametrize("body", [SLEEP, STUBBORN])
def test_a_process_ends_even_if_it_does_not_want_to(tmp_path: Path, body: str) -> None:
    process = Process(script(tmp_path, body), tmp_path, [])
    pid = int((tmp_path / "engine.pid").read_text(encoding="ascii"))
    assert wait_for(process.words)
    process.end(0.3)
    assert process.ended() is not None
    assert not alive(pid)
    assert not (tmp_path / "engine.pid").exists()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    process_or_error: object
    try:
        process = Process("/nergens/suricata", tmp_path, [])
    except SourceError as error:
        process_or_error = error.message
    else:
        assert wait_for(lambda: process.ended() is not None)
        process_or_error = process.failure()
    assert "No such file" in str(process_or_error)


def test_the_words_of_suricatas_log_are_read_in_both_forms(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(
        b'{"timestamp":"x","log_level":"Error","event_type":"engine","engine":{"message":"unknown rule keyword",'
        b'"module":"detect-parse"}}\n'
        b"E: conf-yaml-loader: failed to parse\n"
        b"i: suricata: This is Suricata\n"
        b"Error: suricata: pcap file 'x': No such file\n"
        b"\xff\xfe\n"
    )
    assert read_words(log) == [
        Word("Error", "detect-parse", "unknown rule keyword"),
        Word("Error", "conf-yaml-loader", "failed to parse"),
        Word("Notice", "suricata", "This is Suricata"),
        Word("Error", "suricata", "pcap file 'x': No such file"),
        Word("Notice", "", "\\xff\\xfe"),
    ]
    assert read_words(tmp_path / "nergens.log") == []


def test_an_end_by_a_signal_is_told(tmp_path: Path) -> None:
    process = Process(script(tmp_path, "import os; os.kill(os.getpid(), 9)"), tmp_path, [])
    assert wait_for(lambda: process.ended() is not None)
    assert process.failure() == "it was ended by signal 9"


def test_a_silent_failure_tells_its_status(tmp_path: Path) -> None:
    process = Process(script(tmp_path, "raise SystemExit(3)"), tmp_path, [])
    assert wait_for(lambda: process.ended() is not None)
    assert process.failure() == "it ended with status 3 and said nothing of it"


def test_what_an_earlier_run_left_behind_is_ended(tmp_path: Path) -> None:
    left = Process(script(tmp_path, SLEEP), tmp_path, [])
    assert wait_for(left.words)
    end_left_over(tmp_path)
    assert wait_for(lambda: left.ended() is not None)


def test_another_process_under_the_old_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        (tmp_path / "engine.pid").write_text(f"{other.pid}\n", encoding="ascii")
        end_left_over(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()


@pytest.mark.parametrize("text", ["", "niets", "999999999"])
def test_a_useless_note_of_an_earlier_run_is_no_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.pid").write_text(text, encoding="ascii")
    end_left_over(tmp_path)
    end_left_over(tmp_path / "nergens")


def test_a_killed_agent_takes_its_engine_with_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from schoolwacht_agent.sources.suricata.process import Process\n"
        "Process(sys.argv[1], Path(sys.argv[2]), [])\nprint('klaar', flush=True); time.sleep(60)"
    )
    agent = subprocess.Popen([sys.executable, "-c", program, script(tmp_path, SLEEP), tmp_path], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    agent.stdout.readline()
    engine = int((tmp_path / "engine.pid").read_text(encoding="ascii"))
    assert wait_for(lambda: read_words(tmp_path / "engine.log"))
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    agent.stdout.close()
    assert wait_for(lambda: not alive(engine))

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.unkept import Unkept

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.unkept import Unkept
unkept = Unkept(Path(sys.argv[1]), len)
unkept.take([Event(datetime.now(UTC), Dataset.FLOW)] * 7)
unkept.note(2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_process_finds_what_a_killed_one_had_not_kept(tmp_path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False).returncode == -9
    assert Unkept(tmp_path, len).before == 5
    assert Unkept(tmp_path, len).before == 0


def test_what_can_be_read_again_is_not_counted(tmp_path: Path) -> None:
    unkept = Unkept(tmp_path, lambda _: 0)
    unkept.take([Event(datetime.now(UTC), Dataset.DNS)])
    unkept.note(0)
    assert Unkept(tmp_path, len).before == 0


def test_a_file_that_is_none_of_ours_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "unkept").write_bytes(b"x" * 100)
    assert Unkept(tmp_path, len).before == 0

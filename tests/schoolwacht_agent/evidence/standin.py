"""Programs in tshark's place, for what the real one cannot be made to show, and jobs for the real one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TypeVar

from schoolwacht_agent.evidence.dissect import Decoded, Described, Job
from schoolwacht_agent.evidence.run import Run
from tests.parts import program

T = TypeVar("T", Decoded, Described)
MEMORY = 256 << 20


def real_tshark() -> Path:
    return program("tshark", "tshark")


def stand_in(directory: Path, script: str) -> Path:
    """A shell script in tshark's place, where the decoding process can run it."""
    directory.mkdir(exist_ok=True)
    path = directory / "tshark"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def job(tshark: Path, *, packets: int = 64, cpu: int = 5, names: frozenset[str] = frozenset()) -> Job:
    return Job(str(tshark), MEMORY, cpu, packets=packets, names=names)


def answer(run: Run[T]) -> T:
    while not run.done():
        time.sleep(0.01)
    return run.answer()


def processes_of(session: int) -> list[int]:
    """The living processes of a session, zombies apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def gone(session: int, seconds: float = 10.0) -> bool:
    """Whether no process of a session is left, within some seconds."""
    until = time.monotonic() + seconds
    while processes_of(session):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def name_of(pid: int) -> str:
    """What a process is called; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def resident(pid: int) -> int:
    """Bytes of memory that a process has now; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0

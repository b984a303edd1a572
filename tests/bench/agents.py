"""Agents as processes of their own, for benchmarks: configured, started, watched by their beats and by /proc, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from schoolwacht.errors import SchoolwachtError
from schoolwacht_agent.health import Beat, last_beat

_TICKS = os.sysconf("SC_CLK_TCK")

#: Tables of agent.toml, by name; a value is a text, a number, a truth or a list of them.
Tables = Mapping[str, Mapping[str, object]]


def write_config(root: Path, tables: Tables) -> Path:
    """An ``agent.toml`` in ``root``; the state lies beside it."""
    merged = {"agent": {"name": "bench", "state": str(root / "state")}} | {
        name: dict(table) for name, table in tables.items()
    }
    merged["agent"] = {"name": "bench", "state": str(root / "state")} | merged["agent"]
    lines = []
    for name, table in merged.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
    path = root / "agent.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


class Part:
    """One part of an agent, running.

    Args:
        config: its ``agent.toml``; the state lies beside it.
        part: ``capture`` or ``forwarder``.
        wrap: makes the command line, to run it elsewhere.
        environment: in addition to this process's.
    """

    def __init__(
        self,
        config: Path,
        part: str,
        *,
        wrap: Callable[[Sequence[str]], list[str]] = list,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.part = part
        self._state = config.parent / "state"
        self.log = config.parent / f"{part}.log"
        self.started = time.monotonic()
        command = [sys.executable, "-m", "schoolwacht_agent", "run", "--config", str(config), "--only", part]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                wrap(command), stdout=log, stderr=log, env=os.environ | dict(environment or {})
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def beat(self) -> Beat | None:
        """What it said last since it was started; None if nothing yet."""
        found = last_beat(self._state, self.part)
        if found is None or found[0].pid != self.process.pid:
            return None
        return found[0]

    def wait(self, until: Callable[[], bool], seconds: float, *, every: float = 0.02) -> bool:
        """Wait until something is so; False after so many seconds. Raises SchoolwachtError if the part has ended."""
        end = time.monotonic() + seconds
        while not until():
            if self.process.poll() is not None:
                raise SchoolwachtError(f"the {self.part} ended: {self.log.read_text(errors='replace')[-2000:]}")
            if time.monotonic() > end:
                return False
            time.sleep(every)
        return True

    def listens(self) -> bool:
        """Whether there is a packet socket in its network namespace."""
        with suppress(OSError):
            lines = Path(f"/proc/{self.process.pid}/net/packet").read_text(encoding="ascii").splitlines()
            return len(lines) > 1
        return False

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all below it."""
    total = 0
    for one in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory(pid: int, field: str = "VmRSS") -> int:
    """A figure of ``/proc/PID/status`` in bytes: VmRSS now, VmHWM at most."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    return 0


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables until the block ends."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

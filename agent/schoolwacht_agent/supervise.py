"""Keeps the two parts of the agent alive, each in a process of its own.

A part that dies is started again after a wait that doubles, up to a minute, and begins small again after a minute of
life. A part whose beat is older than :data:`HUNG_SECONDS` is killed. Stopping asks both to end and waits for them.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from schoolwacht_agent.health import beat_path

log = logging.getLogger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
GOOD_LIFE = 60.0
HUNG_SECONDS = 120.0
#: A service manager's own patience is longer than this.
STOP_SECONDS = 25.0


class Part:
    """One child.

    Args:
        name: as in its beats.
        command: the program and its arguments.
        beats: the file that it touches while it lives.
    """

    def __init__(self, name: str, command: Sequence[str], beats: Path) -> None:
        self.name = name
        self.restarts = 0
        self._command = list(command)
        self._beats = beats
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process is not None else None

    def look(self) -> str | None:
        """Start it if it is due, notice if it has died. Returns what happened to it, in plain words, if it died."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self._started = now
                self._process = subprocess.Popen(self._command)  # noqa: S603 - our own program
            return None
        if self._process.poll() is None:
            if not self._is_hung(now):
                return None
            log.warning("the %s says nothing and is killed", self.name)
            self._process.kill()
        code = self._process.wait()
        self._process = None
        self._failures = 1 if now - self._started >= GOOD_LIFE else self._failures + 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (self._failures - 1))
        self._due = time.monotonic() + wait
        self.restarts += 1
        return f"the {self.name} {_ended(code)}; it is started again in {wait:.0f} s"

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def reload(self) -> None:
        """Tell it to read its files again."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def wait(self, until: float) -> None:
        """Wait for its end until a moment of the monotonic clock; then kill it."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("the %s does not end and is killed", self.name)
            self._process.kill()
            self._process.wait()
        self._process = None

    def _is_hung(self, now: float) -> bool:
        if now - self._started < HUNG_SECONDS:
            return False
        try:
            return time.time() - self._beats.stat().st_mtime > HUNG_SECONDS
        except OSError:
            return True


class Supervisor:
    """The parent of the parts.

    Args:
        parts: by name, the command of each.
        state: the agent's state directory.
        died: called with the part's name, how often it was restarted, and what happened, while the part is down.
        reloading: the parts that take SIGHUP.
    """

    def __init__(
        self,
        parts: dict[str, Sequence[str]],
        state: Path,
        *,
        died: Callable[[str, int, str], None],
        reloading: Sequence[str] = (),
    ) -> None:
        self.parts = {name: Part(name, command, beat_path(state, name)) for name, command in parts.items()}
        self._died = died
        self._reloading = tuple(reloading)
        self._stopping = False

    def stop(self) -> None:
        """End :meth:`run`. Safe in a signal handler."""
        self._stopping = True

    def _pass_on(self) -> None:
        for name in self._reloading:
            self.parts[name].reload()

    def run(self) -> None:
        """Until :meth:`stop`, which SIGTERM and SIGINT call. SIGHUP is passed on to the parts of ``reloading``."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self._pass_on())
        try:
            while not self._stopping:
                for part in self.parts.values():
                    happened = part.look()
                    if happened is not None:
                        log.warning("%s", happened)
                        self._died(part.name, part.restarts, happened)
                time.sleep(0.2)
        finally:
            for part in self.parts.values():
                part.stop()
            until = time.monotonic() + STOP_SECONDS
            for part in self.parts.values():
                part.wait(until)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"

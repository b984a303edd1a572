"""One Suricata of our own: started, listened to, and ended by its pid.

It writes what it has to say as JSON lines to ``engine.log`` in its directory; from there come the words of an error.
It dies with the agent, even if that is killed: by systemd, elsewhere by ``setpriv --pdeathsig``, where util-linux has
it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.errors import SourceError

_LOG = "engine.log"
_PID = "engine.pid"
_LOG_MAX = 1 << 20
_FAULTS = frozenset({"Error", "Critical", "Alert", "Emergency"})
_STARTED = "Engine started"


class Word(NamedTuple):
    """One thing that Suricata said: how bad it is, which part of it said it, and what."""

    level: str
    module: str
    message: str


class _Engine(msgspec.Struct):
    message: str = ""
    module: str = ""


class _LogLine(msgspec.Struct):
    log_level: str = ""
    engine: _Engine = msgspec.field(default_factory=_Engine)


class Process:
    """A running Suricata.

    Args:
        binary: the program.
        directory: of its own; ``suricata.yaml`` stands in it.
        arguments: beside ``-c`` and ``-l``.

    Raises SourceError if it cannot be started.
    """

    def __init__(self, binary: str, directory: Path, arguments: Sequence[str]) -> None:
        self._directory = directory
        command = [binary, "-c", str(directory / "suricata.yaml"), "-l", str(directory), *arguments]
        # systemd (INVOCATION_ID) ends what a service leaves behind, and its filter forbids what setpriv needs.
        if (setpriv := shutil.which("setpriv")) and "INVOCATION_ID" not in os.environ:
            command = [setpriv, "--pdeathsig", "TERM", "--", *command]
        try:
            with (directory / _LOG).open("wb") as log:
                # The program and its arguments are the operator's settings; no shell is involved.
                self._child = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    env=_environment(),
                )
        except OSError as error:
            raise SourceError(f"Suricata cannot be started: {error.strerror}", path=binary) from error
        (directory / _PID).write_text(f"{self._child.pid}\n", encoding="ascii")

    def ended(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._child.poll()

    def words(self) -> list[Word]:
        """What it has said so far."""
        return read_words(self._directory / _LOG)

    def has_started(self) -> bool:
        """Whether it has loaded everything and looks at packets."""
        return any(_STARTED in word.message for word in self.words())

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    def end(self, seconds: float = 10.0) -> None:
        """SIGTERM, and if it has not ended after some seconds SIGKILL; gone when this returns."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        with contextlib.suppress(OSError):
            (self._directory / _PID).unlink()

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        self._child.wait()

    def failure(self) -> str:
        """Why it ended, in its own words where it said any."""
        said = "; ".join(dict.fromkeys(word.message.rstrip(".") for word in self.words() if word.level in _FAULTS))
        status = self._child.poll()
        if said:
            return said[:2000]
        if status is not None and status < 0:
            return f"it was ended by signal {-status}"
        return f"it ended with status {status} and said nothing of it"


def read_words(log: Path) -> list[Word]:
    """The lines of an engine log: JSON, or (before its configuration is read) plain text that tells an error."""
    try:
        with log.open("rb") as file:
            lines = file.read(_LOG_MAX).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=_LogLine)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            text = line.decode("utf-8", "backslashreplace").strip()
            level, _, rest = text.partition(": ")
            module, _, message = rest.partition(": ")
            is_fault = level in {"E", "Error", "setpriv"}
            found.append(Word("Error" if is_fault else "Notice", module if message else "", message or rest or text))
        else:
            found.append(Word(entry.log_level, entry.engine.module, entry.engine.message))
    return found


def end_left_over(directory: Path, seconds: float = 10.0) -> None:
    """End a Suricata that an earlier run of the agent left in this directory (by its pid, if it is still that one)."""
    try:
        pid = int((directory / _PID).read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if os.fsencode(directory / "suricata.yaml") not in command:
        return
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if _gone(handle, seconds):
                return
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _gone(handle: int, seconds: float) -> bool:
    return bool(select.select([handle], [], [], seconds)[0])


def _environment() -> dict[str, str]:
    """UTC, so that timestamps need no conversion; of the rest only where programs and temporary files are."""
    return {name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ} | {
        "TZ": "UTC"
    }

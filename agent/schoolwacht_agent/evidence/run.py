"""One run of the decoding process, watched from outside without ever waiting for it.

Promise: however it ends (well, by a fault, by its limits, by the watchdog, with the agent), its whole process group is
gone, and nothing of it is left but its answer.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from schoolwacht_agent.evidence.dissect import ALL_MAX, Decoded, Described, Job

T = TypeVar("T", Decoded, Described)
_ANSWER, _WORDS = "answer.json", "words"
_CAPTURE = "packets.pcap"
_WORDS_MAX = 500


class Failed(Exception):  # noqa: N818 - says what became of the run
    """There is no answer; the text says why, in plain words.

    ``words`` is what the program said last. It may hold text from the packets, and stays at the school.
    """

    def __init__(self, text: str, words: str = "") -> None:
        super().__init__(text)
        self.words = words


class Run(Generic[T]):
    """A decoding in progress.

    Args:
        directory: of its own; made, and gone after :meth:`answer`.
        job: what to do; ``job.capture`` is set here.
        kind: of the answer.
        seconds: after which it is ended.
        capture: the packets to decode, a capture file.
    """

    def __init__(self, directory: Path, job: Job, kind: type[T], *, seconds: float, capture: bytes = b"") -> None:
        self._directory = directory
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._seconds = seconds
        job = msgspec.structs.replace(job, parent=os.getpid())
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        if capture:
            path = directory / _CAPTURE
            path.write_bytes(capture)
            job = msgspec.structs.replace(job, capture=_CAPTURE)
            if os.geteuid() == 0:
                # The process gives root's account up, and can reach these by its working directory only.
                path.chmod(0o444)
                directory.chmod(0o711)
        self._began = time.monotonic()
        with (directory / _ANSWER).open("wb") as answer, (directory / _WORDS).open("wb") as words:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "schoolwacht_agent.evidence.dissect", msgspec.json.encode(job).decode()],
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=words,
                cwd=directory,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its first process, which leads the group."""
        return self._process.pid

    def done(self) -> bool:
        """Whether there is an answer to fetch; ends what takes too long."""
        if self._process.poll() is not None:
            return True
        return time.monotonic() - self._began > self._seconds

    def answer(self) -> T:
        """The answer, once it is done. Raises Failed."""
        late = self._process.poll() is None
        self._kill()
        try:
            if late:
                raise Failed(f"decoding took more than {self._seconds:g} s and was ended", self._words())
            code = self._process.returncode
            if code != 0:
                raise Failed(f"decoding ended with {_said(code)}", self._words())
            path = self._directory / _ANSWER
            if path.stat().st_size > 4 * ALL_MAX:
                raise Failed("decoding gave more than it may")
            return self._decoder.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            raise Failed(f"decoding gave no answer that can be read: {error}") from error
        finally:
            self.end()

    def end(self) -> None:
        """Kill it with all its children, wait until it is gone, and clear up. Any number of times."""
        self._kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _words(self) -> str:
        with suppress(OSError):
            lines = (
                (self._directory / _WORDS).read_bytes()[-_WORDS_MAX:].decode("utf-8", "backslashreplace").split("\n")
            )
            if last := next((line.strip() for line in reversed(lines) if line.strip()), ""):
                return last
        return ""


def _said(code: int) -> str:
    # The outer process exits as the inner one ended: a signal's number is negative, and kept in eight bits.
    number = -code if code < 0 else 256 - code if code > 128 else 0
    if number:
        with suppress(ValueError):
            return signal.Signals(number).name
    return f"exit code {code}"


def _environment() -> dict[str, str]:
    """Nothing of the agent's environment: its key may be in it."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

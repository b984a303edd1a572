"""Where EVE lines come from: a replayed capture, a Suricata of our own at an interface, or somebody else's EVE file.

Each gives lists of lines (an empty list is a tick of about a second), knows where it can go on, and can be stopped
from a signal handler: :meth:`stop` only sets a flag.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from schoolwacht.errors import CaptureError, SourceError
from schoolwacht_agent.config import SuricataTable
from schoolwacht_agent.sources.suricata.capture import Unpacked, check_capture
from schoolwacht_agent.sources.suricata.configuration import Version, configuration
from schoolwacht_agent.sources.suricata.indicators import RULES, Refresher
from schoolwacht_agent.sources.suricata.process import Process, end_left_over
from schoolwacht_agent.sources.suricata.tail import CHUNK, GAP, LINE_MAX, LONG_LINE, OPEN_LINE, TRUNCATED, Tail

_YAML = "suricata.yaml"
_EVE = "eve.json"
_SOCKET = "command.socket"
#: A longer path of a socket is cut off by the kernel (sun_path); indicators are then matched by the agent alone.
_SOCKET_MAX = 107
_TICK = 1.0
_POLL = 0.1
_PATIENCE = 20.0
_BACKOFF_MAX = 60.0
#: An engine that ran so long was well; the next wait is short again.
_WELL = 300.0
#: A pipe of this size lets Suricata work on while events are made (the kernel's bound for users without privileges).
_PIPE = 1 << 20
#: Rotated files that stay though they were read: what of them was given may not be in the spool yet.
_KEPT = 2


class Feed(Protocol):
    """Lines of EVE."""

    def lines(self) -> Iterator[list[bytes]]:
        """Lists of lines without line feeds. Raises SourceError after the lines that could still be read."""
        ...

    def mark(self) -> bytes:
        """Where to go on after the lines given so far; empty if it cannot be read again."""
        ...

    def stop(self) -> None:
        """End :meth:`lines` soon. Safe in a signal handler."""
        ...


class Notes(Protocol):
    """What a feed tells beside lines."""

    def fault(self, reason: str, number: int = 1) -> None:
        """Something could not be read: counted."""
        ...

    def health(self, condition: str, message: str, value: float | None = None) -> None:
        """Something that a person must hear of: becomes a health event."""
        ...

    def behind(self, waiting: int) -> None:
        """How many bytes wait to be read."""
        ...


class Replay:
    """One capture through one Suricata. Its EVE file is a named pipe: no disk is used and a slow reader slows it.

    Args:
        capture: pcap or pcapng, plain or compressed (``.zst``, ``.gz``).
        settings: the agent's.
        version: of the program.
        home: the school's networks.
        rules: files of signatures.
        notes: where faults go.
    """

    def __init__(
        self,
        capture: Path,
        *,
        settings: SuricataTable,
        version: Version,
        home: Sequence[str],
        rules: Sequence[Path],
        notes: Notes,
    ) -> None:
        self._capture = capture
        self._settings = settings
        self._version = version
        self._home = home
        self._rules = rules
        self._notes = notes
        self._stopped = False

    def mark(self) -> bytes:
        """Empty: a replay begins anew."""
        return b""

    def stop(self) -> None:
        """Let Suricata finish with what it has read."""
        self._stopped = True

    def lines(self) -> Iterator[list[bytes]]:
        """The lines of the whole capture. Raises CaptureError naming it, SourceError if Suricata fails."""
        with tempfile.TemporaryDirectory(prefix="schoolwacht-suricata-") as name:
            directory = Path(name)
            unpacked = Unpacked.of(self._capture, directory)
            if unpacked.fault is not None and not unpacked.path.stat().st_size:
                raise unpacked.fault
            check_capture(unpacked.path, named=self._capture)
            text = configuration(
                self._settings, version=self._version, directory=directory, home=self._home, rules=self._rules
            )
            (directory / _YAML).write_text(text, encoding="utf-8")
            yield from self._play(directory, unpacked.path)
            if unpacked.fault is not None and not self._stopped:
                raise unpacked.fault

    def _play(self, directory: Path, capture: Path) -> Iterator[list[bytes]]:
        eve = directory / _EVE
        os.mkfifo(eve, 0o600)
        pipe = os.open(eve, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        process = None
        try:
            process = Process(
                self._settings.binary,
                directory,
                ["-r", str(capture.resolve()), "--runmode", "single", "-k", "none", "--init-errors-fatal"],
            )
            _enlarge(pipe)
            yield from self._drain(pipe, process)
            self._judge(process, capture)
        finally:
            os.close(pipe)
            if process is not None:
                process.end()

    def _drain(self, pipe: int, process: Process) -> Iterator[list[bytes]]:
        """Lines until the process has ended and the pipe is empty."""
        held = b""
        poller = select.poll()
        poller.register(pipe, select.POLLIN)
        ticked = time.monotonic()
        asked = 0.0
        while True:
            if self._stopped and not asked:
                asked = time.monotonic()
                process.signal(signal.SIGTERM)
            if asked and time.monotonic() - asked > _PATIENCE:
                process.kill()
            has_ended = process.ended() is not None
            ready = poller.poll(0 if has_ended else 100)
            chunk = _take(pipe) if ready else b""
            if chunk:
                complete, feed, rest = chunk.rpartition(b"\n")
                lines = (held + complete).split(b"\n") if feed else []
                held = rest if feed else held + rest
                if len(held) > LINE_MAX:
                    self._notes.fault(LONG_LINE)
                    held = b"\0"  # what follows of it up to its line feed is no JSON, and so set aside
                yield lines
                ticked = time.monotonic()
                continue
            if has_ended:
                break
            if time.monotonic() - ticked >= _TICK:
                ticked = time.monotonic()
                yield []
            if ready:
                time.sleep(0.01)  # no writer has it open
        if held:
            self._notes.fault(OPEN_LINE)

    def _judge(self, process: Process, capture: Path) -> None:
        """Whether it read the capture whole."""
        status = process.ended()
        faults = [word for word in process.words() if word.level == "Error"]
        reading = [word.message for word in faults if word.module == "pcap"]
        if self._stopped:
            return
        if reading:
            said = reading[0].replace(f" for {capture.resolve()}", "").removeprefix("error code -1 ")
            raise CaptureError(f"could not be read to its end: {said}", path=str(self._capture))
        if status != 0:
            raise SourceError(f"Suricata failed: {process.failure()}", path=str(self._capture))


class Attached:
    """The EVE file of a Suricata that somebody else runs.

    Args:
        path: the file.
        mark: where to go on.
        from_start: without a mark, begin at the start of the file and not at its end.
        notes: where gaps and faults go.

    Raises SourceError if the file cannot be read.
    """

    def __init__(self, path: Path, mark: bytes, *, from_start: bool, notes: Notes) -> None:
        if not path.exists():
            raise SourceError(
                "is not there: is that Suricata running, and does it write EVE to this file?",
                path=str(path),
                field="source.suricata.eve",
            )
        self._tail = Tail(path, mark, from_start=from_start)
        self._notes = notes
        self._stopped = False

    def mark(self) -> bytes:
        """The place in the file, see ``tail.py``."""
        return self._tail.mark()

    def stop(self) -> None:
        """End after the lines at hand."""
        self._stopped = True

    def lines(self) -> Iterator[list[bytes]]:
        """Lines as they are written, for ever."""
        yield from follow(self._tail, self._notes, lambda: self._stopped)
        self._tail.close()


class Live:
    """A Suricata of our own at an interface, started again when it ends.

    ``directory`` lies in the agent's state directory, whose indicators it is given (:mod:`.indicators`).
    Its EVE file lies in ``directory`` and is read from ``mark`` on, so that what an earlier run of the agent did not
    take is not lost. It is rotated by size; files are deleted when two later ones have been begun.

    Raises SourceError from :meth:`lines` if it does not start the first time; later it is tried again with growing
    pauses, each counted and told.
    """

    def __init__(
        self,
        interface: str,
        directory: Path,
        mark: bytes,
        *,
        settings: SuricataTable,
        version: Version,
        home: Sequence[str],
        expression: str,
        rules: Sequence[Path],
        notes: Notes,
    ) -> None:
        self._interface = interface
        self._directory = directory
        self._settings = settings
        self._notes = notes
        self._stopped = False
        self._process: Process | None = None
        self._began = self._retry_at = 0.0
        self._backoff = 1.0
        self._started = False
        self._blind_since: float | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            end_left_over(directory)
            socket = directory / _SOCKET
            self._refresher = None
            if settings.own_rules and len(bytes(socket)) <= _SOCKET_MAX:
                self._refresher = Refresher(directory.parent, directory, socket)
                rules = [*rules, directory / RULES]
            text = configuration(
                settings,
                version=version,
                directory=directory,
                home=home,
                rules=rules,
                interface=interface,
                command=socket if self._refresher is not None else None,
                reputation=self._refresher is not None,
                expression=expression,
            )
            (directory / _YAML).write_text(text, encoding="utf-8")
        except OSError as error:
            raise SourceError(f"cannot be written: {error.strerror}", path=str(directory)) from error
        self._tail = Tail(directory / _EVE, mark)

    def mark(self) -> bytes:
        """The place in our EVE file."""
        return self._tail.mark()

    def stop(self) -> None:
        """End Suricata, which then reports the flows that it holds, and read the rest."""
        self._stopped = True

    def lines(self) -> Iterator[list[bytes]]:
        """Lines as they are written, until :meth:`stop`."""
        try:
            self._start()
            if self._refresher is not None:
                self._refresher.start()
            yield from follow(self._tail, self._notes, self._look_after)
            if self._process is not None:
                self._process.end(_PATIENCE)
            while lines := self._tail.lines(final=True):
                yield lines
        finally:
            if self._refresher is not None:
                self._refresher.stop()
            if self._process is not None:
                self._process.end(_PATIENCE)
            self._tail.close()

    def _start(self) -> None:
        self._process = Process(
            self._settings.binary,
            self._directory,
            # Not --init-errors-fatal: one signature that does not load must not blind the school to all the others.
            ["--af-packet=" + self._interface, "--runmode", "workers"],
        )
        self._began = time.monotonic()

    def _look_after(self) -> bool:
        """Once between two reads: whether to stop; else start again what ended, and rotate what has grown."""
        if self._stopped:
            return True
        now = time.monotonic()
        if self._process is None:
            if now >= self._retry_at:
                self._start()
            return False
        if (not self._started or self._blind_since is not None) and self._process.has_started():
            self._started = True
            self._see_again(now)
            self._tell_rules(self._process)
        if self._process.ended() is not None:
            self._bury(now)
            return False
        self._rotate()
        return False

    def _see_again(self, now: float) -> None:
        if self._blind_since is not None:
            blind, self._blind_since = now - self._blind_since, None
            self._notes.health("blind", f"Suricata captured nothing for {blind:.1f} s", blind)

    def _tell_rules(self, process: Process) -> None:
        """Which signatures did not load, in Suricata's words. How many is in its figures."""
        refused = [
            word.message for word in process.words() if word.level == "Error" and word.module.startswith("detect")
        ]
        if refused:
            self._notes.health("rules", "; ".join(dict.fromkeys(refused))[:2000])

    def _bury(self, now: float) -> None:
        process = self._process
        assert process is not None
        reason = process.failure()
        process.end(0)
        self._process = None
        if not self._started:
            raise SourceError(f"Suricata does not start at {self._interface}: {reason}", field="source.interface")
        self._backoff = 1.0 if now - self._began > _WELL else min(2 * self._backoff, _BACKOFF_MAX)
        self._retry_at = now + self._backoff
        self._blind_since = self._blind_since or now
        self._notes.fault("Suricata ended by itself")
        self._notes.health(
            "engine-ended", f"Suricata ended by itself and is started again in {self._backoff:.0f} s: {reason}"
        )

    def _rotate(self) -> None:
        eve = self._directory / _EVE
        try:
            if eve.stat().st_size < self._settings.rotate_mib << 20:
                return
            eve.rename(eve.with_name(f"{_EVE}.{time.time_ns()}"))
        except OSError:
            return  # not written yet
        assert self._process is not None
        # Suricata opens a new file at its next record; the tail stays with the old one until then.
        self._process.signal(signal.SIGHUP)
        for old in self._tail.finished()[:-_KEPT]:
            old.unlink(missing_ok=True)


def follow(tail: Tail, notes: Notes, pause: Callable[[], bool]) -> Iterator[list[bytes]]:
    """The lines of a tail as they come; between two reads ``pause`` is asked whether to end."""
    ticked = time.monotonic()
    while True:
        lines = tail.lines()
        _tell(tail, notes)
        notes.behind(tail.waiting())
        if lines:
            yield lines
            ticked = time.monotonic()
        if pause():
            return
        if lines:
            continue
        if time.monotonic() - ticked >= _TICK:
            ticked = time.monotonic()
            yield []
        time.sleep(_POLL)


def _tell(tail: Tail, notes: Notes) -> None:
    """Faults of the tail: all are counted, what is a gap is also told."""
    if not tail.faults:
        return
    for reason, number in tail.faults.items():
        notes.fault(reason, number)
        if reason in {GAP, TRUNCATED}:
            notes.health("eve-gap", f"{tail.path}: {reason}; records between were not seen")
    tail.faults.clear()


def _take(pipe: int) -> bytes:
    try:
        return os.read(pipe, CHUNK)
    except BlockingIOError:
        return b""


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    except OSError:
        return  # a smaller pipe only means more changes between both processes

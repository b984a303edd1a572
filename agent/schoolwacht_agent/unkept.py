"""How many events were seen and are not kept yet, where the next process finds it though this one is killed.

A file of sixteen bytes, ``STATE/status/unkept``, mapped into memory: what is written there outlives the process,
without a system call an event. It counts events that cannot be had again (packets off an interface); lines of a file
are read again. At an orderly end it says 0. Limits: after a power cut the file may say what was so half a minute
before. Flows that are still open in the reader's table are not events yet.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from schoolwacht.event import Event

_FORM = struct.Struct("<8sQ")
_MAGIC = b"unkept1\n"


class Unkept:
    """The figure of one capture.

    Args:
        state: the agent's state directory.
        once: how many of a list of events cannot be had again.

    Raises nothing: where the file cannot be had, nothing is counted.
    """

    def __init__(self, state: Path, once: Callable[[list[Event]], int]) -> None:
        self._once = once
        self._taken = 0
        self._map: mmap.mmap | None = None
        path = state / "status" / "unkept"
        #: What the process before has left behind.
        self.before = 0
        with suppress(OSError, ValueError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                found = os.pread(file, _FORM.size, 0)
                if len(found) == _FORM.size and found.startswith(_MAGIC):
                    self.before = _FORM.unpack(found)[1]
                os.ftruncate(file, _FORM.size)
                os.pwrite(file, _FORM.pack(_MAGIC, 0), 0)
                self._map = mmap.mmap(file, _FORM.size)
            finally:
                os.close(file)

    def take(self, events: list[Event]) -> None:
        """These were seen."""
        if events:
            self._taken += self._once(events)

    @property
    def taken(self) -> int:
        """All that were seen so far."""
        return self._taken

    def note(self, kept: int) -> None:
        """So many of all that were seen are kept."""
        if self._map is not None:
            _FORM.pack_into(self._map, 0, _MAGIC, self._taken - kept)

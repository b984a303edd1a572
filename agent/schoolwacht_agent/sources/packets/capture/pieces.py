"""A file in pieces: each begins with what the piece before left over, so that records may lie across the cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NoReturn

from schoolwacht.errors import CaptureError
from schoolwacht_agent.sources.packets.records import PAD

_PIECE = 1 << 20


class Pieces:
    """Reads ``file`` forwards. A format's reader looks at ``buffer[:size]`` and says how much of it is used up.

    Args:
        file: plain bytes.
        name: what errors call it.
        dropped: told how many packets the capturing machine says it lost.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, dropped: Callable[[int], None]) -> None:
        self._file = file
        self.name = name
        self.dropped = dropped
        #: What can be looked at now, and then PAD.
        self.buffer = PAD
        self.size = 0

    def peek(self, count: int) -> bytes:
        """The first bytes, without using them up; fewer if there are no more."""
        while self.size < count and self.more(0):
            pass
        return self.buffer[: min(count, self.size)]

    def more(self, used: int) -> bool:
        """Put the next piece behind what is not used up yet. False if the file has ended."""
        piece = self._file.read(_PIECE)
        self.buffer = b"".join((self.buffer[used : self.size], piece, PAD))
        self.size = len(self.buffer) - len(PAD)
        return bool(piece)

    def skip(self, count: int) -> bool:
        """Use up ``count`` bytes, however many; False if the file ends before."""
        while count > self.size:
            count -= self.size
            if not self.more(self.size):
                return False
        self.buffer = self.buffer[count:]
        self.size -= count
        return True

    def fail(self, message: str) -> NoReturn:
        """Raise the fault with the file's name."""
        raise CaptureError(message, path=self.name)

    def cut_off(self, packets: int) -> NoReturn:
        """Raise that the file ends in the middle of a record."""
        self.fail(f"is cut off in the middle of a packet; the {packets} packets before it were read")

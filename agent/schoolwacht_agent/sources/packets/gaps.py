"""What TCP connections sent and nobody here saw, by their sequence numbers: loss before the ring, too.

A switch that mirrors more than the port carries drops silently, and the kernel's counters stay at zero. The connection
itself tells: its sequence numbers jump. A hole that is filled later was disorder, or was lost before it came here and
was sent again; one that stays open for three seconds came to its receiver (else it would have been sent again) and not
here.

A sample is enough: every 16th connection, and of each the first 10,000 segments. Cut packets (a snap length) and holes
of more than 16 MiB (a forged segment) are left out.
"""

from __future__ import annotations

from schoolwacht_agent.sources.packets.flows import Flow, Half
from schoolwacht_agent.sources.port import Counters

EVERY = 16
DEPTH = 10_000
#: Seconds after which a hole is one.
OPEN_SECONDS = 3.0
_HOLES_MAX = 64
_WORD = 0xFFFFFFFF
_FAR = 16 << 20
_FIN, _SYN, _RST = 1, 2, 4


class GapMeter:
    """Counts for all connections.

    Args:
        counters: ``tcp_bytes`` and ``tcp_missing`` are kept here.
        every: of so many connections one is sampled.
    """

    def __init__(self, counters: Counters, every: int = EVERY) -> None:
        self._counters = counters
        self._every = every
        self._opened = 0

    def samples(self) -> bool:
        """Whether the connection that opens now is one of the sample."""
        self._opened += 1
        return self._opened % self._every == 0

    def see(self, half: Half, sequence: int, size: int, flags: int, seconds: float) -> None:
        """One segment of a sampled connection: payload of ``size`` bytes at ``sequence``."""
        if flags & _RST:
            return
        end = sequence + size + (flags & _FIN) + (flags & _SYN) // _SYN & _WORD
        expected = half.expected
        if expected is None:
            half.expected = end
            return
        ahead = sequence - expected & _WORD
        if ahead < _FAR:
            if ahead:
                self._note(half, expected, ahead, seconds)
            half.expected = end
            self._counters.tcp_bytes += size
        elif expected - sequence & _WORD < _FAR:
            if half.holes:
                self._fill(half, sequence, size)
            if end - expected & _WORD < _FAR:
                # It repeats the end of what is known and goes on.
                self._counters.tcp_bytes += end - expected & _WORD
                half.expected = end
        else:
            half.expected = end
        if half.holes and half.holes[0][0] <= seconds - OPEN_SECONDS:
            self._settle(half, seconds)

    def close(self, flow: Flow) -> None:
        """The connection is over: what is open stays open."""
        for half in (flow.up, flow.down):
            if half.holes:
                self._settle(half, float("inf"))

    def _note(self, half: Half, start: int, size: int, seconds: float) -> None:
        if half.holes is None:
            half.holes = []
        if len(half.holes) >= _HOLES_MAX:
            self._counters.tcp_missing += half.holes.pop(0)[2]
        half.holes.append((seconds, start, size))

    def _fill(self, half: Half, sequence: int, size: int) -> None:
        """A segment that comes late takes its part out of the holes."""
        left = []
        for seconds, start, length in half.holes or ():
            # Places relative to the hole's start, signed.
            begin = _signed(sequence - start)
            end = begin + size
            covered = min(end, length) - max(begin, 0)
            if covered <= 0:
                left.append((seconds, start, length))
                continue
            self._counters.tcp_bytes += covered
            if begin > 0:
                left.append((seconds, start, begin))
            if end < length:
                left.append((seconds, start + end & _WORD, length - end))
        half.holes = left

    def _settle(self, half: Half, seconds: float) -> None:
        holes = half.holes or []
        old = [hole for hole in holes if hole[0] <= seconds - OPEN_SECONDS]
        half.holes = holes[len(old) :]
        self._counters.tcp_missing += sum(size for _, _, size in old)


def _signed(difference: int) -> int:
    difference &= _WORD
    return difference - (1 << 32) if difference >> 31 else difference

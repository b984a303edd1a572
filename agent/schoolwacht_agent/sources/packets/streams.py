"""The first bytes of one direction of a TCP connection, in order: as many as a handshake or a head needs.

A stream holds bytes only while somebody wants them. Segments that come early wait, segments that come again are cut;
what lies behind a gap that is not closed soon is read on its own. All streams together stay within a bound: beyond it
the one that has waited longest is given up and counted.
"""

from __future__ import annotations

from enum import Enum, auto

#: Bytes of one direction that are held at most.
STREAM_MAX = 32_768
#: Early segments of one direction that wait at most.
EARLY_MAX = 16
_HALF = 1 << 31
_MASK = (1 << 32) - 1


class Reading(Enum):
    """What a stream does with the next segment."""

    #: Put it behind what is there.
    ON = auto()
    #: Begin anew with a segment that looks like the beginning of a message.
    SEEK = auto()
    #: Nothing: nobody wants more.
    SHUT = auto()


# Bound, because before Python 3.12 each look at a member of an enum is a call.
_ON, SEEK, SHUT = Reading.ON, Reading.SEEK, Reading.SHUT


class Stream:
    """One direction. ``data`` are the bytes in order that nobody has used yet.

    Args:
        budget: shared by all streams.
        expected: sequence number of the first byte (mod 2³²).
    """

    __slots__ = ("_budget", "_due", "_early", "_others", "asleep", "data", "expected", "lost", "reading")

    def __init__(self, budget: Budget, expected: int) -> None:
        self._budget = budget
        self._early: list[tuple[int, bytes]] = []
        self._due = False
        # Other sequence numbers at which the first byte may come.
        self._others: tuple[int, ...] = ()
        self.data = b""
        #: Sequence number of the byte that comes behind ``data``.
        self.expected = expected & _MASK
        self.reading: Reading = _ON
        #: Bytes are missing for good before what comes next.
        self.lost = False
        #: Nothing is wanted for now, but will be later.
        self.asleep = False

    @property
    def held(self) -> int:
        """Bytes that this stream holds."""
        return len(self.data) + sum(len(payload) for _, payload in self._early)

    def or_begin(self, expected: int) -> None:
        """The first byte may have this sequence number as well: two servers behind one address answered a SYN."""
        expected &= _MASK
        if expected != self.expected and not self.held and self.reading is _ON:
            self._others = (*self._others[-3:], expected)

    def push(self, sequence: int, payload: bytes) -> bool:
        """Take a segment in. True if there are new bytes to look at."""
        if self.reading is SHUT:
            return False
        if self._others:
            if sequence & _MASK in self._others:
                self.expected = sequence & _MASK
            self._others = ()
        ahead = (sequence - self.expected) & _MASK
        if ahead == 0 and not self.data and not self._early:
            self.data = payload
            self.expected = (self.expected + len(payload)) & _MASK
            return True
        if 0 < ahead < _HALF:
            return self._wait(sequence, payload)
        if not self._append(ahead, payload):
            return False
        self._draw()
        return True

    def use(self, count: int) -> None:
        """``count`` bytes from the front have been understood; the count may reach beyond what is there yet."""
        if count <= len(self.data):
            self.data = self.data[count:]
        else:
            beyond = count - len(self.data)
            self.data = b""
            self.expected = (self.expected + beyond) & _MASK
            self._draw()
        self._budget.note(self)

    def hold(self) -> None:
        """Keep what is there: more must come before it can be understood. Too much of it is given up."""
        if len(self.data) > STREAM_MAX:
            self.shut()
        else:
            self._budget.note(self)

    def seek(self, *, due: bool = False) -> None:
        """Wait for a segment that begins a message. ``due``: it should be the next byte, or else something was lost."""
        self.data = b""
        self._due = due
        self._early.clear()
        self.reading = SEEK
        self._budget.note(self)

    def begin(self, sequence: int) -> None:
        """Read on from the segment with this sequence number."""
        self.data = b""
        self.lost = self.lost or (self._due and self.expected != sequence & _MASK)
        self.expected = sequence & _MASK
        self.reading = _ON

    def shut(self) -> None:
        """Nobody wants more."""
        self.data = b""
        self._early.clear()
        self.reading = SHUT
        self._budget.forget(self)

    def _append(self, ahead: int, payload: bytes) -> bool:
        """Add a segment that is due or partly old; False if all of it was seen before."""
        old = -ahead & _MASK
        if old >= len(payload):
            return False
        fresh = payload[old:] if old else payload
        self.data = self.data + fresh if self.data else fresh
        self.expected = (self.expected + len(fresh)) & _MASK
        return True

    def _wait(self, sequence: int, payload: bytes) -> bool:
        if len(self._early) < EARLY_MAX and self.held + len(payload) <= STREAM_MAX:
            self._early.append((sequence, payload))
            self._budget.note(self)
            return False
        # The gap stays: go on behind it.
        self._early.append((sequence, payload))
        first = min(self._early, key=lambda early: (early[0] - self.expected) & _MASK)[0]
        self.data = b""
        self.expected = first
        self.lost = True
        self._draw()
        return True

    def _draw(self) -> None:
        """Add the early segments that are due now."""
        while self._early:
            for number, (sequence, payload) in enumerate(self._early):
                ahead = (sequence - self.expected) & _MASK
                if ahead == 0 or ahead >= _HALF:
                    del self._early[number]
                    self._append(ahead, payload)
                    break
            else:
                return


class Budget:
    """How much all streams together may hold.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Stream, int] = {}
        self._total = 0
        self.evicted = 0

    def note(self, stream: Stream) -> None:
        """``stream`` may hold more or less than before. Gives up the one that holds longest if it is too much."""
        held = stream.held
        before = self._held.get(stream, 0)
        if held == before:
            return
        self._total += held - before
        if held:
            self._held[stream] = held
        else:
            del self._held[stream]
        while self._total > self._limit:
            self.evicted += 1
            next(iter(self._held)).shut()

    def forget(self, stream: Stream) -> None:
        """``stream`` holds nothing any more."""
        self._total -= self._held.pop(stream, 0)

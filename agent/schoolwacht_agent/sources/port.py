"""What a source of events is. One source = one file (or package) here and one line in ``SOURCES``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

from schoolwacht.event import Event


class Counters(msgspec.Struct):
    """What a source has seen and lost since it started; totals only grow."""

    packets: int = 0
    bytes: int = 0
    events: int = 0
    #: Packets the kernel, the ring or the engine dropped.
    dropped: int = 0
    #: Flows or other state put out early to stay within the memory bound (each was still reported).
    evicted: int = 0
    #: How full what waits before the engine is, 0 to 1: the ring, or the file that another engine writes.
    behind: float = 0.0
    #: Of sampled TCP connections: bytes that were sent as their sequence numbers say, seen and never seen.
    tcp_bytes: int = 0
    tcp_missing: int = 0
    #: TCP connections, and gaps in them, as an engine counts them that does not say how large they are.
    tcp_sessions: int = 0
    tcp_gaps: int = 0
    #: Signatures of the engine that are loaded, and that could not be.
    rules: int = 0
    rules_failed: int = 0
    #: Packets, lines or records that could not be understood, by reason.
    invalid: dict[str, int] = msgspec.field(default_factory=dict)

    def note_invalid(self, reason: str) -> None:
        """Count one packet or record that could not be understood."""
        self.invalid[reason] = self.invalid.get(reason, 0) + 1


class Source(Protocol):
    """Packets or EVE in, events out, in one thread.

    A source has no knowledge of home networks, privacy or delivery: it says what was on the wire. Direction, zones
    and treatment are steps after it.
    """

    counters: Counters

    def read(self) -> Iterator[list[Event]]:
        """Lists of events as they become known. An empty list is a tick: nothing came for about a second.

        An offline source ends; a live one goes on until :meth:`stop`. Raises SourceError (CaptureError for a file)
        after the events that could still be read.
        """
        ...

    def mark(self) -> bytes:
        """Where reading can go on after a crash, valid for all events that :meth:`read` has yielded so far.

        The spool keeps it in the same commit as the events, so that nothing is lost or doubled. Empty if the source
        cannot be read again (packets from an interface).
        """
        ...

    def stop(self) -> None:
        """End :meth:`read` soon, with the events that are still held. Safe to call from a signal handler."""
        ...

"""What a spool's files say after whatever stopped the last writer. Reads; changes nothing.

The truth is the newest state that is certain: of the head, of the newest segment's header, and of each commit that
something follows (the next transaction is only written when the one before is synced). The last transaction of a
segment may be whole in the page cache and yet not on the disk; unless the head vouches for it, it is returned as a
:class:`Tail` for the writer to write again. Only the newest segment is read, or more where it says nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from schoolwacht_agent.spool.disk import Disk
from schoolwacht_agent.spool.format import Kind, Lane, Record, Segment, State, records, segment_named, state_in
from schoolwacht_agent.spool.slots import Bound, Head


class Tail(NamedTuple):
    """A transaction that is whole but not known to be on the disk: (sequence, payload) of its events, and its state."""

    events: list[tuple[int, bytes]]
    state: State


class Recovered(NamedTuple):
    """Where a spool stands. ``bounds`` is how far a reader may read in each lane."""

    state: State
    bounds: tuple[Bound, Bound]
    tail: Tail | None
    #: Whether the signals lane ends in events that were never committed.
    void_signals: bool
    #: Whether any state was found; if not, though there are segments, the numbers are a guess above all that is there.
    certain: bool


class _Found(NamedTuple):
    state: State
    bound: Bound
    tail: Tail | None


def segments(disk: Disk, lane: Lane) -> list[tuple[Segment, int, float]]:
    """A lane's segments, oldest first, each with its size in bytes and the time of its last write."""
    found = []
    for name, size, written in disk.files(lane.directory):
        segment = segment_named(lane, name)
        if segment is not None:
            found.append((segment, size, written))
    return sorted(found)


def recover(disk: Disk, head: Head | None) -> Recovered:
    """Where the spool in ``disk`` stands. Raises OSError."""
    lanes = [segments(disk, lane) for lane in Lane]
    found = _in_events(disk, lanes[Lane.EVENTS], head)
    if found is None and head is not None:
        found = _Found(head.state, head.bounds[Lane.EVENTS], None)
    certain = found is not None
    if found is None:
        found = _Found(_guess(disk, lanes), _end_of(lanes[Lane.EVENTS]), None)
    durable = found.tail.state if found.tail else found.state
    bound, void = _in_signals(disk, lanes[Lane.SIGNALS], durable.ordinals[Lane.SIGNALS])
    return Recovered(found.state, (bound, found.bound), found.tail, void_signals=void, certain=certain)


def _in_events(disk: Disk, lane: list[tuple[Segment, int, float]], head: Head | None) -> _Found | None:
    limit: int | None = None
    for segment, size, _ in reversed(lane):
        found = _in_segment(disk, segment, size, head, limit)
        if found is not None:
            if head is not None and head.state.transaction > found.state.transaction and found.tail is None:
                # The newest commits are damaged; the head still knows them.
                return _Found(head.state, head.bounds[Lane.EVENTS], None)
            return found
        limit = segment.base
    return None


def _in_segment(disk: Disk, segment: Segment, size: int, head: Head | None, limit: int | None) -> _Found | None:
    """The newest state in a segment; ``limit`` is the base of a later segment that says nothing itself."""
    buffer = disk.read(segment.path, 0, size)
    settled: _Found | None = None
    group: list[tuple[Record, int]] = []
    for record in records(buffer, segment.key):
        if record.kind == Kind.EVENT:
            group.append((record, segment.base + record.place))
            continue
        state = state_in(buffer[record.start : record.end])
        if state is None:
            continue
        if record.kind == Kind.COMMIT and not _vouched(state, head, size > record.end):
            whole = settled is not None and _is_whole(group, settled.state, state)
            if settled is None or not whole or (limit is not None and state.ordinals[Lane.EVENTS] > limit):
                return settled
            events = [(event.sequence, buffer[event.start : event.end]) for event, _ in group]
            return settled._replace(tail=Tail(events, state))
        settled = _Found(state, Bound(segment.number, record.end), None)
        group = []
    return settled


def _vouched(state: State, head: Head | None, followed: bool) -> bool:
    return followed or (head is not None and head.state.transaction >= state.transaction)


def _is_whole(group: list[tuple[Record, int]], before: State, after: State) -> bool:
    expected = range(before.ordinals[Lane.EVENTS], after.ordinals[Lane.EVENTS])
    return [ordinal for _, ordinal in group] == list(expected)


def _in_signals(disk: Disk, lane: list[tuple[Segment, int, float]], committed: int) -> tuple[Bound, bool]:
    """How far the signals lane is committed, and whether anything lies beyond that."""
    for segment, size, _ in reversed(lane):
        if segment.base > committed:
            continue
        buffer = disk.read(segment.path, 0, size)
        end = 0
        for record in records(buffer, segment.key):
            if record.kind == Kind.EVENT and segment.base + record.place >= committed:
                break
            end = record.end
        # Also true where only damage follows the last whole record: a new segment then costs nothing.
        void = end < size or segment is not lane[-1][0]
        return Bound(segment.number, end), void
    return Bound(0, 0), bool(lane)


def _guess(disk: Disk, lanes: list[list[tuple[Segment, int, float]]]) -> State:
    """Numbers above everything that is there, for a spool of which no state is left."""
    sequence = 0
    ordinals = [0, 0]
    for lane in Lane:
        for segment, size, _ in lanes[lane][-1:]:
            ordinals[lane] = segment.base
            for record in records(disk.read(segment.path, 0, size), segment.key):
                if record.kind == Kind.EVENT:
                    ordinals[lane] = max(ordinals[lane], segment.base + record.place + 1)
                    sequence = max(sequence, record.sequence + 1)
    return State(0, sequence, (ordinals[0], ordinals[1]), b"")


def _end_of(lane: list[tuple[Segment, int, float]]) -> Bound:
    return Bound(lane[-1][0].number, lane[-1][1]) if lane else Bound()

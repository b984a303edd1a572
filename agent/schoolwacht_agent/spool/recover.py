"""What a spool's files say after whatever stopped the last writer. Reads; changes nothing.

The truth is the newest state that is certain: of the head, of a segment's header, and of each commit that something
follows (the next transaction is only written when the one before is synced). The last transaction may be whole in the
page cache and yet not on the disk; unless one of these vouches for it, it is returned as a :class:`Tail` for the writer
to write again: trusting it would need an fsync, and an fsync that failed before the last process died would
now "succeed".

The writer copies a tail into a segment that begins *behind* it, so that a torn copy takes nothing away. A transaction
that was given up after an error is recognised by the segment that was begun for the next attempt: its base, or the
signals' segment, is not behind it.

Only the newest segment is read, or more where it holds no commit.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

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
    tail: Tail | None = None
    #: Whether the state is a commit's; else it is only the header's.
    commits: bool = False


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
    found = _in_events(disk, lanes, head)
    certain = found is not None and not _is_stale(found, lanes[Lane.SIGNALS])
    if found is None or not certain:
        guess = _guess(disk, lanes)
        mark = found.state.mark if found is not None else b""
        found = _Found(msgspec.structs.replace(guess, mark=mark), _end_of(lanes[Lane.EVENTS]))
    elif head is None and found.tail is None:
        # Should the newest segment be gone: its numbers are not given again.
        sequence = max(found.state.sequence, _guess(disk, lanes).sequence)
        found = found._replace(state=msgspec.structs.replace(found.state, sequence=sequence))
    durable = found.tail.state if found.tail else found.state
    bound, void = _in_signals(disk, lanes[Lane.SIGNALS], durable.ordinals[Lane.SIGNALS])
    return Recovered(found.state, (bound, found.bound), found.tail, void_signals=void, certain=certain)


def _is_stale(found: _Found, signals: list[tuple[Segment, int, float]]) -> bool:
    """Whether signals were committed of which the newest state knows nothing: an events segment must be gone."""
    durable = found.tail.state if found.tail else found.state
    return bool(signals) and signals[-1][0].base > durable.ordinals[Lane.SIGNALS]


def _in_events(disk: Disk, lanes: list[list[tuple[Segment, int, float]]], head: Head | None) -> _Found | None:
    newest = _Found(head.state, head.bounds[Lane.EVENTS]) if head is not None else None
    limit: int | None = None
    for segment, size, _ in reversed(lanes[Lane.EVENTS]):
        known = newest.state.transaction if newest is not None else -1
        found = _in_segment(disk, segment, size, known)
        if found is not None and found.tail is not None and not _stands(disk, found, limit, lanes[Lane.SIGNALS]):
            found = found._replace(tail=None)
        if found is not None and (newest is None or found.state.transaction >= known):
            newest = found
        if found is not None and (found.commits or found.tail is not None):
            break
        limit = segment.base if limit is None else min(limit, segment.base)
    return newest


def _in_segment(disk: Disk, segment: Segment, size: int, known: int) -> _Found | None:
    """The newest certain state in a segment, and what may be behind it. ``known``: a transaction that is certain."""
    buffer = disk.read(segment.path, 0, size)
    settled: _Found | None = None
    group: list[tuple[int, Record]] = []
    for record in records(buffer, segment.key):
        ordinal = segment.ordinal(record)
        if ordinal is not None:
            group.append((ordinal, record))
            continue
        state = state_in(buffer[record.start : record.end])
        if state is None:
            continue
        if record.kind == Kind.COMMIT and state.transaction > known and size == record.end:
            if settled is None or not _is_whole(group, settled.state, state):
                return settled
            events = [(event.sequence, buffer[event.start : event.end]) for _, event in group]
            return settled._replace(tail=Tail(events, state))
        settled = _Found(state, Bound(segment.number, record.end), None, record.kind == Kind.COMMIT)
        group = []
    return settled


def _is_whole(group: list[tuple[int, Record]], before: State, after: State) -> bool:
    return [ordinal for ordinal, _ in group] == list(range(before.ordinals[Lane.EVENTS], after.ordinals[Lane.EVENTS]))


def _stands(disk: Disk, found: _Found, limit: int | None, signals: list[tuple[Segment, int, float]]) -> bool:
    """Whether a tail was not given up, and its signals are there; ``limit`` is the lowest base of a later segment.

    A later segment of signals says that it was given up only if it begins within the tail's own: one that is begun
    behind them belongs to an attempt that failed after the tail was acknowledged.
    """
    assert found.tail is not None
    before, after = found.state, found.tail.state
    if limit is not None and after.ordinals[Lane.EVENTS] > limit:
        return False
    if before.ordinals[Lane.SIGNALS] == after.ordinals[Lane.SIGNALS]:
        return True
    if any(one.number > after.signals and one.base < after.ordinals[Lane.SIGNALS] for one, _, _ in signals):
        return False
    found_in = next(((one, size) for one, size, _ in signals if one.number == after.signals), None)
    if found_in is None:
        return False
    segment, size = found_in
    found_ordinals = {segment.ordinal(one) for one in records(disk.read(segment.path, 0, size), segment.key)}
    return found_ordinals.issuperset(range(before.ordinals[Lane.SIGNALS], after.ordinals[Lane.SIGNALS]))


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
                ordinal = segment.ordinal(record)
                if ordinal is not None:
                    ordinals[lane] = max(ordinals[lane], ordinal + 1)
                    sequence = max(sequence, record.sequence + 1)
    return State(0, sequence, (ordinals[0], ordinals[1]), b"")


def _end_of(lane: list[tuple[Segment, int, float]]) -> Bound:
    return Bound(lane[-1][0].number, lane[-1][1]) if lane else Bound()

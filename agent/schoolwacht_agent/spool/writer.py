"""The writing side of the spool: transactions of events, the bound on its size, and what to do when the disk fails.

A transaction is one group of events and the mark of the source. Its signals go to the signals lane and are synced;
then its events go to the events lane with the COMMIT record, and are synced: with that the transaction is durable.

After any error of the file system the segments being written are left for good: nothing is known of what was not
synced, and a second fsync would lie. The next attempt writes the same numbers into new segments, which makes the
old tail void (``format``).
"""

from __future__ import annotations

import errno
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from msgspec.structs import replace

from schoolwacht.account import Totals
from schoolwacht.errors import SpoolError
from schoolwacht.event import Event
from schoolwacht_agent.spool.disk import Appending, Disk, RealDisk
from schoolwacht_agent.spool.format import (
    FORMAT,
    MARK_MAX,
    OVERHEAD,
    Kind,
    Lane,
    Segment,
    State,
    event_record,
    state_record,
)
from schoolwacht_agent.spool.pack import Packed, pack
from schoolwacht_agent.spool.recover import Tail, recover, segments
from schoolwacht_agent.spool.report import totals
from schoolwacht_agent.spool.slots import (
    Bound,
    Cursor,
    Floor,
    Head,
    Ledger,
    Place,
    cursor_slots,
    head_slots,
    ledger_slots,
)

log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 << 20
#: Times before this are a clock that was never set; nothing is called old by such a clock. (2025-01-01)
_SANE = 1_735_689_600.0
_AGE_CHECK_SECONDS = 60.0
#: What a file costs beyond its bytes; keeps many small segments within the bound too.
_FILE_COST = 4096


class _Active:
    """The segment of a lane that is being written."""

    def __init__(self, segment: Segment, file: Appending, created: float) -> None:
        self.segment = segment
        self.file = file
        self.key = segment.key
        self.created = created
        #: Bytes written, and bytes that belong to committed transactions.
        self.size = 0
        self.committed = 0


class Writer:
    """The only writer of a spool. Not safe for several threads at once.

    Args:
        directory: the spool; made if it is not there.
        max_bytes: bound on its size on disk. One group and the two segments being written may lie above it.
        max_age_seconds: events that are older are dropped.
        segment_bytes: size at which a new segment is begun.
        disk: the file system, for tests.
        clock: seconds since 1970.

    Raises SpoolError if the spool cannot be opened or another process writes it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int = 2 << 30,
        max_age_seconds: float = 30 * 86_400.0,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._disk = disk if disk is not None else RealDisk(directory)
        self._max_bytes = max_bytes
        self._max_age = max_age_seconds
        self._segment_bytes = min(segment_bytes, max(max_bytes // 8, 4096))
        self._clock = clock
        self._head = head_slots(self._disk)
        self._ledgers = ledger_slots(self._disk)
        self._cursors = cursor_slots(self._disk)
        self._ledger = Ledger("", 0)
        self._ledger_kept = True
        self._state = State()
        self._tail: Tail | None = None
        self._void_signals = False
        self._bounds = [Bound(), Bound()]
        self._next_number = 1
        self._active: list[_Active | None] = [None, None]
        self._used: int | None = None
        self._age_checked = 0.0
        try:
            self._disk.make_directory("")
            self._disk.claim("writer")
        except OSError as error:
            raise self._error("cannot be opened", error) from error
        try:
            self._open()
        except OSError as error:
            self._disk.release("writer")
            raise self._error("cannot be opened", error) from error
        except SpoolError:
            self._disk.release("writer")
            raise

    @property
    def mark(self) -> bytes:
        """Where the source goes on: the mark of the last transaction; empty in a new spool."""
        return self._tail.state.mark if self._tail else self._state.mark

    @property
    def epoch(self) -> str:
        """The life of the spool: 16 hexadecimal digits. New events are numbered within it."""
        return self._ledger.epoch

    @property
    def sequence(self) -> int:
        """The number that the next event gets."""
        return self._tail.state.sequence if self._tail else self._state.sequence

    @property
    def fullness(self) -> float:
        """Share of ``max_bytes`` that is used, with what the reader has settled left out. Reads the directory."""
        used = sum(size + _FILE_COST for lane in Lane for _, size, _ in segments(self._disk, lane))
        return used / self._max_bytes

    def append(self, events: Sequence[Event], mark: bytes) -> int:
        """Keep a group of events and the source's mark, both or neither; return when they are on the disk.

        An event that cannot be encoded, or that is too large to travel, is counted as lost (``unfit``) and left out.
        Returns the number of events kept. Raises SpoolError if the disk refuses: then nothing of the group is kept
        and the caller holds its source back and appends the same group again.
        """
        return self.append_packed(pack(events), mark)

    def append_packed(self, packed: Packed, mark: bytes) -> int:
        """Like :meth:`append`, for a group that is encoded already. May be called from another thread than before."""
        self.append_encoded(packed.signals, packed.events, mark)
        if any(packed.unfit):
            self._note_lost("unfit", packed.unfit)
        return packed.number

    def append_encoded(self, signals: Sequence[bytes], events: Sequence[bytes], mark: bytes) -> None:
        """Like :meth:`append`, for events that are encoded already (:func:`schoolwacht.wire.encode_event`)."""
        if len(mark) > MARK_MAX:
            raise ValueError(f"a mark of {len(mark)} bytes, at most {MARK_MAX} are kept")
        try:
            self._make_room(sum(map(len, signals)) + sum(map(len, events)) + OVERHEAD * (len(signals) + len(events)))
            if self._tail is not None:
                self._copy(self._tail)
                self._publish()
            self._transact(signals, events, mark)
        except OSError as error:
            self._abandon()
            raise self._error("cannot be written", error) from error
        self._publish()

    def close(self) -> None:
        """Sync what is left to sync and let another process write. Never raises."""
        for active in self._active:
            if active is not None:
                active.file.close()
        self._active = [None, None]
        with suppress(OSError):
            self._head.write(self._head_now(), sync=True)
        self._disk.release("writer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Opening

    def _open(self) -> None:
        for lane in Lane:
            self._disk.make_directory(lane.directory)
        self._disk.sync_directory("")
        self._head.prepare()
        self._ledgers.prepare()
        head, ledger, cursor = self._head.read(), self._ledgers.read(), self._cursors.read()
        recovered = recover(self._disk, head)
        self._state, self._tail, self._void_signals = recovered.state, recovered.tail, recovered.void_signals
        self._bounds = list(recovered.bounds)
        certain = recovered.certain and not self._is_behind(cursor)
        self._ledger = self._live_ledger(ledger, cursor, certain=certain)
        self._next_number = 1 + max(self._numbers(head, cursor))
        # On the disk, so that signals of a first transaction that is cut short are not taken for what is left of many.
        self._publish(sync=True)
        if self._tail is not None:
            try:
                self.append_encoded((), (), self._tail.state.mark)
            except SpoolError as error:
                log.warning("%s; trying again with the next events", error)

    def _live_ledger(self, ledger: Ledger | None, cursor: Cursor | None, *, certain: bool) -> Ledger:
        inode = self._disk.inode(self._ledgers.path)
        if ledger is not None and ledger.format > FORMAT:
            raise SpoolError(
                f"has format {ledger.format}, this version knows up to {FORMAT}: update the agent",
                path=str(self._directory),
            )
        if ledger is not None and ledger.inode == inode and certain:
            if ledger.base is None:  # of a version that kept no accounts
                ledger = replace(ledger, base=self._totals(ledger, cursor))
            # Again, because its last sync may have failed before the last process ended.
            self._ledgers.write(ledger, sync=True, twice=True)
            return ledger
        fresh = ledger is None or ledger.inode == inode
        epoch = secrets.token_hex(8)
        log.info("the spool in %s begins epoch %s%s", self._directory, epoch, "" if fresh else ": it is a copy")
        parent = ledger.epoch if ledger is not None else ""
        ledger = Ledger(epoch, inode) if ledger is None else replace(ledger, epoch=epoch, inode=inode)
        ledger = replace(ledger, base=self._totals(ledger, cursor), parent=parent)
        self._ledgers.write(ledger, sync=True, twice=True)
        return ledger

    def _totals(self, ledger: Ledger, cursor: Cursor | None) -> Totals:
        ordinals = (self._tail.state if self._tail is not None else self._state).ordinals
        return totals(self._disk, ledger, cursor or Cursor(), ordinals)

    def _is_behind(self, cursor: Cursor | None) -> bool:
        """Whether the reader has passed events of which no file knows; then no old number may be given again."""
        durable = self._tail.state if self._tail is not None else self._state
        if cursor is None or all(
            place.ordinal <= ordinal for ordinal, place in zip(durable.ordinals, cursor.places, strict=True)
        ):
            return False
        first, second = (
            max(ordinal, place.ordinal) for ordinal, place in zip(durable.ordinals, cursor.places, strict=True)
        )
        self._state, self._tail = replace(durable, ordinals=(first, second)), None
        return True

    def _numbers(self, head: Head | None, cursor: Cursor | None) -> list[int]:
        found = [segment.number for lane in Lane for segment, _, _ in segments(self._disk, lane)]
        found += [bound.segment for bound in head.bounds] if head is not None else []
        found += [place.segment for place in cursor.places] if cursor is not None else []
        return found + [floor.segment for floor in self._ledger.floors]

    # A transaction

    def _transact(self, signals: Sequence[bytes], events: Sequence[bytes], mark: bytes) -> None:
        before = self._state
        first = before.sequence + len(signals)
        ordinals = (before.ordinals[0] + len(signals), before.ordinals[1] + len(events))
        after = State(before.transaction + 1, first + len(events), ordinals, mark)
        if signals or self._void_signals:
            active = self._ready(Lane.SIGNALS, before.ordinals[0])
            self._write(active, before.ordinals[0], list(enumerate(signals, before.sequence)), None)
            after = replace(after, signals=active.segment.number if signals else 0)
        active = self._ready(Lane.EVENTS, before.ordinals[1])
        self._write(active, before.ordinals[1], list(enumerate(events, first)), after)
        self._state = after
        self._void_signals = False

    def _copy(self, tail: Tail) -> None:
        """Write again what may not have reached the disk, into a segment that begins behind it."""
        end = tail.state.ordinals[Lane.EVENTS]
        active = self._ready(Lane.EVENTS, end)
        self._write(active, end - len(tail.events), tail.events, tail.state)
        self._state, self._tail = tail.state, None

    def _write(self, active: _Active, ordinal: int, events: Sequence[tuple[int, bytes]], commit: State | None) -> None:
        """Write a lane's part of a transaction, beginning with an ordinal, and sync it."""
        segment, key = active.segment, active.key
        place = ordinal - segment.base
        parts = [event_record(key, at, sequence, raw) for at, (sequence, raw) in enumerate(events, place)]
        if not active.size:
            parts.insert(0, state_record(key, Kind.HEADER, self._state))
        if commit is not None:
            parts.append(state_record(key, Kind.COMMIT, commit))
        data = b"".join(parts)
        active.file.write(data)
        active.file.sync()
        if not active.size:
            self._disk.sync_directory(segment.lane.directory)
        active.size += len(data)
        if self._used is not None:
            self._used += len(data)

    def _ready(self, lane: Lane, base: int) -> _Active:
        """The segment to write to: the active one, or a new one that begins with the ordinal ``base``."""
        old = self._active[lane]
        if old is not None and old.size < self._segment_bytes:
            return old
        if old is not None:
            old.file.close()
            self._active[lane] = None
        segment = Segment(self._next_number, base, self.epoch, lane)
        self._next_number += 1
        active = _Active(segment, self._disk.create(segment.path), self._clock())
        self._active[lane] = active
        if self._used is not None:
            self._used += _FILE_COST
        return active

    def _abandon(self) -> None:
        """Leave the segments being written; give back the room of what was not committed, where that works."""
        self._used = None
        for lane in Lane:
            active = self._active[lane]
            if active is None:
                continue
            active.file.close()
            self._active[lane] = None
            with suppress(OSError):
                if active.committed:
                    self._disk.cut(active.segment.path, active.committed)
                else:
                    self._disk.remove(active.segment.path)
        # Signals of the transaction that failed may lie on the disk: the next one must make them void.
        self._void_signals = True

    def _publish(self, *, sync: bool = False) -> None:
        """Let the reader see what is durable."""
        for lane in Lane:
            active = self._active[lane]
            if active is not None:
                active.committed = active.size
                self._bounds[lane] = Bound(active.segment.number, active.size)
        try:
            self._head.write(self._head_now(), sync=sync)
        except OSError as error:
            log.warning("%s: the forwarder sees the last events only later", self._error("cannot be written", error))

    def _head_now(self) -> Head:
        return Head(self.epoch, self._state, (self._bounds[0], self._bounds[1]))

    # The bound

    def _make_room(self, incoming: int) -> None:
        if not self._ledger_kept:
            self._keep_ledger()
        now = self._clock()
        due = abs(now - self._age_checked) >= _AGE_CHECK_SECONDS
        if not due and self._used is not None and self._used + incoming <= self._max_bytes:
            return
        self._age_checked = now
        lanes = [self._standing(lane) for lane in Lane]
        if due:
            self._drop_old(lanes, now)
        self._used = sum(size + _FILE_COST for lane in lanes for _, size, _ in lane)
        while self._used + incoming > self._max_bytes:
            lane = next((lane for lane in (Lane.EVENTS, Lane.SIGNALS) if self._idle(lanes[lane])), None)
            if lane is None:
                return
            self._used -= lanes[lane][0][1] + _FILE_COST
            self._drop(lanes[lane], "evicted")

    def _standing(self, lane: Lane) -> list[tuple[Segment, int, float]]:
        """The lane's segments that are not dropped; what a crash left of dropped ones is removed."""
        standing = []
        for entry in segments(self._disk, lane):
            if entry[0].number <= self._ledger.floors[lane].segment:
                self._disk.remove(entry[0].path)
            else:
                standing.append(entry)
        return standing

    def _idle(self, lane: list[tuple[Segment, int, float]]) -> bool:
        # The newest committed one stays in any case: the numbers and the mark stand in it.
        return len(lane) > 1 and lane[0][0].number < self._bounds[lane[0][0].lane].segment

    def _drop_old(self, lanes: list[list[tuple[Segment, int, float]]], now: float) -> None:
        if now < _SANE:
            return
        for lane in Lane:
            active = self._active[lane]
            if active is not None and now - active.created > self._max_age / 8:
                active.file.close()
                self._active[lane] = None
            while self._idle(lanes[lane]) and _SANE <= lanes[lane][0][2] < now - self._max_age:
                self._drop(lanes[lane], "expired")

    def _drop(self, lane: list[tuple[Segment, int, float]], reason: str) -> None:
        """Drop a lane's oldest segment: first counted, on the disk, then removed."""
        segment = lane[0][0]
        # Not only the next one: a copy that was never finished stands behind what came after it.
        end = min(later.base for later, _, _ in lane[1:])
        with self._disk.locked():
            cursor = self._cursors.read()
            floors = list(self._ledger.floors)
            floor = floors[segment.lane]
            lost = _unsettled(segment, end, floor, cursor.places[segment.lane] if cursor else Place())
            floors[segment.lane] = Floor(segment.number, max(end, floor.ordinal))
            counts = [0, 0]
            counts[segment.lane] = lost
            ledger = replace(_plus(self._ledger, reason, counts), floors=(floors[0], floors[1]))
            # Before it is written: should that fail, the reader may see it nevertheless, and passes these events.
            self._ledger = ledger
            self._keep_ledger()
            self._disk.remove(segment.path)
        del lane[0]
        if lost:
            log.warning("the spool drops %d undelivered %s (%s)", lost, segment.lane.directory, reason)

    def _note_lost(self, reason: str, counts: tuple[int, int]) -> None:
        self._ledger = _plus(self._ledger, reason, counts)
        with suppress(OSError):
            self._keep_ledger()

    def _keep_ledger(self) -> None:
        """Write the ledger; nothing that it counts as dropped may be removed before that."""
        self._ledger_kept = False
        self._ledgers.write(self._ledger, sync=True, twice=True)
        self._ledger_kept = True

    def _error(self, what: str, error: OSError) -> SpoolError:
        way_out = ": make room on the disk" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        return SpoolError(f"{what}: {error.strerror or error}{way_out}", path=str(self._directory))


def _plus(ledger: Ledger, reason: str, counts: Sequence[int]) -> Ledger:
    lost = [
        {**known, reason: known.get(reason, 0) + count} if count else known
        for known, count in zip(ledger.lost, counts, strict=True)
    ]
    return replace(ledger, lost=(lost[0], lost[1]))


def _unsettled(segment: Segment, end: int, floor: Floor, place: Place) -> int:
    """How many events the reader cannot get any more once a segment is dropped and it goes on at the ordinal ``end``.

    Not only those from the segment's base on: copies stand before it, and what only damage was left of counts, too.
    """
    start = place.ordinal if place.ordinal >= 0 else segment.base
    unread = max(0, end - max(start, floor.ordinal))
    return unread + sum(floor.segment < held.segment <= segment.number for held in place.held)

"""The reading side of the spool: what is durable, signals first, then the oldest; and what has become of it.

One portion is out at a time. Until it is settled the same events are taken again, so that a crash between delivery
and settling costs a repeated delivery (which the collector recognises by epoch and sequence), never an event.

Everything is read from files. Events are not decoded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from msgspec.structs import replace

from schoolwacht.errors import SpoolError
from schoolwacht.wire import Verdict
from schoolwacht_agent.spool.disk import Disk, RealDisk
from schoolwacht_agent.spool.format import HEADER_MAX, OVERHEAD, Kind, Lane, Segment, first_ordinal, record_at, records
from schoolwacht_agent.spool.recover import segments
from schoolwacht_agent.spool.slots import (
    Bound,
    Cursor,
    Floor,
    Head,
    Held,
    Ledger,
    Place,
    cursor_slots,
    head_slots,
    ledger_slots,
)

log = logging.getLogger(__name__)


_EVENTS = frozenset({int(Kind.EVENT), int(Kind.COPY)})


class Item(NamedTuple):
    """An event as the spool keeps it: ``raw`` is what :func:`schoolwacht.wire.encode_event` gave."""

    sequence: int
    raw: bytes
    lane: Lane
    held: Held


class Portion(NamedTuple):
    """Events to deliver, all of one epoch. ``places`` is where the lanes stand when all of it is settled."""

    epoch: str
    items: list[Item]
    places: tuple[Place, Place]


class _Taking:
    """What :meth:`Reader.take` may still take, and has taken."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.items: list[Item] = []
        self.epoch: str | None = None
        self._count = max_items
        self._bytes = max_bytes

    def takes(self, epoch: str, size: int) -> bool:
        """Whether one more event fits. The first one always does."""
        if not self.items:
            self.epoch = epoch
            return True
        return len(self.items) < self._count and size <= self._bytes and epoch == self.epoch

    def add(self, item: Item) -> None:
        self.items.append(item)
        self._bytes -= len(item.raw)


class _View(NamedTuple):
    """A lane as one call of :meth:`Reader.take` sees it: its segments with their sizes, and how far it is durable."""

    lane: Lane
    standing: list[tuple[Segment, int]]
    floor: Floor
    bound: Bound
    end: int

    @classmethod
    def of(cls, lane: Lane, listed: list[tuple[Segment, int, float]], floor: Floor, head: Head) -> _View:
        standing = [(segment, size) for segment, size, _ in listed if segment.number > floor.segment]
        return cls(lane, standing, floor, head.bounds[lane], head.state.ordinals[lane])


class _Window(NamedTuple):
    """Bytes of a segment from ``offset`` on, as they were read last."""

    segment: Segment
    offset: int
    data: bytes


class Reader:
    """The only reader of a spool. Not safe for several threads.

    Args:
        directory: the spool; it may be empty still.
        disk: the file system, for tests.
        clock: seconds since 1970.

    Raises SpoolError if the spool cannot be read or another process reads it.
    """

    def __init__(self, directory: Path, *, disk: Disk | None = None, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._disk = disk if disk is not None else RealDisk(directory)
        self._clock = clock
        self._head = head_slots(self._disk)
        self._ledgers = ledger_slots(self._disk)
        self._cursors = cursor_slots(self._disk)
        self._window: _Window | None = None
        self._out: Portion | None = None
        self._firsts: dict[int, int] = {}
        try:
            self._disk.make_directory("")
            self._disk.claim("reader")
            self._cursors.prepare()
            self._cursor = self._cursors.read() or Cursor()
        except OSError as error:
            self._disk.release("reader")
            raise self._error("cannot be opened", error) from error
        #: Segments below these are settled in the cursor before the newest, too: they can go.
        self._removable = [place.segment for place in self._cursor.places]

    def take(self, max_items: int, max_bytes: int) -> Portion | None:
        """The next events to deliver, at most so many and (save a single large one) so many bytes; None if none.

        Signals come before events; in each lane those to be tried again first, then the oldest. Raises SpoolError.
        """
        try:
            head = self._head.read()
            if head is None:
                return None
            # In this order: what is dropped meanwhile is then seen as dropped, or as listed but gone; never as damage.
            listed = [segments(self._disk, lane) for lane in Lane]
            floors = self._floors()
            views = [_View.of(lane, listed[lane], floors[lane], head) for lane in Lane]
            taking = _Taking(max_items, max_bytes)
            first, second = (
                self._take_new(view, self._take_held(view, self._cursor.places[view.lane], taking), taking)
                for view in views
            )
            portion = Portion(taking.epoch or head.epoch, taking.items, (first, second))
            if portion.items:
                self._out = portion
                return portion
            if portion.places != self._cursor.places:
                # Nothing but damage, or the end of a segment: pass it.
                self._out = portion
                self.settle(portion, [])
        except OSError as error:
            raise self._error("cannot be read", error) from error
        return None

    def settle(self, portion: Portion, verdicts: Sequence[Verdict]) -> None:
        """Record what has become of the portion that was taken last: delivered and rejected events are done.

        Args:
            portion: the last result of :meth:`take`.
            verdicts: one an item, in its order.

        Raises SpoolError if it cannot be recorded; the same portion can then be settled again.
        """
        if portion is not self._out:
            raise ValueError("only the portion taken last can be settled")
        try:
            with self._disk.locked():
                cursor = self._after(portion, verdicts, self._floors())
                self._cursors.write(cursor, sync=True)
        except OSError as error:
            raise self._error("cannot record what is delivered", error) from error
        self._cursor = cursor
        self._out = None
        self._remove_settled()

    def close(self) -> None:
        """Let another process read."""
        self._disk.release("reader")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Taking

    def _floors(self) -> tuple[Floor, Floor]:
        ledger: Ledger | None = self._ledgers.read()
        return ledger.floors if ledger is not None else (Floor(), Floor())

    def _take_held(self, view: _View, place: Place, taking: _Taking) -> Place:
        """Take a lane's events to be tried again; those that are gone leave the place that is returned."""
        if not place.held:
            return place
        known = {segment.number: segment for segment, _ in view.standing}
        kept = []
        corrupt = 0
        for held in place.held:
            if held.segment <= view.floor.segment:
                continue
            segment = known.get(held.segment)
            if segment is None:
                corrupt += 1
                continue
            if taking.takes(segment.epoch, held.size - OVERHEAD):
                try:
                    data = self._disk.read(segment.path, held.offset, held.size)
                except FileNotFoundError:
                    kept.append(held)
                    continue
                record = record_at(data, segment.key)
                if record is None:
                    corrupt += 1
                    continue
                taking.add(Item(record.sequence, data[record.start : record.end], view.lane, held))
            kept.append(held)
        return replace(place, held=tuple(kept), corrupt=place.corrupt + corrupt)

    def _take_new(self, view: _View, place: Place, taking: _Taking) -> Place:
        """Take a lane's events that were never taken before; the result is where the lane then stands."""
        standing, bound, end = view.standing, view.bound, view.end
        if place.ordinal < 0:
            place = replace(place, ordinal=standing[0][0].base if standing else end)
        place = replace(place, ordinal=max(place.ordinal, view.floor.ordinal))
        limits = self._limits([segment for segment, _ in standing if segment.number >= place.segment], end)
        for segment, length in standing:
            if segment.number < place.segment:
                continue
            if segment.number > bound.segment:
                break
            limit = limits[segment.number]
            if segment.number > place.segment:
                place = replace(place, segment=segment.number, offset=0)
            size = bound.offset if segment.number == bound.segment else length
            place, whole = self._take_segment(segment, place, limit, size, taking)
            if not whole:
                return place
        # What no file has any more, or only damaged, is counted when the next event is found, or here.
        return place if place.segment > bound.segment else _reach(place, end)

    def _limits(self, standing: list[Segment], end: int) -> dict[int, int]:
        """By segment number, the ordinal from which what it holds is void: a later segment begins with it, or ``end``.

        Not only the next one counts: a copy that was never finished stands behind what the next writer gives.
        """
        limits = {}
        for segment in reversed(standing):
            limits[segment.number] = end
            end = min(end, self._first_of(segment))
        return limits

    def _first_of(self, segment: Segment) -> int:
        """The lowest ordinal of a segment: its base, or where its copies begin."""
        if segment.lane is Lane.SIGNALS:
            return segment.base
        known = self._firsts.get(segment.number)
        if known is None:
            try:
                known = first_ordinal(segment, self._disk.read(segment.path, 0, HEADER_MAX))
            except FileNotFoundError:
                known = None
            if known is None:
                return segment.base
            self._firsts[segment.number] = known
        return known

    def _take_segment(
        self, segment: Segment, place: Place, limit: int, size: int, taking: _Taking
    ) -> tuple[Place, bool]:
        """Take from a segment's first ``size`` bytes, up to an ordinal; also whether all of that is taken."""
        window = self._read(segment, place.offset, size)
        if window is None:
            return place, False
        shift, data = window.offset, window.data
        offset, ordinal, corrupt = place.offset, place.ordinal, place.corrupt
        lane, number, base, epoch = segment.lane, segment.number, segment.base, segment.epoch
        for kind, at, sequence, start, stop in records(data, segment.key, offset - shift, size - shift):
            if kind in _EVENTS:
                found = base + at if kind == Kind.EVENT else base - at
                if found >= limit:
                    break
                if found >= ordinal:
                    if not taking.takes(epoch, stop - start):
                        return _at(place, number, offset, ordinal, corrupt), False
                    corrupt += found - ordinal
                    first = start - OVERHEAD
                    held = Held(found, number, shift + first, stop - first)
                    taking.add(Item(sequence, data[start:stop], lane, held))
                    ordinal = found + 1
            offset = shift + stop
        return _at(place, number, max(offset, size), ordinal, corrupt), True

    def _read(self, segment: Segment, offset: int, size: int) -> _Window | None:
        """A segment's bytes from ``offset`` (or before it) to ``size``; None if the segment is gone."""
        window = self._window
        if (
            window is None
            or window.segment != segment
            or window.offset > offset
            or window.offset + len(window.data) < size
        ):
            try:
                window = _Window(segment, offset, self._disk.read(segment.path, offset, max(0, size - offset)))
            except FileNotFoundError:
                return None
            self._window = window
        return window

    # Settling

    def _after(self, portion: Portion, verdicts: Sequence[Verdict], floors: tuple[Floor, Floor]) -> Cursor:
        taken = {(item.lane, item.held.ordinal) for item in portion.items}
        held: list[list[Held]] = [
            [one for one in portion.places[lane].held if (lane, one.ordinal) not in taken] for lane in Lane
        ]
        known = [{one.ordinal for one in place.held} for place in self._cursor.places]
        rescued = [0, 0]
        delivered = rejected = 0
        for item, verdict in zip(portion.items, verdicts, strict=True):
            floor, tried = floors[item.lane], item.held.ordinal in known[item.lane]
            # The writer counts what it drops by segment where it was tried before, and else by ordinal.
            dropped = item.held.segment <= floor.segment if tried else item.held.ordinal < floor.ordinal
            if verdict is Verdict.RETRY:
                if not dropped:
                    held[item.lane].append(item.held)
                continue
            delivered += verdict is Verdict.DELIVERED
            rejected += verdict is Verdict.REJECTED
            rescued[item.lane] += dropped
        first, second = (
            replace(
                place,
                held=tuple(sorted(held[lane], key=lambda one: one.ordinal)),
                rescued=place.rescued + rescued[lane],
            )
            for lane, place in zip(Lane, portion.places, strict=True)
        )
        return Cursor(
            (first, second),
            self._cursor.delivered + delivered,
            self._cursor.rejected + rejected,
            self._clock() if delivered else self._cursor.settled_at,
        )

    def _remove_settled(self) -> None:
        for lane in Lane:
            place = self._cursor.places[lane]
            needed = min([place.segment, *(held.segment for held in place.held)])
            if self._removable[lane] > 0:
                with suppress(OSError):
                    for segment, _, _ in segments(self._disk, lane):
                        if segment.number < min(needed, self._removable[lane]):
                            self._disk.remove(segment.path)
                            self._firsts.pop(segment.number, None)
            self._removable[lane] = needed

    def _error(self, what: str, error: OSError) -> SpoolError:
        return SpoolError(f"{what}: {error.strerror or error}", path=str(self._directory))


def _at(place: Place, segment: int, offset: int, ordinal: int, corrupt: int) -> Place:
    return Place(segment, offset, ordinal, place.held, corrupt, place.rescued)


def _reach(place: Place, ordinal: int) -> Place:
    """Go on to an ordinal; what was not found before it is counted as corrupt."""
    missing = max(0, ordinal - place.ordinal)
    return replace(place, ordinal=place.ordinal + missing, corrupt=place.corrupt + missing)

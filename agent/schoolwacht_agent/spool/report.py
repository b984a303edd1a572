"""What a spool holds and has lost, from its files: for health events, ``status`` and ``doctor``.

Reads without a lock while others work, so that figures may be a moment apart. It reads names and the three small
state files, no events.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht_agent.spool.disk import Disk, RealDisk
from schoolwacht_agent.spool.format import Lane
from schoolwacht_agent.spool.recover import segments
from schoolwacht_agent.spool.slots import Cursor, Head, Ledger, Place, cursor_slots, head_slots, ledger_slots


class LaneReport(msgspec.Struct, frozen=True):
    """One lane: bytes on disk, events waiting, events lost by reason (evicted, expired, corrupt, unfit)."""

    bytes: int
    waiting: int
    lost: dict[str, int]


class Report(msgspec.Struct, frozen=True):
    """The whole spool. ``settled_at`` is the time of the last delivery (seconds since 1970), 0 if there was none."""

    epoch: str
    signals: LaneReport
    events: LaneReport
    delivered: int
    rejected: int
    settled_at: float

    @property
    def bytes(self) -> int:
        """Size of both lanes on disk."""
        return self.signals.bytes + self.events.bytes

    @property
    def waiting(self) -> int:
        """Events that are not settled yet."""
        return self.signals.waiting + self.events.waiting

    @property
    def lost(self) -> dict[str, int]:
        """Losses as ``{"events.evicted": 3}``."""
        both = (("signals", self.signals), ("events", self.events))
        return {f"{name}.{reason}": count for name, lane in both for reason, count in lane.lost.items()}


def look(directory: Path, *, disk: Disk | None = None) -> Report | None:
    """The report of a spool; None where there is none. Raises OSError."""
    disk = disk if disk is not None else RealDisk(directory)
    ledger = ledger_slots(disk).read()
    if ledger is None:
        return None
    cursor = cursor_slots(disk).read() or Cursor()
    head = head_slots(disk).read()
    lanes = [_lane(disk, lane, ledger, head, cursor.places[lane]) for lane in Lane]
    return Report(
        ledger.epoch, lanes[Lane.SIGNALS], lanes[Lane.EVENTS], cursor.delivered, cursor.rejected, cursor.settled_at
    )


class _Standing(NamedTuple):
    size: int
    first: int | None


def _standing(disk: Disk, lane: Lane, ledger: Ledger) -> _Standing:
    kept = [(one, size) for one, size, _ in segments(disk, lane) if one.number > ledger.floors[lane].segment]
    return _Standing(sum(size for _, size in kept), kept[0][0].base if kept else None)


def _lane(disk: Disk, lane: Lane, ledger: Ledger, head: Head | None, place: Place) -> LaneReport:
    size, first = _standing(disk, lane, ledger)
    floor = ledger.floors[lane]
    waiting = sum(held.segment > floor.segment for held in place.held)
    if head is not None:
        start = place.ordinal if place.ordinal >= 0 else (first or 0)
        waiting += max(0, head.state.ordinals[lane] - max(start, floor.ordinal))
    return LaneReport(size, waiting, _lost(ledger.lost[lane], place))


def _lost(dropped: dict[str, int], place: Place) -> dict[str, int]:
    lost = dict(dropped)
    rescued = place.rescued
    for reason in ("evicted", "expired"):
        back = min(rescued, lost.get(reason, 0))
        if back:
            lost[reason] -= back
            rescued -= back
    if place.corrupt:
        lost["corrupt"] = place.corrupt
    return {reason: count for reason, count in lost.items() if count}

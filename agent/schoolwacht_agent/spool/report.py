"""What a spool holds and has lost, from its files: for health events, ``status`` and ``doctor``.

Reads without a lock while others work, so that figures of :func:`look` may be a moment apart; those of
:func:`account` belong together. It reads names and the three small state files, no events.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.account import Account, Totals
from schoolwacht_agent.spool.disk import Disk, RealDisk
from schoolwacht_agent.spool.format import Lane
from schoolwacht_agent.spool.recover import segments
from schoolwacht_agent.spool.slots import Cursor, Head, Ledger, Place, cursor_slots, head_slots, ledger_slots

#: Looks at files that change all the time before it gives up.
_ATTEMPTS = 50


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


def account(directory: Path, *, disk: Disk | None = None) -> Account | None:
    """All totals of a spool at one moment; None where there is none, or where it never stands still. Raises OSError.

    Nothing is locked: the files are read again until nothing has changed meanwhile.
    """
    disk = disk if disk is not None else RealDisk(directory)
    slots = (ledger_slots(disk), cursor_slots(disk), head_slots(disk))
    for _ in range(_ATTEMPTS):
        ledger, cursor, head = (slot.read() for slot in slots)
        if not isinstance(ledger, Ledger):
            return None
        assert cursor is None or isinstance(cursor, Cursor)
        ordinals = head.state.ordinals if isinstance(head, Head) else (0, 0)
        found = totals(disk, ledger, cursor or Cursor(), ordinals)
        if (ledger, cursor, head) == tuple(slot.read() for slot in slots):
            return Account(ledger.epoch, found, ledger.base or Totals(), ledger.parent)
    return None


def totals(disk: Disk, ledger: Ledger, cursor: Cursor, ordinals: tuple[int, int]) -> Totals:
    """The totals that follow from the state files; ``ordinals`` are how many events each lane ever got."""
    waiting = [_waiting(disk, lane, ledger, ordinals[lane], cursor.places[lane]) for lane in Lane]
    lost = [_lost(ledger.lost[lane], cursor.places[lane]) for lane in Lane]
    reasons = {name: sum(lane.get(name, 0) for lane in lost) for name in ("expired", "evicted", "corrupt", "unfit")}
    return Totals(ordinals, (waiting[0], waiting[1]), cursor.delivered, cursor.rejected, **reasons)


class _Standing(NamedTuple):
    size: int
    first: int | None


def _standing(disk: Disk, lane: Lane, ledger: Ledger) -> _Standing:
    kept = [(one, size) for one, size, _ in segments(disk, lane) if one.number > ledger.floors[lane].segment]
    return _Standing(sum(size for _, size in kept), kept[0][0].base if kept else None)


def _lane(disk: Disk, lane: Lane, ledger: Ledger, head: Head | None, place: Place) -> LaneReport:
    size, _ = _standing(disk, lane, ledger)
    waiting = _waiting(disk, lane, ledger, head.state.ordinals[lane] if head is not None else 0, place)
    return LaneReport(size, waiting, _lost(ledger.lost[lane], place))


def _waiting(disk: Disk, lane: Lane, ledger: Ledger, end: int, place: Place) -> int:
    """Events of a lane that are not settled, out of ``end`` that it ever got."""
    floor = ledger.floors[lane]
    held = sum(one.segment > floor.segment for one in place.held)
    start = place.ordinal if place.ordinal >= 0 else (_standing(disk, lane, ledger).first or 0)
    return held + max(0, end - max(start, floor.ordinal))


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

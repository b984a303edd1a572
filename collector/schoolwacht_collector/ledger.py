"""The ledger of an agent: what it says of its spool, what collectors counted, and whether it balances. Pure.

Promise: a report or a count that is merged again, late or in another order changes nothing: of each epoch and day the
furthest report stays, of each run of a collector and day the greatest counts. Figures of days are differences of
running totals, so that they add up to the totals whatever day a wrong clock gave a report.

It balances if every event that was kept is waiting, sent, set aside or declared lost; if no spool vanished with events
in it; and if collectors count what the agent says they took. Limits: days before :data:`DAYS` are one sum; at most
:data:`EPOCHS` epochs; of events that were kept after a vanished spool's last report nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from schoolwacht.account import Account, Totals
from schoolwacht_collector.records import Counted, Ledger, Said, Shed, Tallied

#: Days that are kept one by one.
DAYS = 35
EPOCHS = 64
#: The day under which the sums of all days before are kept.
BEFORE = "0000-00-00"
#: After so many days no collector has counts that it has not told.
_TOLD = 2
_ZERO = Totals()


class Balance(NamedTuple):
    """What is not accounted for.

    Events that the spool's own sums lack, that vanished with a spool, and that the agent says were taken while no
    collector counted them.
    """

    unexplained: int
    vanished: int
    uncounted: int

    @property
    def difference(self) -> int:
        """All of it."""
        return self.unexplained + self.vanished + self.uncounted


class LedgerDay(Struct, frozen=True):
    """An agent's figures of a day (UTC); ``0000-00-00`` sums all days before those.

    By the agent: ``seen`` events to be kept, of which it ``kept``, ``shed`` or found ``unfit``; of the kept ones
    ``sent``, ``rejected``, ``expired``, ``evicted`` or ``corrupt``. By the collectors: ``stored`` were new, ``again``
    were there already, ``refused`` became dead letters.
    """

    day: str
    seen: int
    kept: int
    sent: int
    stored: int
    again: int
    rejected: int
    refused: int
    shed: int
    expired: int
    evicted: int
    corrupt: int
    unfit: int


def said(ledger: Ledger, account: Account, *, at: datetime, arrived: datetime) -> Ledger:
    """The ledger with one report of the agent, of the day of ``at`` (the report's own, bounded time)."""
    epochs = {one.epoch: one for one in ledger.said}
    known = epochs.get(account.epoch)
    if known is None:
        if len(epochs) >= EPOCHS:
            return ledger
        known = Said(epoch=account.epoch, parent=account.parent, base=account.base, first=arrived, last=arrived)
    day = f"{at.date()}"
    before = known.days.get(day)
    further = before is None or account.now.progress > before.progress
    epochs[account.epoch] = replace(
        known,
        first=min(known.first, arrived),
        last=max(known.last, arrived),
        days=known.days | {day: account.now} if further else known.days,
    )
    return replace(ledger, said=tuple(epochs.values()), shed=_shed(ledger.shed, account, day))


def counted(ledger: Ledger, run: str, day: str, counts: Counted) -> Ledger:
    """The ledger with the counts of one run of a collector."""
    days = {one.day: one for one in ledger.counted}
    known = days.get(day, Tallied(day=day))
    before = known.runs.get(run, Counted())
    most = Counted(*(max(one, other) for one, other in zip(_fields(before), _fields(counts), strict=True)))
    days[day] = replace(known, runs=known.runs | {run: most})
    return replace(ledger, counted=tuple(days[name] for name in sorted(days)))


def recounted(ledger: Ledger, day: str, stored: int) -> Ledger:
    """The ledger, knowing that the store holds so many of the agent's events that arrived on a day."""
    days = {one.day: one for one in ledger.counted}
    known = days.get(day, Tallied(day=day))
    days[day] = replace(known, found=max(known.found, stored))
    return replace(ledger, counted=tuple(days[name] for name in sorted(days)))


def balance(ledger: Ledger) -> Balance:
    """What is not accounted for."""
    unexplained = sent = 0
    for one in ledger.said:
        now, base = _furthest(one), one.base
        settled = now.sent - base.sent + now.rejected - base.rejected + now.lost - base.lost
        unexplained += abs(sum(now.kept) - sum(base.kept) - settled - (sum(now.waiting) - sum(base.waiting)))
        sent += now.sent - base.sent
    taken = sum(_taken(day) for day in ledger.counted)
    return Balance(unexplained, sum(_vanished(one, ledger) for one in ledger.said), max(0, sent - taken))


def days_of(ledger: Ledger) -> list[LedgerDay]:
    """The figures of each day, the latest first."""
    names = {day for one in ledger.said for day in one.days}
    names |= {day for run in ledger.shed for day in run.days} | {one.day for one in ledger.counted}
    tallied = {one.day: one for one in ledger.counted}
    moved = [_steps(one) for one in ledger.said]
    shed = [dict(_grown(one.days)) for one in ledger.shed]
    found = []
    for name in sorted(names, reverse=True):
        gains = [steps[name] for steps in moved if name in steps]
        kept, sent, rejected, expired, evicted, corrupt, unfit = (
            [sum(column) for column in zip(*gains, strict=True)] if gains else [0] * 7
        )
        lost_early = sum(each.get(name, 0) for each in shed)
        day = tallied.get(name, Tallied(day=name))
        stored, delivered, refused = _sums(day)
        extra = max(0, day.found - stored)
        found.append(
            LedgerDay(name, kept + unfit + lost_early, kept, sent, stored + extra, delivered - stored, rejected,
                      refused, lost_early, expired, evicted, corrupt, unfit)
        )  # fmt: skip
    return found


def waiting(ledger: Ledger) -> int:
    """Events in the spool that reported last."""
    last = max(ledger.said, key=lambda one: one.last, default=None)
    return 0 if last is None else sum(_furthest(last).waiting)


def folded(ledger: Ledger, today: date) -> Ledger:
    """The ledger with what is long past as sums."""
    bound, told = f"{today - timedelta(days=DAYS)}", f"{today - timedelta(days=_TOLD)}"
    said_ = tuple(replace(one, days=_folded(one.days, bound)) for one in ledger.said)
    shed = tuple(replace(one, days=_folded_counts(one.days, bound)) for one in ledger.shed)
    days: dict[str, Tallied] = {}
    for one in ledger.counted:
        closed = replace(one, runs={"": Counted(*_sums(one))}) if one.day < told else one
        if one.day < bound:
            stored = max(closed.runs[""].stored, one.found)
            delivered = _taken(one)
            before = days.get(BEFORE, Tallied(day=BEFORE, runs={"": Counted()})).runs[""]
            sums = Counted(
                before.stored + stored, before.delivered + delivered, before.rejected + closed.runs[""].rejected
            )
            days[BEFORE] = Tallied(day=BEFORE, runs={"": sums})
        else:
            days[one.day] = closed
    return replace(ledger, said=said_, shed=shed, counted=tuple(days[name] for name in sorted(days)))


def _folded(days: dict[str, Totals], bound: str) -> dict[str, Totals]:
    old = [totals for day, totals in days.items() if day < bound]
    kept = {day: totals for day, totals in days.items() if day >= bound}
    return {BEFORE: max(old, key=lambda one: one.progress), **kept} if old else kept


def _folded_counts(days: dict[str, int], bound: str) -> dict[str, int]:
    old = [count for day, count in days.items() if day < bound]
    kept = {day: count for day, count in days.items() if day >= bound}
    return {BEFORE: max(old), **kept} if old else kept


def _shed(known: tuple[Shed, ...], account: Account, day: str) -> tuple[Shed, ...]:
    runs = {one.run: one for one in known}
    for run, count in account.shed.items():
        before = runs.get(run)
        if before is None and len(runs) >= EPOCHS:
            continue
        days = {} if before is None else before.days
        runs[run] = Shed(run=run, days=days | {day: max(count, days.get(day, 0))})
    return tuple(runs.values())


def _fields(counts: Counted) -> tuple[int, int, int]:
    return counts.stored, counts.delivered, counts.rejected


def _sums(day: Tallied) -> tuple[int, int, int]:
    stored, delivered, rejected = (sum(column) for column in zip((0, 0, 0), *map(_fields, day.runs.values())))  # noqa: B905 - all of three
    return stored, delivered, rejected


def _taken(day: Tallied) -> int:
    """Items of a day that collectors acknowledged, with those of which the store knows and no collector does."""
    stored, delivered, _ = _sums(day)
    return delivered + max(0, day.found - stored)


def _furthest(one: Said) -> Totals:
    return max(one.days.values(), key=lambda totals: totals.progress, default=one.base)


def _vanished(one: Said, ledger: Ledger) -> int:
    """Events that waited in a spool that another one has taken the place of."""
    followers = [other for other in ledger.said if other.epoch != one.epoch and other.first > one.last]
    if not followers:
        return 0
    now = _furthest(one)
    copy = next((other for other in followers if other.parent == one.epoch), None)
    base = _ZERO if copy is None else copy.base
    gone = 0
    for lane in (0, 1):
        # What had waited in the copy, less what was settled between the copying and the end: oldest first.
        settled = (now.kept[lane] - now.waiting[lane]) - (base.kept[lane] - base.waiting[lane])
        lives_on = max(0, base.waiting[lane] - max(0, settled))
        gone += max(0, now.waiting[lane] - lives_on)
    return gone


def _steps(one: Said) -> dict[str, tuple[int, ...]]:
    """What each day added to an epoch's totals."""
    found = {}
    before = one.base
    for day in sorted(one.days):
        now = one.days[day]
        if now.progress < before.progress:
            continue  # a clock went back: a day before this one has the later report
        found[day] = tuple(after - earlier for after, earlier in zip(_row(now), _row(before), strict=True))
        before = now
    return found


def _row(totals: Totals) -> tuple[int, ...]:
    return (
        sum(totals.kept), totals.sent, totals.rejected, totals.expired, totals.evicted, totals.corrupt, totals.unfit
    )  # fmt: skip


def _grown(days: dict[str, int]) -> Iterator[tuple[str, int]]:
    most = 0
    for day in sorted(days):
        yield day, max(0, days[day] - most)
        most = max(most, days[day])

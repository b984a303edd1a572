"""The ledger against a model of an agent, its spool and its collectors: whatever is lost or repeated, it adds up."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schoolwacht.account import Account, Totals
from schoolwacht_collector.ledger import (
    BEFORE,
    DAYS,
    EPOCHS,
    balance,
    counted,
    days_of,
    folded,
    recounted,
    said,
    waiting,
)
from schoolwacht_collector.records import Counted, Ledger

NOW = datetime(2026, 3, 2, 22, 0, tzinfo=UTC)
EMPTY = Ledger(id="gw", timestamp=NOW, board="1", agent="gw")


@dataclass
class Model:
    """An agent that counts truly, a spool that may be copied, put back or wiped, and collectors that may be killed."""

    chance: random.Random
    now: datetime = NOW
    epochs: int = 0
    epoch: str = "e0"
    parent: str = ""
    base: Totals = field(default_factory=Totals)
    totals: Totals = field(default_factory=Totals)
    copy: tuple[str, Totals] | None = None
    run: int = 0
    shed: int = 0
    vanished: int = 0
    stored: int = 0
    sums: dict[tuple[str, str], Counted] = field(default_factory=dict)
    reports: list[tuple[Account, datetime, datetime]] = field(default_factory=list)

    def keep(self, number: int) -> None:
        kept, waits = self.totals.kept, self.totals.waiting
        self.totals = replace(self.totals, kept=(0, kept[1] + number), waiting=(0, waits[1] + number))

    def lose(self, number: int) -> None:
        number = min(number, self.totals.waiting[1])
        self.totals = replace(
            self.totals, waiting=(0, self.totals.waiting[1] - number), evicted=self.totals.evicted + number
        )

    def deliver(self, number: int, *, repeated: int = 0, rejected: int = 0) -> None:
        """The oldest go; ``repeated`` of them had been stored before (their answer was lost)."""
        number = min(number, self.totals.waiting[1])
        rejected = min(rejected, number)
        taken = number - rejected
        self.totals = replace(
            self.totals,
            waiting=(0, self.totals.waiting[1] - number),
            sent=self.totals.sent + taken,
            rejected=self.totals.rejected + rejected,
        )
        self.count(stored=taken - min(repeated, taken), delivered=taken, rejected=rejected)
        self.count(stored=min(repeated, taken), delivered=min(repeated, taken), rejected=0)

    def count(self, *, stored: int, delivered: int, rejected: int) -> None:
        key = (f"c{self.chance.randrange(3)}-{self.run}", f"{self.now.date()}")
        before = self.sums.get(key, Counted())
        self.sums[key] = Counted(before.stored + stored, before.delivered + delivered, before.rejected + rejected)

    def report(self) -> None:
        """With a clock that may be wrong, and so be set to the time of arrival, or lie within its bounds."""
        wrong = self.chance.choice([0, 0, 0, -30, -3])
        account = Account(self.epoch, self.totals, self.base, self.parent, {"run": self.shed})
        self.reports.append((account, self.now + timedelta(hours=wrong), self.now))

    def begin(self, parent: str, totals: Totals) -> None:
        self.epochs += 1
        self.epoch, self.parent, self.base, self.totals = f"e{self.epochs}", parent, totals, totals

    def ledger(self, *, times: int = 1) -> Ledger:
        """As it is when everything came ``times`` times, in any order."""
        told: list[Callable[[Ledger], Ledger]] = [
            partial(_said, account=account, at=at, arrived=arrived) for account, at, arrived in self.reports
        ]
        told += [partial(_counted, run=run, day=day, counts=counts) for (run, day), counts in self.sums.items()]
        told *= times
        self.chance.shuffle(told)
        found = EMPTY
        for tell in told:
            found = tell(found)
        return found


def _said(ledger: Ledger, *, account: Account, at: datetime, arrived: datetime) -> Ledger:
    return said(ledger, account, at=at, arrived=arrived)


def _counted(ledger: Ledger, *, run: str, day: str, counts: Counted) -> Ledger:
    return counted(ledger, run, day, counts)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["keep", "keep", "deliver", "deliver", "repeat", "lose", "shed", "report", "report", "night", "restart",
             "wipe", "copy", "put back"]
        ),
        st.integers(1, 50),
    ),
    max_size=60,
)  # fmt: skip


def played(steps: list[tuple[str, int]], seed: int) -> Model:
    model = Model(random.Random(seed))
    for what, number in steps:
        model.now += timedelta(minutes=7)
        match what:
            case "keep":
                model.keep(number)
            case "deliver":
                model.deliver(number, rejected=number % 3)
            case "repeat":
                model.deliver(number, repeated=number // 2)
            case "lose":
                model.lose(number)
            case "shed":
                model.shed += number
            case "night":
                model.now += timedelta(hours=9)
            case "restart":
                model.run += 1
            case "wipe":
                model.report()
                model.vanished += model.totals.waiting[1]
                model.now += timedelta(minutes=1)
                model.begin("", Totals())
                model.copy = None
                model.report()
            case "copy":
                model.copy = (model.epoch, model.totals)
            case "put back" if model.copy is not None and model.copy[0] == model.epoch:
                model.report()
                old = model.copy[1]
                settled = (sum(model.totals.kept) - model.totals.waiting[1]) - (sum(old.kept) - old.waiting[1])
                model.vanished += model.totals.waiting[1] - max(0, old.waiting[1] - settled)
                model.now += timedelta(minutes=1)
                model.begin(*model.copy)
                model.copy = None
                model.report()
            case _:
                model.report()
    model.now += timedelta(minutes=1)
    model.report()
    return model


@given(STEPS, st.integers(0, 1000))
def test_only_what_vanished_with_a_spool_is_missing(steps: list[tuple[str, int]], seed: int) -> None:
    model = played(steps, seed)
    found = balance(model.ledger())
    assert (found.unexplained, found.vanished, found.uncounted) == (0, model.vanished, 0)


@given(STEPS, st.integers(0, 1000))
def test_the_days_add_up_to_the_totals(steps: list[tuple[str, int]], seed: int) -> None:
    model = played(steps, seed)
    days = days_of(model.ledger())
    last = {account.epoch: account for account, _, _ in model.reports}.values()
    assert sum(day.kept for day in days) == sum(sum(one.now.kept) - sum(one.base.kept) for one in last)
    assert sum(day.sent for day in days) == sum(one.now.sent - one.base.sent for one in last)
    assert sum(day.rejected for day in days) == sum(day.refused for day in days)
    assert sum(day.shed for day in days) == model.shed
    assert sum(day.seen for day in days) == sum(day.kept + day.unfit + day.shed for day in days)


@given(STEPS, st.integers(0, 1000))
def test_what_is_told_three_times_in_another_order_is_told_once(steps: list[tuple[str, int]], seed: int) -> None:
    model = played(steps, seed)
    once, thrice = model.ledger(), model.ledger(times=3)
    assert days_of(once) == days_of(thrice)
    assert balance(once) == balance(thrice)
    assert waiting(once) == waiting(thrice) == model.totals.waiting[1]


@given(STEPS, st.integers(0, 1000), st.integers(0, 60))
def test_what_is_long_past_is_kept_as_a_sum(steps: list[tuple[str, int]], seed: int, later: int) -> None:
    model = played(steps, seed)
    ledger = model.ledger()
    today = (model.now + timedelta(days=later)).date()
    kept = folded(folded(ledger, today), today)
    assert balance(kept) == balance(ledger)
    assert all(day.day == BEFORE or day.day >= f"{today - timedelta(days=DAYS)}" for day in days_of(kept))
    for name in ("seen", "sent", "stored", "again", "rejected", "shed", "evicted"):
        assert sum(getattr(day, name) for day in days_of(kept)) == sum(getattr(day, name) for day in days_of(ledger))


def test_what_no_collector_counted_is_missing_until_the_store_is_asked() -> None:
    now = Totals(kept=(0, 100), sent=100)
    ledger = said(EMPTY, Account("e0", now), at=NOW, arrived=NOW)
    ledger = counted(ledger, "killed", f"{NOW.date()}", Counted(60, 60))
    assert balance(ledger).uncounted == 40
    ledger = recounted(ledger, f"{NOW.date()}", 100)
    assert balance(ledger).difference == 0
    (day,) = days_of(ledger)
    assert (day.stored, day.again) == (100, 0)


def test_a_spool_whose_own_sums_do_not_add_up_is_told() -> None:
    now = Totals(kept=(0, 100), waiting=(0, 10), evicted=80)
    assert balance(said(EMPTY, Account("e0", now), at=NOW, arrived=NOW)).unexplained == 10


def test_a_spool_that_goes_on_beside_its_copy_has_not_vanished() -> None:
    later = NOW + timedelta(minutes=5)
    waits = Totals(kept=(0, 5), waiting=(0, 5))
    ledger = said(EMPTY, Account("e0", waits), at=NOW, arrived=NOW)
    ledger = said(ledger, Account("e1", Totals()), at=later, arrived=later)
    assert balance(ledger).vanished == 5
    ledger = said(ledger, Account("e0", waits), at=later, arrived=later + timedelta(minutes=1))
    assert balance(ledger).vanished == 0


def test_an_agent_that_makes_epochs_without_end_does_not_fill_the_store() -> None:
    ledger = EMPTY
    for number in range(EPOCHS + 20):
        ledger = said(ledger, Account(f"{number:016x}", Totals(), shed={f"r{number}": 1}), at=NOW, arrived=NOW)
    assert len(ledger.said) == len(ledger.shed) == EPOCHS


@pytest.mark.parametrize("name", ["seen", "kept", "sent", "stored", "rejected"])
def test_a_day_without_anything_shows_nothing(name: str) -> None:
    (day,) = days_of(said(EMPTY, Account("e0", Totals()), at=NOW, arrived=NOW))
    assert getattr(day, name) == 0

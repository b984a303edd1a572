from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.notify.plan import Planner, power
from schoolwacht_collector.records import Alert, AlertState, Severity
from schoolwacht_collector.tlp import Tlp
from tests.schoolwacht_collector.made import NOW, Clock, alert, stored
from tests.schoolwacht_collector.notify.target import Target
from tests.schoolwacht_collector.unreliable import Crash, Unreliable


def planner(store: Store, *targets: Target, clock: Clock | None = None) -> Planner:
    return Planner(store, targets or (Target(),), console_url="https://sw.example", clock=clock or Clock())


async def reasons(store: Store) -> list[str]:
    return sorted(str(row["delivery.reason"]) for row in await stored(store, Kind.DELIVERY))


async def change(store: Store, new: Alert) -> None:
    known = await store.get(Kind.ALERT, new.id)
    await store.put(Kind.ALERT, new, known.version if known else None)


async def test_a_new_alert_is_announced_once_to_each_target() -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, alert(), None)
    plan = planner(store, Target("cert"), Target("soc"))
    assert [await plan.plan(), await plan.plan()] == [2, 0]
    assert {row["delivery.target"] for row in await stored(store, Kind.DELIVERY)} == {"cert", "soc"}


async def test_planning_again_after_a_restart_makes_nothing_new() -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, alert(), None)
    assert [await planner(store).plan(), await planner(store).plan()] == [1, 0]


async def test_two_leaders_at_once_make_one_delivery() -> None:
    store = Unreliable(MemoryStore())
    await store.put(Kind.ALERT, alert(), None)
    made = await asyncio.gather(planner(store).plan(), planner(store).plan())
    assert sum(made) == 1
    assert await reasons(store) == ["alert.opened"]


async def test_growth_is_told_at_each_power_of_ten_and_not_between() -> None:
    store, clock = MemoryStore(), Clock()
    plan = planner(store, clock=clock)
    told = []
    for count in (1, 5, 9, 10, 11, 99, 100, 5000):
        clock.advance(1)
        await change(store, replace(alert(count=count), timestamp=clock.now))
        told.append(await plan.plan())
    assert told == [1, 0, 0, 1, 0, 0, 1, 1]
    assert await reasons(store) == ["alert.grew"] * 3 + ["alert.opened"]


async def test_an_alert_that_is_large_when_it_opens_is_told_once() -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, alert(count=1234), None)
    plan = planner(store)
    await plan.plan()
    await planner(store).plan()
    assert await reasons(store) == ["alert.opened"]


async def test_an_alert_below_a_targets_severity_is_told_when_it_rises() -> None:
    store, clock = MemoryStore(), Clock()
    plan = planner(store, Target(min_severity=Severity.HIGH), clock=clock)
    await store.put(Kind.ALERT, alert(severity="Minor"), None)
    assert await plan.plan() == 0
    await change(store, replace(alert(), timestamp=clock.now))
    assert await plan.plan() == 1


@pytest.mark.parametrize(
    ("limit", "label", "told"),
    [
        (Tlp.AMBER_STRICT, "RED", 0),
        (Tlp.AMBER_STRICT, "AMBER+STRICT", 1),
        (Tlp.AMBER_STRICT, None, 1),
        (Tlp.RED, "RED", 1),
        (Tlp.GREEN, "AMBER", 0),
        (Tlp.GREEN, "CLEAR", 1),
        (Tlp.AMBER, "something new", 0),
    ],
)
async def test_a_label_keeps_an_alert_from_targets_that_may_not_see_it(
    limit: Tlp, label: str | None, told: int
) -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, replace(alert(), tlp=label), None)
    assert await planner(store, Target(max_tlp=limit)).plan() == told


async def test_a_closed_alert_that_nobody_was_told_of_is_still_told() -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, replace(alert(), state=AlertState.CLOSED), None)
    assert await planner(store).plan() == 1


async def test_a_new_target_hears_of_the_last_day_but_not_of_older_alerts() -> None:
    store, clock = MemoryStore(), Clock()
    await store.put(Kind.ALERT, alert(opened=NOW - timedelta(days=3)), None)
    await store.put(Kind.ALERT, alert(opened=NOW - timedelta(hours=20), entity="10.1.0.6"), None)
    await planner(store, Target("old"), clock=Clock(NOW - timedelta(days=4))).plan()
    await planner(store, Target("old"), clock=clock).plan()
    made = await planner(store, Target("old"), Target("new"), clock=clock).plan()
    assert made == 1
    (row,) = [row for row in await stored(store, Kind.DELIVERY) if row["delivery.target"] == "new"]
    assert "10.1.0.6" in str(row["delivery.body"])


async def test_an_alert_whose_delivery_was_never_made_is_found_by_the_next_leader() -> None:
    store, clock = MemoryStore(), Clock()
    await planner(store, clock=clock).plan()
    clock.advance(60)
    await store.put(Kind.ALERT, alert(opened=clock.now), None)
    clock.advance(6 * 3600)
    assert await planner(store, clock=clock).plan() == 1


@given(st.integers(1, 12), st.booleans(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_crash_at_any_call_leaves_exactly_the_deliveries_that_must_be(at: int, after: bool, alerts: int) -> None:
    async def play() -> None:
        store = Unreliable(MemoryStore())
        for number in range(alerts):
            await store.put(Kind.ALERT, alert(entity=f"10.1.0.{number}"), None)
        store.fail_at, store.after = at, after
        with contextlib.suppress(Crash):
            await planner(store, Target("cert"), Target("soc")).plan()
        store.fail_at = None
        await planner(store, Target("cert"), Target("soc")).plan()
        assert len(await stored(store, Kind.DELIVERY)) == 2 * alerts

    asyncio.run(play())


@given(st.integers(1, 10**12))
def test_a_power_is_the_number_of_zeros(count: int) -> None:
    assert 10 ** power(count) <= count < 10 ** (power(count) + 1)


def retro(entity: str, indicator: str = "i1") -> Alert:
    made = alert(entity=entity, count=500)
    return replace(made, id=f"{made.id}-{entity}", retro=True, indicator_id=indicator)


async def test_a_look_back_that_found_many_hosts_is_told_once_for_each_indicator() -> None:
    store, clock = MemoryStore(), Clock()
    for entity in ("10.1.0.5", "10.1.0.6", "10.1.0.7"):
        await store.put(Kind.ALERT, retro(entity), None)
    await store.put(Kind.ALERT, retro("10.1.0.8", "i2"), None)
    assert await planner(store, clock=clock).plan() == 2
    assert await planner(store, clock=clock).plan() == 0


async def test_a_looked_back_alert_is_told_as_its_own_once_there_is_traffic_of_now() -> None:
    store, clock = MemoryStore(), Clock()
    made = retro("10.1.0.5")
    await store.put(Kind.ALERT, made, None)
    plan = planner(store, clock=clock)
    await plan.plan()
    clock.advance(1)
    await change(store, replace(made, retro=False, timestamp=clock.now))
    assert await plan.plan() == 1


@pytest.mark.parametrize(
    "silence",
    [{"suppressed_by": "t1"}, {"test": "r1"}, {"snoozed_until": NOW + timedelta(hours=1)}],
    ids=["tuning", "test", "snooze"],
)
async def test_nobody_is_told_while_an_alert_is_silent_and_everybody_when_it_no_longer_is(
    silence: dict[str, object],
) -> None:
    store, clock = MemoryStore(), Clock()
    await store.put(Kind.ALERT, replace(alert(), **silence), None)
    plan = planner(store, clock=clock)
    assert await plan.plan() == 0
    clock.advance(7200)
    await change(store, replace(alert(), timestamp=clock.now))
    assert await plan.plan() == 1


async def test_an_open_alert_that_goes_on_is_told_again_after_each_interval_and_not_between() -> None:
    store, clock = MemoryStore(), Clock()
    plan = Planner(store, (Target(),), console_url=None, clock=clock, remind=timedelta(hours=24))
    told = []
    for hours in range(0, 60, 6):
        clock.now = NOW + timedelta(hours=hours)
        await change(store, replace(alert(count=1 + hours // 12), arrived=clock.now, timestamp=clock.now))
        told.append(await plan.plan())
    assert told == [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert await reasons(store) == ["alert.continues", "alert.continues", "alert.opened"]


async def test_an_acknowledged_alert_is_not_told_again() -> None:
    store, clock = MemoryStore(), Clock()
    plan = Planner(store, (Target(),), console_url=None, clock=clock, remind=timedelta(hours=24))
    await change(store, alert())
    await plan.plan()
    clock.advance(86_400 * 2)
    await change(store, replace(alert(), state=AlertState.ACKNOWLEDGED, arrived=clock.now, timestamp=clock.now))
    assert await plan.plan() == 0


async def test_growth_puts_the_reminder_off() -> None:
    store, clock = MemoryStore(), Clock()
    plan = Planner(store, (Target(),), console_url=None, clock=clock, remind=timedelta(hours=24))
    await change(store, alert())
    await plan.plan()
    clock.advance(86_400 - 60)
    await change(store, replace(alert(count=10), arrived=clock.now, timestamp=clock.now))
    assert await plan.plan() == 1
    clock.advance(3600)
    await change(store, replace(alert(count=11), arrived=clock.now, timestamp=clock.now))
    assert await plan.plan() == 0


async def test_an_alert_of_the_sector_is_told_again_at_more_schools_and_not_at_the_same() -> None:
    store, clock = MemoryStore(), Clock()
    plan = planner(store, clock=clock)
    told = []
    for schools in (3, 3, 5, 5, 8):
        clock.advance(1)
        await change(store, replace(alert(), school_count=schools, board_count=2, timestamp=clock.now))
        told.append(await plan.plan())
    assert told == [1, 0, 1, 0, 1]
    assert await planner(store, clock=clock).plan() == 0
    assert await reasons(store) == ["alert.opened", "alert.spread", "alert.spread"]

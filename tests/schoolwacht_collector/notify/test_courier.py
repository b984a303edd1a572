from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schoolwacht.wire import Verdict
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.notify.courier import EAGER, LONGEST_DELAY, SLOW_DELAY, Courier, after
from schoolwacht_collector.notify.port import Attempt
from schoolwacht_collector.records import Delivery, DeliveryState
from tests.schoolwacht_collector.made import NOW, Clock, stored
from tests.schoolwacht_collector.notify.target import ARRIVED, BUSY, REFUSED, Target
from tests.schoolwacht_collector.unreliable import Crash, Unreliable


def delivery(name: str = "msg_1", *, target: str = "cert") -> Delivery:
    return Delivery(
        id=name,
        timestamp=NOW,
        state=DeliveryState.PENDING,
        target=target,
        alert_id="a",
        reason="alert.opened",
        body="{}",
        board="41000",
        due=NOW,
    )


async def waiting(store: Store, *names: str) -> None:
    for name in names:
        await store.put(Kind.DELIVERY, delivery(name), None)


async def now(store: Store, name: str = "msg_1") -> Delivery:
    known = await store.get(Kind.DELIVERY, name)
    assert known is not None
    return msgspec.convert(known.record, Delivery, from_attributes=True)


def courier(store: Store, target: Target, clock: Clock) -> Courier:
    return Courier(store, target, clock, jitter=lambda: 1.0)


async def test_what_arrives_is_noted_and_not_sent_again() -> None:
    store, clock, target = MemoryStore(), Clock(), Target()
    await waiting(store, "msg_1", "msg_2")
    assert [await courier(store, target, clock).round() for _ in range(2)] == [2, 0]
    assert sorted(target.ids) == ["msg_1", "msg_2"]
    assert (await now(store)).state is DeliveryState.DELIVERED


async def test_what_is_refused_for_good_stays_visible_and_is_not_sent_again() -> None:
    store, clock, target = MemoryStore(), Clock(), Target(answer=lambda _: REFUSED)
    await waiting(store, "msg_1")
    carrier = courier(store, target, clock)
    await carrier.round()
    clock.advance(1e6)
    await carrier.round()
    kept = await now(store)
    assert (kept.state, kept.last_error, kept.attempts) == (DeliveryState.REJECTED, "HTTP 410", 1)
    assert target.ids == ["msg_1"]


async def test_a_failed_attempt_is_repeated_when_due_and_not_before() -> None:
    store, clock, target = MemoryStore(), Clock(), Target(answer=lambda _: BUSY)
    await waiting(store, "msg_1")
    carrier = courier(store, target, clock)
    for step in (0, 4.9, 0.2, 5.0, 5.1):
        clock.advance(step)
        await carrier.round()
    assert len(target.ids) == 3
    assert (await now(store)).attempts == 3


async def test_a_target_that_fails_gets_one_attempt_a_round_until_it_is_well() -> None:
    answers = iter([*[BUSY] * 6, *[ARRIVED] * 50])
    store, clock = MemoryStore(), Clock()
    target = Target(answer=lambda _: next(answers))
    await waiting(store, *(f"msg_{number:02d}" for number in range(20)))
    carrier = courier(store, target, clock)
    attempts = []
    for _ in range(4):
        clock.advance(1)
        before = len(target.ids)
        await carrier.round()
        attempts.append(len(target.ids) - before)
    assert attempts == [4, 1, 1, 1]
    clock.advance(600)
    while await carrier.round():
        pass
    assert all(row["delivery.state"] == "delivered" for row in await stored(store, Kind.DELIVERY))


async def test_another_targets_deliveries_are_left_alone() -> None:
    store, clock, target = MemoryStore(), Clock(), Target("soc")
    await waiting(store, "msg_1")
    await courier(store, target, clock).round()
    assert target.ids == []


async def test_a_fault_in_the_notifier_loses_nothing() -> None:
    def fail(name: str) -> Attempt:
        raise KeyError(name)

    store, clock = MemoryStore(), Clock()
    await waiting(store, "msg_1")
    await courier(store, Target(answer=fail), clock).round()
    assert (await now(store)).state is DeliveryState.PENDING


@given(st.integers(1, 4), st.booleans())
def test_a_crash_at_any_call_repeats_a_delivery_at_most_and_never_loses_it(at: int, late: bool) -> None:
    async def play() -> None:
        store, clock, target = Unreliable(MemoryStore()), Clock(), Target()
        await waiting(store, "msg_1")
        store.fail_at, store.after = at, late
        with contextlib.suppress(Crash):
            await courier(store, target, clock).round()
        store.fail_at = None
        await courier(store, target, clock).round()
        assert set(target.ids) == {"msg_1"}
        assert (await now(store)).state is DeliveryState.DELIVERED

    asyncio.run(play())


async def test_two_leaders_at_once_deliver_under_one_id() -> None:
    store, clock, target = Unreliable(MemoryStore()), Clock(), Target()
    await waiting(store, "msg_1")
    await asyncio.gather(courier(store, target, clock).round(), courier(store, target, clock).round())
    assert set(target.ids) == {"msg_1"}
    assert (await now(store)).state is DeliveryState.DELIVERED


@given(st.integers(0, 10_000), st.floats(0.5, 1), st.integers(0, 40 * 86_400))
def test_a_failed_delivery_is_always_tried_again_within_the_pace_of_its_age(
    attempts: int, jitter: float, age: int
) -> None:
    at = NOW + timedelta(seconds=age)
    noted = after(replace(delivery(), attempts=attempts), BUSY, now=at, jitter=jitter)
    limit = LONGEST_DELAY if timedelta(seconds=age) < EAGER else SLOW_DELAY
    assert noted.state is DeliveryState.PENDING
    assert timedelta(seconds=2) < noted.due - at <= limit


def test_delays_double_up_to_five_minutes() -> None:
    one, delays = delivery(), []
    for _ in range(9):
        one = after(one, BUSY, now=NOW, jitter=1.0)
        delays.append((one.due - NOW).total_seconds())
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_wait_that_the_receiver_asks_for_is_kept_to() -> None:
    asked = Attempt(Verdict.RETRY, "HTTP 429", timedelta(minutes=20))
    assert after(delivery(), asked, now=NOW, jitter=0.5).due == NOW + timedelta(minutes=20)


async def test_a_target_that_cannot_be_told_is_said_in_the_log_and_its_recovery_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock, target = MemoryStore(), Clock(), Target(answer=lambda _: BUSY)
    await waiting(store, "msg_1")
    carrying = courier(store, target, clock)
    for _ in range(4):
        await carrying.round()
        clock.now += timedelta(hours=1)
    target.answer = lambda _: ARRIVED
    await carrying.round()
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [each.split(",")[0] for each in said] == [
        "cert cannot be told (attempt 1 in a row)",
        "cert cannot be told (attempt 2 in a row)",
        "cert cannot be told (attempt 4 in a row)",
        "cert can be told again",
    ]
    assert "HTTP 503" in said[0]

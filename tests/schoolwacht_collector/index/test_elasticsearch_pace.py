"""What is sent at once follows what the cluster takes."""

from __future__ import annotations

import asyncio

from schoolwacht.wire import Verdict
from schoolwacht_collector.index.elasticsearch.pace import LEAST_ITEMS, LONGEST_PAUSE, Pace
from tests.schoolwacht_collector.index.answering import Answer, answering, item
from tests.schoolwacht_collector.index.stores import event


class Clock:
    """Seconds that pass only when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_overload_halves_both_bounds_and_what_goes_well_raises_them_again() -> None:
    pace = Pace(8, 4000, clock=Clock())
    async with pace.flight() as flight:
        pace.overloaded(flight, "429")
    assert (pace.flights, pace.items) == (4, 2000)

    seen = []
    for _ in range(100):
        pace.went_well()
        seen.append((pace.flights, pace.items))

    assert seen == sorted(seen)
    assert seen[0] == (4, 2200)
    assert seen[-1] == (8, 4000)


async def test_the_bounds_never_fall_so_far_that_nothing_goes() -> None:
    clock = Clock()
    pace = Pace(8, 4000, clock=clock)
    for _ in range(50):
        clock.now += 2 * LONGEST_PAUSE
        async with pace.flight() as flight:
            pace.overloaded(flight, "429")

    assert (pace.flights, pace.items) == (1, LEAST_ITEMS)


async def test_requests_that_were_in_flight_together_count_as_one_overload() -> None:
    pace = Pace(8, 4000, clock=Clock())
    async with pace.flight() as first, pace.flight() as second, pace.flight() as third:
        for flight in (first, second, third):
            pace.overloaded(flight, "429")

    assert (pace.flights, pace.items) == (4, 2000)


async def test_requests_go_in_the_order_in_which_they_were_asked_for_and_never_too_many() -> None:
    pace = Pace(2, 100, clock=Clock())
    order: list[int] = []
    running = most = 0

    async def request(number: int) -> None:
        nonlocal running, most
        async with pace.flight():
            order.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(request(number) for number in range(20)))

    assert order == list(range(20))
    assert most == 2


async def test_a_request_that_gives_up_waiting_takes_no_place() -> None:
    pace = Pace(1, 100, clock=Clock())
    reached = asyncio.Event()

    async def request() -> None:
        async with pace.flight():
            reached.set()

    async with pace.flight():
        waiting = [asyncio.create_task(request()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
    await asyncio.wait_for(waiting[2], 10)

    assert reached.is_set()


async def test_items_refused_with_429_slow_down_and_a_later_call_is_cut_smaller() -> None:
    """What was refused is a retry, and nothing else is; the next call comes in smaller requests, and all is taken."""

    def script(ids: list[str]) -> Answer:
        return 200, {"items": [item(201 if place < 200 else 429, "es_rejected", "queue") for place in range(len(ids))]}

    async with answering(script, bulk_items=800, bulk_requests=4) as (store, server):
        first = await store.create([event(number, "b") for number in range(800)])
        server.requests.clear()
        await store.create([event(number, "b") for number in range(800)])

    assert [outcome.verdict for outcome in first] == [Verdict.DELIVERED] * 200 + [Verdict.RETRY] * 600
    assert max(map(len, server.requests)) <= 400
    # Each event was asked for exactly once.
    assert sorted(name for ids in server.requests for name in ids) == [f"b-{number:05}" for number in range(800)]


async def test_an_answer_429_slows_down_and_a_single_node_that_is_gone_does_not() -> None:
    answers: list[Answer] = [(429, {"error": {"type": "es_rejected_execution_exception", "reason": "queue"}}), None]
    async with answering(lambda ids: answers[0], bulk_items=1000, bulk_requests=4) as (store, _):
        await store.create([event(1, "b")])
        assert (store._pace.flights, store._pace.items) == (2, 500)
        answers[0] = None
        await store.create([event(1, "b")])
        assert (store._pace.flights, store._pace.items) == (2, 500)

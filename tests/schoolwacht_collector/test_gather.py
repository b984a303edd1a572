from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import StoreError
from schoolwacht.event import Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.gather import MOST, PARALLEL, QUANTUM, Gather, weigh
from schoolwacht_collector.index.port import Outcome
from tests.schoolwacht_collector.serving import flow


class Calls:
    """A store's ``create`` that says of each document its own number, and holds calls until they are let go."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = asyncio.Event()
        self.running = self.most_running = 0
        self.error: Exception | None = None

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        self.sizes.append(len(events))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.go.wait()
        self.running -= 1
        if self.error is not None:
            raise self.error
        return [Outcome(Verdict.DELIVERED, created=True, reason=str(event.event_sequence)) for event in events]


def batch(*numbers: int) -> list[Event]:
    return [flow(event_sequence=number) for number in numbers]


async def test_a_batch_goes_at_once_when_nothing_is_under_way() -> None:
    calls = Calls()
    task = asyncio.create_task(Gather(calls.create).create(batch(1)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.sizes == [1]
    calls.go.set()
    assert [outcome.reason for outcome in await task] == ["1"]


async def test_batches_that_arrive_meanwhile_go_together() -> None:
    calls = Calls()
    gather = Gather(calls.create)
    tasks = [asyncio.create_task(gather.create(batch(10 * number, 10 * number + 1))) for number in range(PARALLEL + 5)]
    await asyncio.sleep(0.01)
    calls.go.set()
    answers = await asyncio.gather(*tasks)
    assert calls.sizes == [2] * PARALLEL + [10]
    for number, outcomes in enumerate(answers):
        assert [outcome.reason for outcome in outcomes] == [str(10 * number), str(10 * number + 1)]


async def test_an_error_reaches_everyone_in_the_call_and_nobody_else() -> None:
    calls = Calls()
    calls.error = StoreError("no answer")
    gather = Gather(calls.create)
    tasks = [asyncio.create_task(gather.create(batch(number))) for number in range(PARALLEL + 2)]
    await asyncio.sleep(0.01)
    calls.go.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, StoreError) for one in found)
    calls.error = None
    assert len(await gather.create(batch(1))) == 1


async def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    calls = Calls()
    gather = Gather(calls.create)
    tasks = [asyncio.create_task(gather.create(batch(number))) for number in range(PARALLEL + 3)]
    await asyncio.sleep(0.01)
    tasks[PARALLEL + 1].cancel()
    await asyncio.sleep(0)
    calls.go.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[PARALLEL + 1]
    assert [outcome.reason for outcome in await tasks[PARALLEL + 2]] == [str(PARALLEL + 2)]


@given(st.lists(st.integers(0, MOST + 10), max_size=8))
def test_every_caller_gets_its_own_outcomes_and_calls_stay_bounded(sizes: list[int]) -> None:
    async def run() -> None:
        calls = Calls()
        calls.go.set()
        gather = Gather(calls.create)
        one = flow(event_sequence=5)
        answers = await asyncio.gather(*(gather.create([one] * size) for size in sizes))
        assert [len(answer) for answer in answers] == sizes
        assert sum(calls.sizes) == sum(sizes)
        assert all(size <= max(MOST, *sizes) for size in calls.sizes)
        assert calls.most_running <= PARALLEL

    asyncio.run(run())


async def test_one_with_much_delays_another_by_the_calls_under_way_only() -> None:
    class Kept(Calls):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[list[int]] = []

        async def create(self, events: Sequence[Event]) -> list[Outcome]:
            self.seen.append([event.event_sequence or 0 for event in events])
            return await super().create(events)

    calls = Kept()
    gather = Gather(calls.create)
    greedy = [asyncio.create_task(gather.create(batch(*[1] * MOST), "greedy")) for _ in range(PARALLEL + 20)]
    await asyncio.sleep(0)
    modest = asyncio.create_task(gather.create(batch(2, 2), "modest"))
    await asyncio.sleep(0.01)
    assert [set(numbers) for numbers in calls.seen] == [{1}] * PARALLEL
    calls.go.set()
    assert [outcome.reason for outcome in await modest] == ["2", "2"]
    await asyncio.gather(*greedy)
    assert [2 in numbers for numbers in calls.seen].index(True) == PARALLEL
    assert calls.seen[PARALLEL].index(2) <= QUANTUM


async def test_dear_documents_go_in_smaller_calls() -> None:
    dear = flow(event_sequence=1, related_ip=[f"192.0.2.{place}" for place in range(64)])
    calls = Calls()
    calls.go.set()
    outcomes = await Gather(calls.create).create([dear] * 2000)
    assert len(outcomes) == 2000
    assert max(calls.sizes) * weigh(dear) < MOST + weigh(dear)
    assert weigh(flow(related_ip=["192.0.2.1", "192.0.2.2"])) == 1


async def test_a_batch_in_several_calls_of_which_one_fails_is_an_error_as_a_whole() -> None:
    class Second(Calls):
        async def create(self, events: Sequence[Event]) -> list[Outcome]:
            if len(self.sizes) == 1:
                self.sizes.append(len(events))
                raise StoreError("no answer")
            return await super().create(events)

    calls = Second()
    calls.go.set()
    gather = Gather(calls.create)
    with pytest.raises(StoreError):
        await gather.create(batch(*range(MOST + 10)))
    assert len(await gather.create(batch(1))) == 1

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.admission import LEAST, Flight, Room, Turns


def test_one_agent_cannot_take_the_room_of_the_others() -> None:
    flight = Flight(total=10 * LEAST, share=4 * LEAST)
    with flight.admitted("greedy", 4 * LEAST) as first, flight.admitted("greedy", 1) as second:
        assert (first, second) == (True, False)
        with flight.admitted("modest", LEAST) as third:
            assert third


def test_all_agents_together_are_bounded() -> None:
    flight = Flight(total=2 * LEAST, share=LEAST)
    with flight.admitted("a", 1) as one, flight.admitted("b", 1) as two, flight.admitted("c", 1) as three:
        assert (one, two, three) == (True, True, False)
        assert flight.bytes == 2 * LEAST


def test_room_is_given_back_also_after_an_error() -> None:
    flight = Flight(total=LEAST, share=LEAST)
    with pytest.raises(OSError), flight.admitted("a", 1):  # noqa: PT011 - any error
        raise OSError
    assert flight.bytes == 0
    with flight.admitted("a", 1) as admitted:
        assert admitted


def test_a_refused_batch_costs_nothing() -> None:
    flight = Flight(total=LEAST, share=LEAST)
    with flight.admitted("a", LEAST + 1) as admitted:
        assert not admitted
        assert flight.bytes == 0


async def test_agents_take_turns_however_many_batches_one_has_in_line() -> None:
    turns = Turns()
    await turns.take("first")
    order: list[str] = []

    async def work(agent: str) -> None:
        await turns.take(agent)
        order.append(agent)
        turns.give_back()

    tasks = [asyncio.create_task(work(agent)) for agent in ["greedy"] * 5 + ["modest", "other"]]
    await asyncio.sleep(0)
    turns.give_back()
    await asyncio.gather(*tasks)
    assert order == ["greedy", "modest", "other", "greedy", "greedy", "greedy", "greedy"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_there_is_one_turn_at_a_time_and_it_never_gets_lost(steps: list[tuple[str, bool]]) -> None:
    async def run() -> None:
        turns = Turns()
        inside = 0
        tasks: list[asyncio.Task[None]] = []

        async def work(agent: str) -> None:
            nonlocal inside
            await turns.take(agent)
            inside += 1
            assert inside == 1
            try:
                await asyncio.sleep(0)
            finally:
                inside -= 1
                turns.give_back()

        for agent, cancel in steps:
            tasks.append(asyncio.create_task(work(agent)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in found if isinstance(one, Exception)]
        async with asyncio.timeout(5):
            await turns.take("last")

    asyncio.run(run())


async def test_who_comes_first_enters_first() -> None:
    room = Room(100)
    await room.enter(90)
    entered: list[str] = []

    async def enter(name: str, number: int) -> None:
        await room.enter(number)
        entered.append(name)

    large = asyncio.create_task(enter("large", 60))
    small = asyncio.create_task(enter("small", 5))
    await asyncio.sleep(0)
    assert entered == []
    room.leave(90)
    await asyncio.gather(large, small)
    assert entered == ["large", "small"]


async def test_one_who_gives_up_takes_no_room() -> None:
    room = Room(10)
    await room.enter(10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await room.enter(10)
    room.leave(10)
    async with asyncio.timeout(5):
        await room.enter(10)


async def test_one_who_is_cancelled_after_getting_room_gives_it_back() -> None:
    room = Room(10)
    await room.enter(10)
    waiting = asyncio.create_task(room.enter(10))
    await asyncio.sleep(0)
    room.leave(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        await room.enter(10)


async def test_more_than_the_whole_room_enters_alone() -> None:
    room = Room(10)
    room.leave(await room.enter(1000))
    async with asyncio.timeout(5):
        await room.enter(10)


async def test_who_holds_room_waits_for_more_of_others_but_not_of_its_own() -> None:
    room = Room(10)
    other = await room.enter(4)
    mine = await room.enter(6)
    more = asyncio.create_task(room.enter(1000, held=mine))
    await asyncio.sleep(0)
    assert not more.done()
    room.leave(other)
    assert await more == 4
    room.leave(10)
    async with asyncio.timeout(5):
        await room.enter(10)


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=30))
def test_room_is_never_exceeded_and_always_comes_back(steps: list[tuple[int, bool]]) -> None:
    async def run() -> None:
        room = Room(50)
        tasks: list[asyncio.Task[None]] = []
        inside = 0
        most = 0

        async def visit(number: int) -> None:
            nonlocal inside, most
            taken = await room.enter(number)
            inside += taken
            most = max(most, inside)
            try:
                await asyncio.sleep(0)
            finally:
                inside -= taken
                room.leave(taken)

        for number, cancel in steps:
            tasks.append(asyncio.create_task(visit(number)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= 50
        async with asyncio.timeout(5):
            await room.enter(50)

    asyncio.run(run())

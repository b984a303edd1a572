from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.admission import LEAST, Flight, Room


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


async def test_who_comes_first_enters_first() -> None:
    room = Room(100)
    await room.enter("full", 90)
    entered: list[str] = []

    async def enter(name: str, number: int) -> None:
        await room.enter(name, number)
        entered.append(name)

    large = asyncio.create_task(enter("large", 60))
    small = asyncio.create_task(enter("small", 5))
    await asyncio.sleep(0)
    assert entered == []
    room.leave("full", 90)
    await asyncio.gather(large, small)
    assert entered == ["large", "small"]


async def test_who_holds_least_enters_first() -> None:
    room = Room(100)
    await room.enter("greedy", 60)
    await room.enter("greedy", 40)
    entered: list[str] = []

    async def enter(name: str) -> None:
        await room.enter(name, 30)
        entered.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in ("greedy", "greedy", "modest")]
    await asyncio.sleep(0)
    room.leave("greedy", 40)
    await asyncio.sleep(0)
    assert entered == ["modest"]
    room.leave("greedy", 60)
    await asyncio.gather(*tasks)


async def test_one_who_gives_up_takes_no_room() -> None:
    room = Room(10)
    await room.enter("a", 10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await room.enter("b", 10)
    room.leave("a", 10)
    async with asyncio.timeout(5):
        await room.enter("c", 10)


async def test_one_who_gives_up_holds_up_nobody_behind() -> None:
    room = Room(10)
    await room.enter("a", 5)
    large = asyncio.create_task(room.enter("large", 10))
    small = asyncio.create_task(room.enter("small", 5))
    await asyncio.sleep(0)
    large.cancel()
    async with asyncio.timeout(5):
        await small


async def test_one_who_is_cancelled_after_getting_room_gives_it_back() -> None:
    room = Room(10)
    await room.enter("a", 10)
    waiting = asyncio.create_task(room.enter("b", 10))
    await asyncio.sleep(0)
    room.leave("a", 10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5):
        await room.enter("c", 10)


async def test_more_than_the_whole_room_enters_alone() -> None:
    room = Room(10)
    await room.enter("a", 1000)
    assert (room.bounded(1000), room.taken) == (10, 10)
    room.leave("a", room.bounded(1000))
    assert room.try_enter("b", 10)


async def test_what_turns_out_to_be_more_is_waited_for_by_others() -> None:
    room = Room(10)
    await room.enter("a", 6)
    room.add("a", 8)
    waiting = asyncio.create_task(room.enter("b", 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.leave("a", 4)
    await asyncio.sleep(0)
    assert not waiting.done()
    room.leave("a", 10)
    async with asyncio.timeout(5):
        await waiting
    assert room.taken == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.booleans()), max_size=30))
def test_room_is_never_exceeded_and_always_comes_back(steps: list[tuple[str, int, bool]]) -> None:
    async def run() -> None:
        room = Room(50)
        tasks: list[asyncio.Task[None]] = []

        async def visit(agent: str, number: int) -> None:
            await room.enter(agent, number)
            assert room.taken <= 50
            try:
                await asyncio.sleep(0)
            finally:
                room.leave(agent, room.bounded(number))

        for agent, number, cancel in steps:
            tasks.append(asyncio.create_task(visit(agent, number)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in found if isinstance(one, Exception)]
        assert room.taken == 0
        assert room.try_enter("last", 50)

    asyncio.run(run())

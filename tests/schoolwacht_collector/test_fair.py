from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.fair import Line, Turn


async def test_agents_take_turns_however_many_batches_one_has_in_line() -> None:
    line = Line()
    await line.take("first")
    order: list[str] = []

    async def work(agent: str) -> None:
        await line.take(agent)
        order.append(agent)
        line.give_back(agent, 1)

    tasks = [asyncio.create_task(work(agent)) for agent in ["greedy"] * 5 + ["modest", "other"]]
    await asyncio.sleep(0)
    line.give_back("first", 1)
    await asyncio.gather(*tasks)
    assert order[:3] == ["greedy", "modest", "other"]
    assert order[3:] == ["greedy"] * 4


async def test_who_costs_ten_times_as_much_has_a_tenth_of_the_turns() -> None:
    line = Line()
    await line.take("gate")
    turns = {"dear": 0, "cheap": 0}
    done = 0

    async def work(agent: str, cost: float) -> None:
        nonlocal done
        await line.take(agent)
        if done < 110:
            turns[agent] += 1
            done += 1
        line.give_back(agent, cost)

    tasks = [asyncio.create_task(work(agent, cost)) for agent, cost in [("dear", 10), ("cheap", 1)] * 200]
    await asyncio.sleep(0)
    line.give_back("gate", 0)
    await asyncio.gather(*tasks)
    assert 9 <= turns["dear"] <= 11


async def test_nothing_is_saved_up_while_there_is_no_work() -> None:
    line = Line()
    for _ in range(1000):
        await line.take("busy")
        line.give_back("busy", 1)
    await line.take("busy")
    order: list[str] = []

    async def work(agent: str) -> None:
        await line.take(agent)
        order.append(agent)
        line.give_back(agent, 1)

    tasks = [asyncio.create_task(work(agent)) for agent in ["idle", "busy"] * 6]
    await asyncio.sleep(0)
    line.give_back("busy", 1)
    await asyncio.gather(*tasks)
    assert order.index("busy") <= 3


async def test_a_long_work_lets_another_go_first_when_it_pauses() -> None:
    line = Line()
    order: list[str] = []

    async def long() -> None:
        turn = Turn(line, "long")
        await turn.take()
        await asyncio.sleep(0)
        for _ in range(3):
            order.append("long")
            turn.spent += 1
            await turn.pause()
        turn.give_back()

    async def short() -> None:
        turn = Turn(line, "short")
        await turn.take()
        order.append("short")
        turn.give_back()

    await asyncio.gather(long(), short())
    assert order == ["long", "short", "long", "long"]


async def test_a_pause_without_others_is_none() -> None:
    turn = Turn(line := Line(), "alone")
    await turn.take()
    turn.spent = 5
    await turn.pause()
    assert turn.spent == 5
    turn.give_back()
    turn.give_back()
    async with asyncio.timeout(5):
        await line.take("next")


async def test_one_who_gives_up_in_a_pause_holds_up_nobody() -> None:
    line = Line()
    first, second = Turn(line, "first"), Turn(line, "second")
    await first.take()
    waiting = asyncio.create_task(second.take())
    await asyncio.sleep(0)
    pausing = asyncio.create_task(first.pause())
    await waiting
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    first.give_back()
    second.give_back()
    async with asyncio.timeout(5):
        await line.take("third")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans(), st.booleans()), max_size=20))
def test_there_is_one_turn_at_a_time_and_it_never_gets_lost(steps: list[tuple[str, int, bool, bool]]) -> None:
    async def run() -> None:
        line = Line()
        inside = 0
        tasks: list[asyncio.Task[None]] = []

        async def work(agent: str, cost: int, pausing: bool) -> None:
            nonlocal inside
            turn = Turn(line, agent)
            try:
                await turn.take()
                inside += 1
                assert inside == 1
                turn.spent = cost
                await asyncio.sleep(0)
                if pausing:
                    inside -= 1
                    await turn.pause()
                    inside += 1
                    assert inside == 1
                inside -= 1
            except asyncio.CancelledError:
                if turn._mine:
                    inside -= 1
                raise
            finally:
                turn.give_back()

        for agent, cost, pausing, cancel in steps:
            tasks.append(asyncio.create_task(work(agent, cost, pausing)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in found if isinstance(one, Exception)]
        async with asyncio.timeout(5):
            await line.take("last")

    asyncio.run(run())


async def test_what_was_used_is_forgotten_when_nobody_waits() -> None:
    line = Line()
    for number in range(100):
        await line.take(f"agent-{number}")
        line.give_back(f"agent-{number}", 1)
    assert not line._used

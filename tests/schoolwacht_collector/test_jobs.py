from __future__ import annotations

import asyncio
import logging

import pytest

from schoolwacht.errors import StoreError
from schoolwacht_collector.jobs import RUNNING, Jobs


async def test_a_job_that_throws_is_logged_shown_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    runs = 0
    failed, again = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            failed.set()
            raise StoreError("no answer")
        again.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        jobs.start("work", work)
        await failed.wait()
        await asyncio.sleep(0)
        assert "StoreError: no answer" in jobs.states()["work"]
        await asyncio.wait_for(again.wait(), 5)
    assert jobs.states() == {"work": RUNNING}
    assert "job work failed" in caplog.text
    await jobs.stop()


async def test_a_job_that_ends_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    jobs = Jobs()
    runs = asyncio.Semaphore(0)

    async def work() -> None:
        runs.release()

    jobs.start("work", work)
    for _ in range(2):
        await asyncio.wait_for(runs.acquire(), 5)
    assert "ended" in caplog.text
    await jobs.stop()


async def test_the_other_jobs_go_on() -> None:
    jobs = Jobs()
    ticks = asyncio.Semaphore(0)

    async def bad() -> None:
        raise ValueError

    async def good() -> None:
        while True:
            await asyncio.sleep(0)
            ticks.release()

    jobs.start("bad", bad)
    jobs.start("good", good)
    for _ in range(10):
        await asyncio.wait_for(ticks.acquire(), 5)
    assert jobs.states()["good"] == RUNNING
    await jobs.stop()


async def test_stop_waits_until_the_jobs_have_ended() -> None:
    jobs = Jobs()
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    jobs.start("work", work)
    await asyncio.sleep(0)
    await jobs.stop()
    assert ended == [True]
    assert jobs.states() == {}

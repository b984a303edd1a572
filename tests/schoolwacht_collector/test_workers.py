"""Workers as real processes on loopback: over a store in memory each, and over Elasticsearch by the command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from schoolwacht.errors import ConfigError, SchoolwachtError
from schoolwacht.wire import Verdict
from schoolwacht_collector import app, secret
from schoolwacht_collector.config import MetricsSettings, Settings, StoreName, StoreSettings, check, local
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.metrics import Sums
from schoolwacht_collector.registry import enrol
from schoolwacht_collector.workers import Workers
from tests.schoolwacht_collector.index.stores import wipe
from tests.schoolwacht_collector.serving import SCHOOL, deliver, flow
from tests.schoolwacht_collector.worker_program import KEY

PROGRAM = (sys.executable, "-m", "tests.schoolwacht_collector.worker_program")


def settings_of(directory: Path, number: int) -> Settings:
    settings = local(directory)
    return msgspec.structs.replace(
        settings,
        intake=msgspec.structs.replace(settings.intake, workers=number),
        console=msgspec.structs.replace(settings.console, enabled=False),
        store=StoreSettings(kind=StoreName.ELASTICSEARCH, elasticsearch=ElasticsearchSettings(urls=("http://x:1",))),
        metrics=MetricsSettings(listen="127.0.0.1:0"),
    )


@asynccontextmanager
async def running(directory: Path, number: int) -> AsyncIterator[Workers]:
    await asyncio.to_thread(secret.make, directory)
    workers = Workers(settings_of(directory, number), command=PROGRAM)
    task = asyncio.create_task(workers.run())

    async def up() -> bool:
        if task.done():
            task.result()
        return len(workers.pids) == number

    try:
        await until(up)
        yield workers
    finally:
        workers.stop()
        await task


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(90):
        while not await condition():  # noqa: ASYNC110 - other processes do not tell
            await asyncio.sleep(0.05)


async def text_of(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


async def total(workers: Workers) -> float:
    """Items delivered, as the metrics of all workers together say."""
    _, text = await text_of(f"{workers.metrics_url}/metrics")
    name = 'schoolwacht_collector_items_total{verdict="delivered"} '
    return float(next(line.removeprefix(name) for line in text.splitlines() if line.startswith(name)))


async def test_a_worker_that_dies_is_started_again_while_the_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    async with running(tmp_path, 2) as workers:
        for first in range(1, 41):
            reply = await deliver(workers.url, KEY, [flow()], first=first)
            assert reply.verdicts == [Verdict.DELIVERED]
        assert await total(workers) == 40
        killed, other = workers.pids
        os.kill(killed, signal.SIGKILL)

        async def noticed() -> bool:
            return killed not in workers.pids

        await until(noticed)
        assert await text_of(f"{workers.metrics_url}/readyz") == (
            200,
            '{"status": "ready", "workers": 2, "running": 1}',
        )
        for first in range(41, 61):
            assert (await deliver(workers.url, KEY, [flow()], first=first)).verdicts == [Verdict.DELIVERED]

        async def back() -> bool:
            return len(workers.pids) == 2

        await until(back)
        assert other in workers.pids
        # What the killed one had counted is still there.
        assert await total(workers) == 60
        pids = workers.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_workers_that_cannot_start_end_the_start(tmp_path: Path) -> None:
    workers = Workers(settings_of(tmp_path, 2), command=(sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(SchoolwachtError, match=r"did not start \(status 3\)"):
        async with asyncio.timeout(60):
            await workers.run()
    assert workers.pids == []


def test_sqlite_has_one_worker(tmp_path: Path) -> None:
    settings = local(tmp_path)
    settings = msgspec.structs.replace(settings, intake=msgspec.structs.replace(settings.intake, workers=2))
    with pytest.raises(ConfigError, match=r"intake\.workers.*one writer.*elasticsearch"):
        check(settings)


def test_counters_of_workers_add_up_and_gauges_of_the_ended_are_gone() -> None:
    prefix = "schoolwacht_collector_"
    one = "".join(
        f"# HELP {prefix}{name} text\n# TYPE {prefix}{name} {kind}\n{prefix}{name}{labels} {value}\n"
        for name, kind, labels, value in (
            ("batches_total", "counter", '{status="200"}', 5),
            ("flight_bytes", "gauge", "", 7),
            ("indicators", "gauge", "", 9),
        )
    )
    sums = Sums()
    sums.add(one, ended=True)
    sums.add(one)
    sums.add(one)
    lines = sums.text().decode().splitlines()
    assert f'{prefix}batches_total{{status="200"}} 15.0' in lines
    assert f"{prefix}flight_bytes 14.0" in lines
    assert f"{prefix}indicators 9.0" in lines
    assert sums.copy().text() == sums.text()


async def test_two_workers_on_elasticsearch_store_each_event_once(
    tmp_path: Path, elasticsearch_url: str, index_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    settings = msgspec.structs.replace(
        local(tmp_path),
        store=StoreSettings(
            kind=StoreName.ELASTICSEARCH,
            elasticsearch=ElasticsearchSettings(urls=(elasticsearch_url,), prefix=index_prefix),
        ),
    )
    config = tmp_path / "collector.toml"
    config.write_text(
        f"""
[collector]
state = "{tmp_path}"
[intake]
listen = "127.0.0.1:0"
[console]
listen = "127.0.0.1:0"
[store]
kind = "elasticsearch"
[store.elasticsearch]
urls = ["{elasticsearch_url}"]
prefix = "{index_prefix}"
"""
    )
    await app.prepare(settings)
    store = app.make_store(settings)
    await store.open()
    try:
        key = (await enrol(store, "gateway-1", [SCHOOL])).key
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_collector.cli", "serve", "--workers", "2", "--config", str(config),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            url = await _where(process)
            events = [flow(source_port=port) for port in range(1, 21)]
            for _ in range(3):
                assert (await deliver(url, key, events)).verdicts == [Verdict.DELIVERED] * 20
            process.send_signal(signal.SIGTERM)
            _, _ = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        agent = await store.get(Kind.AGENT, "gateway-1")
        assert agent is not None
        assert agent.record.stored == 20  # type: ignore[attr-defined] # an Agent
    finally:
        await store.close()
        await wipe(elasticsearch_url, index_prefix)


async def _where(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(90):
        while line := await process.stderr.readline():
            if b"workers take what agents deliver to " in line:
                return "http" + line.decode().rpartition("http")[2].rstrip('"}\n').split('"')[0]
    raise AssertionError("the workers did not start")

"""Events a second with one and with two workers on one port, over mutual TLS, with a store that keeps nothing.

    python -m tests.bench.intake_workers [--seconds 6] [--agents 8] [--indicators 2000]

Workers are real processes (:mod:`schoolwacht_collector.workers`), the agents processes of their own on the same cores:
with two cores the second worker has to share them with the senders, so the figure by CPU second says more than the
clock.
Beside it in the same run: the same batches decoded only, in this process, which is the ceiling of one core.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import BATCH_TYPE, decode_batch
from schoolwacht_collector import secret, worker
from schoolwacht_collector.config import Settings, StoreName, StoreSettings, local
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.records import Agent, Standpoint
from schoolwacht_collector.registry import hash_of
from schoolwacht_collector.workers import Workers
from tests.bench.agents import cpu_seconds
from tests.bench.collector import SCHOOL, NullStore
from tests.bench.traffic import Frame, frames, indicators
from tests.schoolwacht_collector.certificates import Authority

_INDICATORS = "SCHOOLWACHT_BENCH_INDICATORS"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--indicators", type=int, default=2000)
    options = parser.parse_args()
    os.environ[_INDICATORS] = str(options.indicators)
    batches = list(frames(mixed(5000), size=1000, number=20))
    began = time.process_time()
    for frame in batches:
        decode_batch(frame.data)
    bare = (time.process_time() - began) / (20 * 1000)
    print(f"ceiling: inflate and decode only {bare * 1e6:.2f} µs/event, {1 / bare:,.0f} events/s a core")
    figures = [asyncio.run(_measure(number, options, batches)) for number in (1, 2)]
    for number, (wall, cpu) in zip((1, 2), figures, strict=True):
        print(f"{number} worker(s): {wall:,.0f} events/s by the clock, {cpu:,.0f} a CPU second of the workers")
    print(
        f"ratio: two to one {figures[1][0] / figures[0][0]:.2f}, one by CPU to the ceiling {figures[0][1] * bare:.2f}"
    )


def mixed(number: int) -> list[Event]:
    """Events as a school has them: flows, DNS and TLS."""
    now = datetime.now(UTC)
    made = []
    for place in range(number):
        event = Event(
            timestamp=now,
            event_dataset=Dataset.FLOW,
            event_start=now,
            event_end=now,
            event_duration=1_000_000 * place,
            source_ip=f"10.1.{place % 7}.{place % 251}",
            source_port=40_000 + place % 20_000,
            destination_ip=f"203.0.{place % 113}.{place % 199}",
            destination_port=443,
            source_bytes=1000 + place,
            destination_bytes=70_000 + place,
            network_transport="tcp",
            network_community_id=f"1:{place:027x}=",
        )
        if place % 3 == 1:
            event.event_dataset = Dataset.DNS
            event.dns_question_name = f"www{place % 90}.host{place % 900}.example.nl"
            event.dns_resolved_ip = [f"198.18.{place % 50}.{place % 200}"]
        elif place % 3 == 2:
            event.event_dataset = Dataset.TLS
            event.tls_client_server_name = f"cdn{place % 40}.host{place % 700}.example.com"
            event.tls_client_ja3 = "e7d705a3286e19ea42f587b344ee6865"
        made.append(event)
    return made


async def _measure(number: int, options: argparse.Namespace, batches: Sequence[Frame]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        secret.make(directory)
        authority = Authority(directory)
        settings = _settings(directory, number, authority)
        workers = Workers(settings, command=(sys.executable, "-m", "tests.bench.intake_workers", "--worker"))
        task = asyncio.create_task(workers.run())
        while len(workers.pids) < number:
            if task.done():
                task.result()
            await asyncio.sleep(0.05)
        try:
            before = sum(cpu_seconds(pid) for pid in workers.pids)
            began = time.perf_counter()
            taken = sum(
                await asyncio.gather(
                    *(
                        _agent(workers.url, authority, place, batches, options.seconds)
                        for place in range(options.agents)
                    )
                )
            )
            wall = time.perf_counter() - began
            cpu = sum(cpu_seconds(pid) for pid in workers.pids) - before
        finally:
            workers.stop()
            await task
    return taken / wall, taken / cpu


def _settings(directory: Path, number: int, authority: Authority) -> Settings:
    certificate, key = authority.issue("collector")
    settings = local(directory)
    return msgspec.structs.replace(
        settings,
        intake=msgspec.structs.replace(
            settings.intake,
            # Of one worker too, as of several: by the parent.
            workers=number,
            certificate=str(certificate),
            key=str(key),
            client_ca=str(authority.file),
        ),
        console=msgspec.structs.replace(settings.console, enabled=False),
        store=StoreSettings(kind=StoreName.ELASTICSEARCH, elasticsearch=ElasticsearchSettings(urls=("http://x:1",))),
    )


async def _agent(url: str, authority: Authority, place: int, batches: Sequence[Frame], seconds: float) -> int:
    name = f"bench-{place}"
    context = authority.context(authority.issue(name))
    headers = {"Authorization": f"Bearer {key_of(name)}", "Content-Type": BATCH_TYPE}
    taken = 0
    until = time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        turn = place
        while time.perf_counter() < until:
            frame = batches[turn % len(batches)]
            async with session.post(f"{url}/v1/batches", data=frame.data, headers=headers) as response:
                await response.read()
                assert response.status == 200, response.status
            taken += frame.items
            turn += 1
    return taken


def key_of(name: str) -> str:
    """The key of a bench's agent: every worker knows it without a common store."""
    return f"{name}.{'k' * 43}"


def agent_of(name: str) -> Agent:
    """Its registration."""
    return Agent(
        id=name,
        timestamp=datetime.now(UTC),
        key_hash=hash_of(key_of(name)),
        board=SCHOOL.board,
        schools=(SCHOOL,),
        standpoint=Standpoint.GATEWAY,
    )


def _worker() -> int:
    store = NullStore()
    asyncio.run(store.put_many(Kind.AGENT, [agent_of(f"bench-{place}") for place in range(64)]))
    asyncio.run(store.put_many(Kind.INDICATOR, indicators(int(os.environ[_INDICATORS]))))
    return worker.main(store)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        if "--worker" in sys.argv:
            sys.exit(_worker())
        main()

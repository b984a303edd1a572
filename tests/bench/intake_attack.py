"""What others notice while somebody attacks the intake: their answers' p99, the longest stall of the loop, memory.

    python -m tests.bench.intake_attack [--store null|sqlite] [--seconds 5]

The intake runs in a process pinned to one core with 100,000 indicators; ten honest agents send a batch of 100 events
twice a second each and every answer counts. Beside them one attack at a time: none (the ceiling of the same run); one
agent that floods with full batches of 64 addresses an event; wrong keys; bombs; 10,000 tiny chunks a batch; 2,000
half-open connections. Asked: p99 ≤ 250 ms, stall ≤ 50 ms, all honest batches taken, ≤ 32 MiB a request of bombs,
half-open ones closed ≤ 10 s.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import aiohttp
import msgspec
import zstandard

from schoolwacht.event import Dataset, Event
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import BATCH_TYPE, encode_batch, encode_event
from schoolwacht_collector.config import LimitSettings, local
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite.store import SqliteStore
from schoolwacht_collector.intake import Intake
from schoolwacht_collector.listener import listen
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.registry import Registry
from tests.bench.agents import memory
from tests.bench.collector import SECRET, NullStore
from tests.bench.intake_workers import agent_of, key_of, mixed
from tests.bench.traffic import indicators

#: Attacks an intake (its URL, its process) until a time; says what came of it.
Attack: TypeAlias = Callable[[str, int, float], Coroutine[object, object, str]]

HONEST = 10
HALF_OPEN = 2000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--store", choices=("null", "sqlite"), default="null")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options.store))
        return
    for name, attack in ATTACKS.items():
        asyncio.run(_measure(options, name, attack))


async def _measure(
    options: argparse.Namespace, name: str, attack: Callable[[str, int, float], Coroutine[object, object, str]]
) -> None:
    command = [sys.executable, "-m", "tests.bench.intake_attack", "--serve", "--store", options.store]
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing runs beside it yet
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = json.loads(server.stdout.readline())["url"]
        before = memory(server.pid)
        until = time.perf_counter() + options.seconds
        attacking = asyncio.create_task(attack(url, server.pid, until))
        seconds = await asyncio.gather(*(_honest(url, place, until) for place in range(HONEST)))
        said = await attacking
        taken = sorted(one for some in seconds for one in some)
        peak = memory(server.pid, "VmHWM")
        server.stdin.close()
        stall = json.loads(server.stdout.readline())["stall"]
        server.wait(20)
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(10)
        server.stdout.close()
    print(
        f"{name:10} others: all {len(taken)} batches taken, median {taken[len(taken) // 2] * 1e3:.0f} ms,"
        f" p99 {taken[int(len(taken) * 0.99)] * 1e3:.0f} ms; longest stall {stall * 1e3:.0f} ms;"
        f" memory +{(peak - before) / (1 << 20):.0f} MiB; {said}"
    )


async def _honest(url: str, place: int, until: float) -> list[float]:
    """Seconds to each answer; every one must be that the batch was taken."""
    found = []
    items = [encode_event(event) for event in mixed(100)]
    headers = {"Authorization": f"Bearer {key_of(f'bench-{place + 1}')}", "Content-Type": BATCH_TYPE}
    async with aiohttp.ClientSession() as session:
        turn = 0
        while time.perf_counter() < until:
            turn += 1
            frame = encode_batch(f"{place:016x}", range(100 * turn, 100 * turn + 100), items)
            began = time.perf_counter()
            async with session.post(f"{url}/v1/batches", data=frame, headers=headers) as response:
                await response.read()
                assert response.status == 200, response.status
            found.append(time.perf_counter() - began)
            await asyncio.sleep(max(0.0, 0.5 - found[-1]))
    return found


async def _none(url: str, pid: int, until: float) -> str:
    await asyncio.sleep(until - time.perf_counter())
    return "nobody attacks"


async def _flood(url: str, pid: int, until: float) -> str:
    dear = Event(
        timestamp=datetime.now(UTC),
        event_dataset=Dataset.DNS,
        source_ip="10.0.0.1",
        dns_resolved_ip=[f"198.51.{place}.7" for place in range(64)],
    )
    items = [encode_event(dear)] * 2000
    frames = [encode_batch(f"{place:016x}", range(2000), items) for place in range(20)]
    return await _many(url, until, frames, key_of("bench-0"), at_once=20)


async def _wrong_keys(url: str, pid: int, until: float) -> str:
    return await _many(url, until, [b"x" * 100_000], f"bench-0.{'w' * 43}", at_once=20)


async def _bombs(url: str, pid: int, until: float) -> str:
    envelope = msgspec.msgpack.encode({"version": 1, "epoch": "0" * 16, "sequences": [], "events": [{}] * 1_000_000})
    bombs = [
        zstandard.compress(bytes(256 << 20)),
        zstandard.compress(b"\x91" * (8 << 20)),
        zstandard.compress(envelope),
        b"\x28\xb5\x2f\xfd\xc0" + (1 << 62).to_bytes(8, "little"),
    ]
    return await _many(url, until, bombs, key_of("bench-0"), at_once=1)


async def _chunks(url: str, pid: int, until: float) -> str:
    async def tiny() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x"

    counts: dict[int, int] = {}
    headers = {"Authorization": f"Bearer {key_of('bench-0')}", "Content-Type": BATCH_TYPE}
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() < until:
            async with session.post(f"{url}/v1/batches", data=tiny(), headers=headers) as response:
                counts[response.status] = counts.get(response.status, 0) + 1
    return f"answers {counts}"


async def _half_open(url: str, pid: int, until: float) -> str:
    port = int(url.rpartition(":")[2])
    sent = (b"", b"POST /v1/batches HT", b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nA")
    began = time.perf_counter()

    async def hold(place: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened = time.perf_counter()
        writer.write(sent[place % 3])
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        return time.perf_counter() - opened

    lived = await asyncio.gather(*(hold(place) for place in range(HALF_OPEN)))
    return f"{HALF_OPEN} half-open ones closed within {max(lived):.1f} s ({time.perf_counter() - began:.1f} s in all)"


async def _many(url: str, until: float, frames: list[bytes], key: str, *, at_once: int) -> str:
    counts: dict[int, int] = {}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}

    async def one(place: int) -> None:
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() < until:
                place += 1
                with suppress(aiohttp.ClientConnectionError):
                    async with session.post(
                        f"{url}/v1/batches", data=frames[place % len(frames)], headers=headers
                    ) as response:
                        counts[response.status] = counts.get(response.status, 0) + 1

    await asyncio.gather(*(one(place) for place in range(at_once)))
    return f"answers {counts}"


ATTACKS: dict[str, Attack] = {
    "none": _none,
    "flood": _flood,
    "wrong keys": _wrong_keys,
    "bombs": _bombs,
    "chunks": _chunks,
    "half-open": _half_open,
}


async def _serve(kind: str) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as stack:
            store: Store = NullStore()
            if kind == "sqlite":
                store = SqliteStore(SqliteSettings(directory=str(Path(name) / "store")))
                await store.init()
                await store.open()
                stack.push_async_callback(store.close)
            await store.put_many(Kind.AGENT, [agent_of(f"bench-{place}") for place in range(HONEST + 1)])
            settings = local(Path(name))
            matching = Matching(store, past=None)
            matching.indicators = IndicatorSet.build(indicators(100_000))
            intake = Intake(
                msgspec.structs.replace(settings, limits=LimitSettings(past_days=0)),
                secret=SECRET,
                store=store,
                registry=Registry(store),
                matching=matching,
                dead_letters=DeadLetters(settings.dead_letters, daily_bytes=1 << 20, days=1),
                signals_created=lambda: None,
            )
            url = await listen(stack, intake.application(), "127.0.0.1:0", field="listen", idle=10, stop=5)
            gc.collect()
            gc.freeze()
            stalls = [0.0]
            watching = asyncio.create_task(_watch(stalls))
            print(json.dumps({"url": url}), flush=True)
            await asyncio.to_thread(sys.stdin.read)
            watching.cancel()
            print(json.dumps({"stall": stalls[0]}), flush=True)


async def _watch(stalls: list[float]) -> None:
    """The longest time in which the loop let nobody run."""
    await asyncio.sleep(0.2)
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        stalls[0] = max(stalls[0], time.perf_counter() - began - 0.005)


if __name__ == "__main__":
    main()

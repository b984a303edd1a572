"""How many events a second the whole collector acknowledges, with a real store, beside what the store itself takes.

    python -m tests.bench.endtoend CAPTURE [--engine suricata] [--store elasticsearch] [--url http://127.0.0.1:9200]
        [--indicators 100000] [--seconds 20] [--agents 16]

One process runs the collector (SQLite or Elasticsearch behind it), this one sends batches that were encoded before.
With Elasticsearch the ceiling is measured in the same run, on the same cores and the same index templates: ready bulk
bodies through ``es.bulk``, two in flight, nothing else to do. Afterwards the store must hold every event that was
acknowledged. Goal: 18,000 acknowledged events/s on two cores that Elasticsearch uses too. Indices and templates of the
run have a prefix of their own and are deleted. The first run on a cold JVM says nothing: there is a warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
from elasticsearch import AsyncElasticsearch

from schoolwacht.wire import BATCH_TYPE, Verdict, decode_batch, decode_reply
from schoolwacht_agent.config import EngineName
from schoolwacht_collector.app import running
from schoolwacht_collector.config import Settings, StoreName, StoreSettings, local
from schoolwacht_collector.index.elasticsearch.bulk import Builder, Part, outcomes
from schoolwacht_collector.index.elasticsearch.store import ElasticsearchStore
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School
from schoolwacht_collector.registry import enrol
from schoolwacht_collector.stamp import Bounds, Stamper
from tests.bench.collector import cpu_seconds
from tests.bench.traffic import Frame, events_of, frames, indicators

SCHOOL = School(location="00AB00", board="12345", sector="po", region="Utrecht")
SECRET = b"0123456789abcdef0123456789abcdef"
#: Events/s that are prepared for; a faster collector ends the run early.
_MOST = 40_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--engine", type=EngineName, default=EngineName.SURICATA)
    parser.add_argument("--store", type=StoreName, default=StoreName.ELASTICSEARCH)
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--indicators", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--warm", type=float, default=5.0)
    parser.add_argument("--agents", type=int, default=16)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options))
    else:
        asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    events = events_of(options.capture, options.engine, at_most=50_000)
    number = int(_MOST * (options.seconds + options.warm) / options.batch)
    batches = list(frames(events, size=options.batch, number=number))
    print(f"{len(events)} events of {options.capture.name}, {number} batches of {options.batch}")
    prefix = f"bench{secrets.token_hex(4)}"
    try:
        ceiling = await _ceiling(options, f"{prefix}a", batches) if options.store is StoreName.ELASTICSEARCH else None
        taken = await _collector(options, f"{prefix}b", batches)
    finally:
        if options.store is StoreName.ELASTICSEARCH:
            await _delete(options.url, prefix)
    if ceiling:
        print(f"ratio: collector to es.bulk with ready bytes {taken / ceiling:.2f}")


async def _ceiling(options: argparse.Namespace, prefix: str, batches: list[Frame]) -> float:
    """Documents/s through es.bulk, bodies ready beforehand. Every document is new, as the collector's are."""
    settings = ElasticsearchSettings(urls=(options.url,), prefix=prefix)
    store = ElasticsearchStore(settings)
    await store.init()
    await store.close()
    agent = (await enrol(MemoryStore(), "bench", [SCHOOL])).agent
    stamper = Stamper(agent, SECRET, Bounds(timedelta(minutes=5), None))
    parts: list[Part] = []
    most = int(_MOST * (options.warm + options.seconds) / 2 / options.batch)
    for frame in batches[:most]:
        builder = Builder(prefix, items=options.batch, size=64 << 20)
        batch = decode_batch(frame.data)
        stamp = stamper.batch(batch.epoch, now=datetime.now(UTC))
        for place, (event, sequence) in enumerate(zip(batch.events, batch.sequences, strict=True)):
            assert event is not None
            stamp.stamp(event, sequence)
            part = builder.add(place, event)
            if part is not None:
                parts.append(part)
    client = AsyncElasticsearch(options.url, request_timeout=60)
    done = 0
    remaining = iter(parts)

    async def send(until: float) -> None:
        nonlocal done
        while time.perf_counter() < until and (part := next(remaining, None)) is not None:
            body = [part.body]
            answer = await client.bulk(operations=body, filter_path="items.*.status")  # type: ignore[arg-type] # sent as it is
            found = outcomes(answer.body, len(part.places))
            assert all(each.created for each in found)
            done += len(found)

    try:
        for seconds in (options.warm, options.seconds / 2):
            done = 0
            began = time.perf_counter()
            await asyncio.gather(*(send(began + seconds) for _ in range(2)))
            speed = done / (time.perf_counter() - began)
    finally:
        await client.close()
    print(f"  es.bulk, ready bytes      {speed:9,.0f} documents/s")
    return speed


async def _collector(options: argparse.Namespace, prefix: str, batches: list[Frame]) -> float:
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        settings = _settings(options, prefix, state)
        command = [sys.executable, "-m", "tests.bench.endtoend", str(options.capture), "--serve", directory]
        file = state / "settings.json"
        file.write_bytes(msgspec.json.encode(settings))
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            [*command, "--indicators", str(options.indicators), "--agents", str(options.agents)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            ready = json.loads(await asyncio.to_thread(server.stdout.readline))
            left = iter(batches)
            await _send(ready, left, options.warm)
            acknowledged, wall = await _send(ready, left, options.seconds)
            server.stdin.close()
            end = json.loads(await asyncio.to_thread(server.stdout.readline))
            await asyncio.to_thread(server.wait, 60)
        finally:
            if server.poll() is None:
                server.terminate()
            server.stdout.close()
    print(
        f"  collector + {options.store.value:13} {acknowledged / wall:9,.0f} acknowledged events/s"
        f" ({wall:.0f} s; collector {end['cpu'] / end['events'] * 1e6:.1f} CPU µs/event)"
    )
    print(f"  acknowledged in all {end['counted']:,}, in the store {end['events']:,}")
    assert end["events"] == end["counted"], "events that were acknowledged are missing"
    return acknowledged / wall


async def _send(ready: dict[str, object], left: Iterator[Frame], seconds: float) -> tuple[int, float]:
    acknowledged = 0
    until = time.perf_counter() + seconds
    keys = ready["keys"]
    assert isinstance(keys, list)

    async def sender(key: str) -> None:
        nonlocal acknowledged
        headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
        async with aiohttp.ClientSession() as session:
            while time.perf_counter() < until and (frame := next(left, None)) is not None:
                verdicts: list[Verdict] = []
                while verdicts.count(Verdict.DELIVERED) < frame.items:
                    async with session.post(f"{ready['url']}/v1/batches", data=frame.data, headers=headers) as response:
                        body = await response.read()
                        if response.status == 200:
                            verdicts = decode_reply(body, items=frame.items).verdicts
                        else:
                            await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
                acknowledged += frame.items

    began = time.perf_counter()
    await asyncio.gather(*(sender(key) for key in keys))
    return acknowledged, time.perf_counter() - began


async def _serve(options: argparse.Namespace) -> None:
    state = Path(options.serve)
    settings = msgspec.json.decode((state / "settings.json").read_bytes(), type=Settings)
    async with running(settings, init=True) as collector:
        if options.indicators:
            await collector.store.put_many(Kind.INDICATOR, indicators(options.indicators))
            await collector.matching.load()
        names = [f"bench-{place}" for place in range(options.agents)]
        keys = [(await enrol(collector.store, name, [SCHOOL])).key for name in names]
        began = cpu_seconds()
        print(json.dumps({"url": collector.intake_url, "keys": keys}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        used = cpu_seconds() - began
        # Searches see what is as old as the refresh interval.
        await asyncio.sleep(settings.store.elasticsearch.refresh_seconds + 2)
        await collector.registry.flush()
        agents = (await collector.store.search(Search(Kind.AGENT, All(), SECTOR))).rows
        found = await collector.store.tally(Search(Kind.EVENT, All(), SECTOR), "observer.name")
        answer = {
            "cpu": used,
            "events": sum(tally.number for tally in found.values()),
            "counted": sum(row["agent.stored"] for row in agents),
        }
        print(json.dumps(answer), flush=True)


def _settings(options: argparse.Namespace, prefix: str, state: Path) -> Settings:
    store = StoreSettings(kind=options.store, elasticsearch=ElasticsearchSettings(urls=(options.url,), prefix=prefix))
    return msgspec.structs.replace(local(state, past_days=0), store=store)


async def _delete(url: str, prefix: str) -> None:
    client = AsyncElasticsearch(url, request_timeout=60)
    try:
        names = list(await client.indices.get(index=f"{prefix}*", expand_wildcards="all"))
        for name in names:
            await client.indices.delete(index=name)
        templates = await client.indices.get_index_template(name=f"{prefix}*")
        for template in templates["index_templates"]:
            await client.indices.delete_index_template(name=template["name"])
        parts = await client.cluster.get_component_template(name=f"{prefix}*")
        for part in parts["component_templates"]:
            await client.cluster.delete_component_template(name=part["name"])
    finally:
        await client.close()


if __name__ == "__main__":
    main()

"""How many events a second one collector core takes, with a store that keeps nothing.

    python -m tests.bench.collector CAPTURE [--engine suricata] [--indicators 100000] [--seconds 5] [--sigma] [--tls]

First each step of the intake on its own, over the same batches in one process (best of some rounds); then the whole by
HTTP: the intake in a process pinned to one core, the senders on the others (``json``: with a store that at least writes
the JSON that a real one keeps). Beside it, in the same run, the ceiling
and a peer: the same bodies taken by a bare aiohttp handler that does nothing with them, and one that decodes them into
untyped dicts (``msgpack.unpackb``) and encodes those as JSON. Goal: 65,000 events/s on one core, with all checks and
100,000 indicators, 100 Sigma rules (``--sigma``: the project's own, and copies of them up to 100 that each need a port
of their own) and mutual TLS (``--tls``: of the peers too, each sender with a certificate of its own).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import msgspec
import zstandard
from aiohttp import web

from schoolwacht.derive import derive
from schoolwacht.event import Event
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import BATCH_TYPE, LIMITS, Verdict, decode_batch, open_batch
from schoolwacht_agent.config import EngineName
from schoolwacht_collector.config import Settings, local
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Outcome
from schoolwacht_collector.intake import Intake
from schoolwacht_collector.listener import listen
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.prepare import prepare
from schoolwacht_collector.records import School
from schoolwacht_collector.registry import Registry, enrol
from schoolwacht_collector.rules.read import files, read
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.rules.shipped import shipped_rules
from schoolwacht_collector.rules.sigma import matchers
from schoolwacht_collector.stamp import Bounds, Stamper
from schoolwacht_collector.tls import ServerTls
from tests.bench.matching import many
from tests.bench.traffic import Frame, events_of, frames, indicators
from tests.schoolwacht_collector.certificates import Authority

SECRET = b"0123456789abcdef0123456789abcdef"
SCHOOL = School(location="00AB00", board="12345", sector="po", region="Utrecht")
BOUNDS = Bounds(timedelta(minutes=5), timedelta(days=14))


class NullStore(MemoryStore):
    """Takes every document and forgets it; ``encode`` also writes it as the JSON that the real stores keep."""

    def __init__(self, *, encode: bool = False) -> None:
        super().__init__()
        self._encode = encode

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        if self._encode:
            for event in events:
                documents.prepare(event)
                documents.encode(event)
        return [Outcome(Verdict.DELIVERED, created=True)] * len(events)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--engine", type=EngineName, default=EngineName.SURICATA)
    parser.add_argument("--indicators", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--sigma", action="store_true", help="match 100 Sigma rules")
    parser.add_argument("--tls", action="store_true", help="send over mutual TLS")
    parser.add_argument("--certificates", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(options))
        return
    events = events_of(options.capture, options.engine, at_most=50_000)
    batches = list(frames(events, size=options.batch, number=max(8, len(events) // options.batch)))
    size = sum(len(frame.data) for frame in batches) / (len(batches) * options.batch)
    print(f"{len(events)} events of {options.capture.name}, {size:.0f} bytes an event on the wire")
    _steps(batches, options.indicators, sigma=options.sigma)
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory)) if options.tls else None
        if authority:
            authority.issue("collector")
        bare = _whole(options, batches, "bare", authority)
        dicts = _whole(options, batches, "dicts", authority)
        intake = _whole(options, batches, "intake", authority)
        _whole(options, batches, "json", authority)
    print(f"ratio: intake to bare handler {intake / bare:.2f}, intake to untyped dicts {intake / dicts:.2f}")


def hundred_rules() -> RuleSet:
    """The project's own Sigma rules, and copies of them up to a hundred."""
    return RuleSet(many(matchers(read(files([shipped_rules() / "sigma"]))[0])[0], 100))


def _steps(batches: list[Frame], number: int, *, sigma: bool) -> None:
    matcher = IndicatorSet.build(indicators(number))
    rules = hundred_rules() if sigma else RuleSet(())
    agent = asyncio.run(enrol(MemoryStore(), "bench", [SCHOOL])).agent
    stamper = Stamper(agent, SECRET, BOUNDS)
    total = sum(frame.items for frame in batches)

    def timed(name: str, setup: Callable[[], Any], work: Callable[[Any], object]) -> None:
        best = float("inf")
        for _ in range(3):
            given = setup()
            began = time.perf_counter()
            work(given)
            best = min(best, time.perf_counter() - began)
        print(f"  {name:34} {best / total * 1e6:6.2f} µs/event")

    def decoded() -> list[Any]:
        return [decode_batch(frame.data) for frame in batches]

    def stamped() -> list[Event]:
        found = []
        for batch in decoded():
            stamp = stamper.batch(batch.epoch, now=datetime.now(UTC))
            for event, sequence in zip(batch.events, batch.sequences, strict=True):
                assert stamp.stamp(event, sequence) is None
                found.append(event)
        return found

    def prepared(_: None) -> None:
        for frame in batches:
            opened = open_batch(frame.data)
            for _ in prepare(opened, stamper.batch(opened.epoch, now=datetime.now(UTC)), matcher, rules):
                pass

    def stamp_all(given: list[Any]) -> None:
        for batch in given:
            stamp = stamper.batch(batch.epoch, now=datetime.now(UTC))
            for event, sequence in zip(batch.events, batch.sequences, strict=True):
                stamp.stamp(event, sequence)

    def derive_all(given: list[Event]) -> None:
        for event in given:
            derive(event)

    timed("inflate", lambda: None, lambda _: [_inflated(frame.data) for frame in batches])
    timed("inflate and decode", lambda: None, lambda _: decoded())
    timed("stamp, derive included", decoded, stamp_all)
    timed("  of which derive", stamped, derive_all)
    timed(f"match {number} indicators", stamped, lambda events: _each(matcher.match, events))
    timed(f"match {rules.size} Sigma rules", stamped, lambda events: _each(rules.match, events))
    timed("all of these, slice by slice", lambda: None, prepared)
    timed("encode as JSON", stamped, lambda events: _each(documents.encode, events))


def _each(work: Callable[[Event], object], events: Sequence[Event]) -> None:
    for event in events:
        work(event)


def _inflated(data: bytes) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=LIMITS.window).stream_reader(io.BytesIO(data))
    inflated: bytes = reader.read(LIMITS.inflated + 1)
    return inflated


def _whole(options: argparse.Namespace, batches: list[Frame], what: str, authority: Authority | None) -> float:
    """Events a CPU second of the server process, pinned to one core."""
    command = [sys.executable, "-m", "tests.bench.collector", str(options.capture), "--serve", what]
    command += ["--indicators", str(options.indicators), "--agents", str(options.agents)]
    command += ["--sigma"] * options.sigma
    command += ["--certificates", str(authority.directory)] if authority else []
    server = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        ready = json.loads(server.stdout.readline())
        taken, wall = asyncio.run(_send(ready["url"], ready["keys"], batches, options.seconds, authority))
        server.stdin.close()
        cpu = float(json.loads(server.stdout.readline())["cpu"])
        server.wait(20)
    finally:
        if server.poll() is None:
            server.terminate()
        server.stdout.close()
    print(
        f"  {what:8} {taken / wall:9,.0f} events/s by the clock, {taken / cpu:9,.0f} a CPU second"
        f" ({cpu / taken * 1e6:.2f} µs/event)"
    )
    return taken / cpu


async def _send(
    url: str, keys: list[str], batches: list[Frame], seconds: float, authority: Authority | None
) -> tuple[int, float]:
    taken = 0
    until = time.perf_counter() + seconds

    async def sender(key: str, place: int) -> None:
        nonlocal taken
        headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
        context = authority.context(authority.issue(key.partition(".")[0])) if authority else True
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            while time.perf_counter() < until:
                frame = batches[place % len(batches)]
                async with session.post(f"{url}/v1/batches", data=frame.data, headers=headers) as response:
                    await response.read()
                    assert response.status == 200, response.status
                taken += frame.items
                place += 1

    began = time.perf_counter()
    await asyncio.gather(*(sender(key, 3 * place) for place, key in enumerate(keys)))
    return taken, time.perf_counter() - began


async def _serve(options: argparse.Namespace) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            store = NullStore(encode=options.serve == "json")
            keys = [(await enrol(store, f"bench-{place}", [SCHOOL])).key for place in range(options.agents)]
            settings = _settings(Path(directory), options.certificates)
            application = (
                _intake(store, settings, options)
                if options.serve in {"intake", "json"}
                else _peer(decode=options.serve == "dicts")
            )
            tls = ServerTls(settings.intake).context if options.certificates else None
            url = await listen(stack, application, "127.0.0.1:0", field="listen", idle=30, stop=5, tls=tls)
            gc.collect()
            gc.freeze()  # as serve does
            print(json.dumps({"url": url, "keys": keys}), flush=True)
            began = cpu_seconds()
            await asyncio.to_thread(sys.stdin.read)
            print(json.dumps({"cpu": cpu_seconds() - began}), flush=True)


def _settings(directory: Path, certificates: Path | None) -> Settings:
    settings = local(directory)
    # Four agents send what thousands would: none is to be stopped by its quota, which counts all the same.
    limits = msgspec.structs.replace(settings.limits, agent_events_per_second=1_000_000)
    intake = settings.intake
    if certificates:
        intake = msgspec.structs.replace(
            intake,
            certificate=str(certificates / "collector.pem"),
            key=str(certificates / "collector.key"),
            client_ca=str(certificates / "authority.pem"),
        )
    return msgspec.structs.replace(settings, intake=intake, limits=limits)


def _intake(store: NullStore, settings: Settings, options: argparse.Namespace) -> web.Application:
    matching = Matching(store, past=None)
    matching.indicators = IndicatorSet.build(indicators(options.indicators))
    rules = Rules(settings.rules)
    if options.sigma:
        rules.current = hundred_rules()
    return Intake(
        settings,
        secret=SECRET,
        store=store,
        registry=Registry(store),
        matching=matching,
        rules=rules,
        dead_letters=DeadLetters(settings.dead_letters, daily_bytes=1 << 20, days=1),
        signals_created=lambda: None,
    ).application()


def _peer(*, decode: bool) -> web.Application:
    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if decode:
            for event in msgpack.unpackb(_inflated(body), timestamp=3)["events"]:
                msgspec.json.encode(event)
        return web.Response(body=b"")

    application = web.Application(client_max_size=LIMITS.frame)
    application.router.add_post("/v1/batches", take)
    return application


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

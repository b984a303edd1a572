"""What an event costs the intake, by the number of agents and of indicators: it should not depend on either.

    python -m tests.bench.intake_scale [--batches 10000] [--events 25] [--rounds 1]

The intake's own handler with all its checks (key, quota, bounds, line, stamp, match, verdicts) over a store that keeps
nothing. Requests are handed to it in the same process, 32 at a time and the agents in turn, so that no socket is in
the figures. Every case has a process of its own and the same number of batches; CPU time, best of the rounds. First 10,
1,000 and 10,000 agents with 100,000 indicators, then no, 100,000 and 1,000,000 indicators with 10 agents; no event hits
one. Limits: agents are names with registrations, not connections (:mod:`tests.bench.idle_agents` has those); their
registrations lie in memory, so that looking one up every three seconds costs no store.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from schoolwacht.event import Dataset, Event
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import BATCH_TYPE
from schoolwacht_collector.config import LimitSettings, local
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.intake import Intake
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.registry import Registry
from tests.bench.agents import memory
from tests.bench.collector import SECRET, NullStore
from tests.bench.intake_workers import agent_of, key_of, mixed
from tests.bench.traffic import Frame, frames, indicators

AT_ONCE = 32
_DISTINCT = 20_000
#: Requests that are made at once, with what aiohttp's own tests put in the place of a connection.
_MADE = 200


class Case(NamedTuple):
    """What is measured, and how long."""

    agents: int
    indicators: int
    batches: int
    events: int
    rounds: int


class Cost(NamedTuple):
    """What came of it."""

    microseconds: float
    mebibytes: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    print(f"{options.batches} batches of {options.events} events, CPU time, best of {options.rounds}")
    most = (options.batches, options.events, options.rounds)
    _compare("agents", [Case(number, 100_000, *most) for number in (10, 1_000, 10_000)])
    _compare("indicators", [Case(10, number, *most) for number in (0, 100_000, 1_000_000)])


def _compare(field: str, cases: Sequence[Case]) -> None:
    smallest = 0.0
    for case in cases:
        # A process for each: what one case has used and left is not in the next.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            cost = pool.submit(measure, case).result()
        smallest = smallest or cost.microseconds
        print(
            f"  {getattr(case, field):9,} {field:10} {cost.microseconds:6.2f} µs/event,"
            f" {cost.microseconds / smallest:.2f} times the smallest, {cost.mebibytes:,.0f} MiB",
            flush=True,
        )


def measure(case: Case) -> Cost:
    """One case, in this process."""
    return asyncio.run(_measure(case))


async def _measure(case: Case) -> Cost:
    known = IndicatorSet.build(indicators(case.indicators))
    events = spread(mixed(_DISTINCT))
    assert not any(known.match(event) for event in events), "a hit costs a signal, which is not the question here"
    sent = list(frames(events, size=case.events, number=_DISTINCT // case.events))
    del events
    with tempfile.TemporaryDirectory() as directory:
        intake = await _intake(Path(directory), case.agents, known)
        keys = [key_of(f"bench-{place}") for place in range(case.agents)]
        gc.collect()
        gc.freeze()  # as serve does
        best = float("inf")
        for _ in range(case.rounds):
            best = min(best, await _round(intake, keys, sent, case.batches))
    return Cost(best / (case.batches * case.events) * 1e6, memory(os.getpid()) / 2**20)


async def _round(intake: Intake, keys: Sequence[str], sent: Sequence[Frame], batches: int) -> float:
    """CPU seconds for so many batches. Requests are made in between, and are not in it."""
    taken = 0.0
    for start in range(0, batches, _MADE):
        places = range(start, min(start + _MADE, batches))
        requests = iter([_request(keys[place % len(keys)], sent[place % len(sent)].data) for place in places])
        began = time.process_time()
        await asyncio.gather(*(_deliver(intake, requests) for _ in range(AT_ONCE)))
        taken += time.process_time() - began
    return taken


async def _deliver(intake: Intake, requests: Iterator[web.Request]) -> None:
    for request in requests:
        response = await intake.take(request)
        assert response.status == 200, response.status


def _request(key: str, data: bytes) -> web.Request:
    """A batch as the HTTP layer hands it over, without a connection."""
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    payload.feed_data(data)
    payload.feed_eof()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE, "Content-Length": str(len(data))}
    return make_mocked_request("POST", "/v1/batches", headers, payload=payload)


async def _intake(directory: Path, agents: int, known: IndicatorSet) -> Intake:
    store = NullStore()
    await store.put_many(Kind.AGENT, [agent_of(f"bench-{place}") for place in range(agents)])
    settings = msgspec.structs.replace(
        local(directory),
        # High enough for ten agents, and on: its buckets are in the figures.
        limits=LimitSettings(agent_events_per_second=10_000_000, agent_burst_events=10_000_000),
    )
    matching = Matching(store, past=timedelta(days=14))
    matching.indicators = known
    return Intake(
        settings,
        secret=SECRET,
        store=store,
        registry=Registry(store),
        matching=matching,
        dead_letters=DeadLetters(settings.dead_letters, daily_bytes=1 << 20, days=1),
        signals_created=lambda: None,
    )


def spread(events: list[Event]) -> list[Event]:
    """The events with other ends and names: as many distinct ones as events, none of them among the indicators."""
    chance = random.Random(6)
    now = datetime.now(UTC)
    for event in events:
        event.timestamp = event.event_start = event.event_end = now
        event.destination_ip = f"93.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
        if event.event_dataset is Dataset.DNS:
            event.dns_question_name = f"www.site{chance.randrange(1_000_000)}.example.nl"
            event.dns_resolved_ip = [event.destination_ip]
        elif event.event_dataset is Dataset.TLS:
            event.tls_client_server_name = f"cdn.site{chance.randrange(1_000_000)}.example.com"
    return events


if __name__ == "__main__":
    main()

"""How long an analyst waits: the ten usual questions of docs/searching.md, on millions of events, in both stores.

    python -m tests.bench.search sqlite DIRECTORY [--fill 5000000] [--ask 20]
    python -m tests.bench.search elasticsearch URL [--prefix benchsearch] [--fill 5000000] [--ask 20] [--wipe]

``--fill`` writes that many events of 300 schools over seven days, and a signal for every thousandth; it goes on where
an earlier run ended. Each question is asked ``--ask`` times, each time about another address, name or school, after one
turn that is not counted. Median and 95th percentile in milliseconds; nothing else may run beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import SECTOR, Kind, Scope, Search, Store
from schoolwacht_collector.query.parse import parse
from tests.bench.stores import BATCH, POPULAR, START, Took, in_turn, traffic
from tests.schoolwacht_collector.index import stores

DAYS = 7
END = START + timedelta(days=DAYS)
_RULES = [(f"D{number:02}", f"Detection {number}") for number in range(1, 25)]


class Question(NamedTuple):
    """What is asked: a query for a random value, of which kind, over how many last days, counted by which field."""

    text: str
    query: Callable[[random.Random], str]
    kind: Kind = Kind.EVENT
    days: float = DAYS
    by: str | None = None
    oldest_first: bool = False
    board: bool = False


def _host(rng: random.Random) -> str:
    return f"10.{rng.randrange(256)}.{rng.randrange(2)}.{rng.randrange(1, 255)}"


def _name(rng: random.Random) -> str:
    return f"www{rng.randrange(5000)}.example{rng.randrange(200)}.nl"


def _school(rng: random.Random) -> str:
    return f"{rng.randrange(300):04}AB00"


QUESTIONS = [
    Question("1 who talked to this address", lambda rng: f"related.ip:{_host(rng)}"),
    Question("2 which schools saw this domain", lambda rng: f'related.hosts:"{_name(rng)}"', by="school.location"),
    Question("2 …a domain that all know", lambda rng: f'related.hosts:"{POPULAR}"', by="school.location"),
    Question("3 newest critical signals", lambda rng: "signal.severity:Critical", kind=Kind.SIGNAL),
    Question(
        "4 busiest hosts of a school in a day",
        lambda rng: f"school.location:{_school(rng)}",
        days=1,
        by="source.address",
    ),
    Question("5 what did this host do, hour by hour", lambda rng: f"source.ip:{_host(rng)}", oldest_first=True, days=1),
    Question("6 who has this TLS fingerprint", lambda rng: "nsm.tls.ja4:t13d1516h2_8daaf6152771_000000000000"),
    Question(
        "7 all names below a domain",
        lambda rng: f"dns.question.name:*.example{rng.randrange(200)}.nl",
        by="dns.question.name",
        days=1,
    ),
    Question(
        "8 a network to one port", lambda rng: f"source.ip:10.{rng.randrange(256)}.0.0/23 AND destination.port:8443"
    ),
    Question("9 signals by rule", lambda rng: "*", kind=Kind.SIGNAL, by="rule.id"),
    Question("10 newest of my board", lambda rng: "*", board=True),
    Question("10 …a word in an hour", lambda rng: f"www{rng.randrange(5000)}.example7", days=1 / 24),
]


def signals_of(events: list[Event]) -> Iterator[Event]:
    """A signal for every thousandth event."""
    for event in events:
        if event.event_sequence is not None and event.event_sequence % 1000 == 0:
            number = event.event_sequence // 1000
            rule = _RULES[number % len(_RULES)]
            yield structs.replace(
                event,
                event_dataset=Dataset.SIGNAL,
                event_id=f"{event.event_id}s",
                rule_id=rule[0],
                rule_name=rule[1],
                rule_ruleset="behaviour",
                signal_detection=rule[0],
                signal_severity=("Critical", "Major", "Minor", "Informational")[min(3, number % 40 // 2)],
                signal_entity=event.source_ip,
                signal_key=f"{rule[0]}-{event.school_location}-{event.source_ip}",
            )


async def fill(store: Store, number: int, total: int) -> None:
    """Write ``number`` events, counted from what is there."""
    there = sum(
        each.number for each in (await store.tally(Search(Kind.EVENT, parse("*"), SECTOR), "observer.name")).values()
    )
    apart = int(DAYS * 86_400_000_000 / total)
    step = 50 * BATCH

    async def write(batch: list[Event]) -> None:
        outcomes = await store.create([*batch, *signals_of(batch)])
        assert all(one.verdict is Verdict.DELIVERED for one in outcomes), outcomes[0]

    for first in range(there, min(total, there + number), step):
        batches = list(traffic(min(step, total - first), first, apart=apart))
        with Took() as took:
            await in_turn(batches, write)
        if first % (10 * step) == 0:
            print(took.line(f"rows {first:,} and on", step), flush=True)


async def ask(store: Store, times: int) -> None:
    """Every question, in turn."""
    rng = random.Random(1)
    print(f"{'question':44}{'median ms':>11}{'p95 ms':>9}{'rows':>8}")
    for question in QUESTIONS:
        took: list[float] = []
        rows = 0
        for turn in range(times + 1):
            scope = Scope(frozenset({f"{40000 + rng.randrange(60)}"})) if question.board else SECTOR
            search = Search(
                question.kind,
                parse(question.query(rng)),
                scope,
                since=END - timedelta(days=question.days),
                until=END,
                oldest_first=question.oldest_first,
            )
            began = time.perf_counter()
            if question.by is None:
                rows += len((await store.search(search)).rows)
            else:
                rows += len(await store.tally(search, question.by, top=100))
            if turn:
                took.append(1000 * (time.perf_counter() - began))
        ranked = sorted(took)
        p95 = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
        print(f"{question.text:44}{statistics.median(took):11.1f}{p95:9.1f}{rows / (times + 1):8.0f}", flush=True)


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncIterator[Store]:
    """The store that was asked for."""
    if options.store == "sqlite":
        async with stores.sqlite(Path(options.where), search_seconds=120) as store:
            yield store
        return
    async with stores.elasticsearch(options.where, options.prefix, init=True, request_seconds=120) as store:
        yield store


async def run(options: argparse.Namespace) -> None:
    """Fill, then ask."""
    async with opened(options) as store:
        if options.fill:
            await fill(store, options.fill, options.total)
            await stores.settle(store)
        if options.ask:
            await ask(store, options.ask)
    if options.wipe and options.store == "elasticsearch":
        await stores.wipe(options.where, options.prefix)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", choices=("sqlite", "elasticsearch"))
    parser.add_argument("where", help="a directory, or the URL of a cluster")
    parser.add_argument("--prefix", default="benchsearch")
    parser.add_argument("--fill", type=int, default=0, metavar="N", help="events to add, before anything is asked")
    parser.add_argument("--total", type=int, default=5_000_000, help="events that the seven days hold in the end")
    parser.add_argument("--ask", type=int, default=20, help="times that each question is asked")
    parser.add_argument("--wipe", action="store_true", help="take the cluster's indices away afterwards")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""How fast the stores write, and what it costs: ``python -m tests.bench.stores [--events N] [--elasticsearch URL]``.

SQLite: documents a second through the port, from one file to many rows, batches of 1,000 with several calls at once as
an intake makes them. Elasticsearch: the same through the port beside ``es.bulk`` with ready bytes, one after the other
in the same run, several times in turn; the ratio is what our own preparation and accounting costs. Then searches.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec
from elasticsearch import AsyncElasticsearch

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import SECTOR, Kind, Scope, Search, Store
from schoolwacht_collector.query.parse import parse
from tests.schoolwacht_collector.index import stores

BATCH = 1000
CALLS = 4
START = datetime(2026, 3, 1, tzinfo=UTC)
POPULAR = "login.vendor.example"


def traffic(number: int, first: int = 0, *, apart: int = 4000) -> Iterator[list[Event]]:
    """Batches of events as the line stores them: flows, DNS and TLS of 300 schools, complete with what is derived.

    They begin with event number ``first``, are ``apart`` microseconds from each other (a day has 20 million), and their
    times up to two seconds out of order.
    """
    rng = random.Random(first)
    for start in range(first, first + number, BATCH):
        yield [_event(rng, start + place, apart) for place in range(min(BATCH, first + number - start))]


def _event(rng: random.Random, number: int, apart: int) -> Event:
    school = rng.randrange(300)
    board = school % 60
    moment = START + timedelta(microseconds=apart * number + rng.randrange(2_000_000))
    event = Event(
        timestamp=moment,
        event_dataset=rng.choice((Dataset.FLOW, Dataset.FLOW, Dataset.DNS, Dataset.TLS)),
        event_module="packets",
        event_id=f"{int(moment.timestamp() * 1e6):014x}{rng.randbytes(12).hex()}",
        event_sequence=number,
        event_ingested=moment + timedelta(seconds=3),
        organization_id=f"{40000 + board}",
        observer_name=f"gateway-{school}",
        school_brin=f"{school:02}AB"[:4],
        school_location=f"{school:04}AB00",
        school_zone=rng.choice(("staff", "pupil", "guest")),
        source_ip=f"10.{school % 256}.{rng.randrange(2)}.{rng.randrange(1, 255)}",
        source_port=rng.randrange(1024, 65536),
        source_bytes=rng.randrange(100_000),
        source_packets=rng.randrange(200),
        destination_ip=f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        destination_port=rng.choice((53, 80, 443, 443, 443, 8443)),
        destination_bytes=rng.randrange(1_000_000),
        destination_packets=rng.randrange(900),
        network_transport=rng.choice(("tcp", "udp")),
        network_type="ipv4",
        network_community_id=f"1:{rng.randbytes(20).hex()[:27]}=",
    )
    if event.event_dataset is Dataset.DNS:
        event.dns_type, event.dns_response_code = "answer", "NOERROR"
        event.dns_question_name = _name(rng)
        event.dns_question_type, event.dns_resolved_ip = "A", [event.destination_ip or "192.0.2.1"]
    elif event.event_dataset is Dataset.TLS:
        event.tls_client_server_name = _name(rng)
        event.tls_client_ja3, event.nsm_tls_ja4 = rng.randbytes(16).hex(), "t13d1516h2_8daaf6152771_b186095e22b6"
        event.tls_version, event.tls_version_protocol = "1.3", "tls"
    else:
        event.event_start, event.event_end = moment - timedelta(seconds=9), moment
        event.nsm_flow_state, event.nsm_flow_reason = "closed", "timeout"
    derive(event)
    return event


def _name(rng: random.Random) -> str:
    """One of a million names; one in fifty times the one that everybody asks for."""
    if rng.random() < 0.02:
        return POPULAR
    return f"www{rng.randrange(5000)}.example{rng.randrange(200)}.nl"


class Took:
    """Wall and processor seconds of this process (threads included) around a block."""

    def __enter__(self) -> Self:
        self.wall, self.processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self.wall
        self.processor = time.process_time() - self.processor

    def line(self, what: str, number: int) -> str:
        return f"{what:<44} {number / self.wall:>9,.0f}/s {1e6 * self.processor / number:>7.1f} µs CPU an event"


async def in_turn(batches: Sequence[list[Any]], write: Callable[[list[Any]], Awaitable[None]]) -> None:
    """Write every batch, ``CALLS`` at the same time."""
    waiting = iter(batches)

    async def lane() -> None:
        for batch in waiting:
            await write(batch)

    await asyncio.gather(*(lane() for _ in range(CALLS)))


def into(store: Store) -> Callable[[list[Event]], Awaitable[None]]:
    """Write a batch through the port; every event must be new."""

    async def write(batch: list[Event]) -> None:
        outcomes = await store.create(batch)
        assert all(one.verdict is Verdict.DELIVERED and one.created for one in outcomes)

    return write


async def sqlite(number: int, directory: Path, step: int, start: int) -> None:
    """Rows into SQLite, a rate for each step of the way."""
    async with stores.sqlite(directory) as store:
        written = start
        for first in range(start, start + number, step):
            batches = list(traffic(step, first))
            with Took() as took:
                await in_turn(batches, into(store))
            written += step
            print(took.line(f"SQLite, rows {written - step:,} to {written:,}", step), flush=True)
        size = sum(path.stat().st_size for path in directory.iterdir())
        print(f"{'SQLite, on disk':<44} {size / written:>9,.0f} bytes an event")
        batches = list(traffic(step, start))
        with Took() as took:
            for batch in batches:
                assert not any(one.created for one in await store.create(batch))
        print(took.line("SQLite, delivered again", step))
        await searches(store, "SQLite")


async def searches(store: Store, name: str) -> None:
    """How long an analyst waits."""
    asked = [
        ("newest 100 of all", SECTOR, "*"),
        ("newest 100 of one board", Scope(frozenset({"40007"})), "*"),
        ("newest 100 of one address", SECTOR, "source.ip:10.7.3.9"),
        ("newest 100 of a network", SECTOR, "source.ip:10.7.0.0/20"),
        ("a name that is frequent", SECTOR, "dns.question.name:*.example7.nl"),
        ("a name that is not there", SECTOR, 'dns.question.name:"nowhere.example"'),
        ("a bare word that is not there", SECTOR, "nowhere.example"),
    ]
    for what, scope, query in asked:
        with Took() as took:
            page = await store.search(Search(Kind.EVENT, parse(query), scope))
        print(f"{name + ', ' + what:<44} {1000 * took.wall:>9.1f} ms  {len(page.rows)} rows")
    with Took() as took:
        tally = await store.tally(Search(Kind.EVENT, parse("*"), SECTOR), "observer.name", top=10)
    print(f"{name + ', ten busiest agents':<44} {1000 * took.wall:>9.1f} ms  {len(tally)} rows")


async def elasticsearch(url: str, number: int, rounds: int) -> None:
    """The port and ready bytes in turn; the first round warms both up and is not counted."""
    client = AsyncElasticsearch(url)
    ratios = []
    for round_ in range(rounds + 1):
        prefix = f"b{secrets.token_hex(6)}"
        async with stores.elasticsearch(url, prefix, init=True) as store:
            batches = list(traffic(number, round_ * number))
            with Took() as ours:
                await in_turn(batches, into(store))
            ready = [_lines(batch, f"{prefix}-ready") for batch in traffic(number, round_ * number)]
            await client.indices.create(index=f"{prefix}-flow-ready")

            async def send(lines: list[bytes]) -> None:
                answer = await client.bulk(operations=lines, filter_path="errors")  # type: ignore[arg-type]  # bytes
                assert not answer["errors"]

            with Took() as bare:
                await in_turn(ready, send)
            if round_:
                ratios.append(bare.wall / ours.wall)
                print(ours.line("Elasticsearch through the port", number), flush=True)
                print(bare.line("Elasticsearch, es.bulk with ready bytes", number), flush=True)
            if round_ == rounds:
                await stores.settle(store)
                await searches(store, "Elasticsearch")
        await stores.wipe(url, prefix)
    await client.close()
    print(f"{'port / ready bytes':<44} {100 * sorted(ratios)[len(ratios) // 2]:>9.0f} %  (median of {rounds})")


def _lines(batch: list[Event], prefix: str) -> list[bytes]:
    lines: list[bytes] = []
    for event in batch:
        index = prefix.replace("-ready", f"-{event.event_dataset}-ready")
        lines += [msgspec.json.encode({"create": {"_index": index, "_id": event.event_id}}), msgspec.json.encode(event)]
    return lines


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="rows into SQLite")
    parser.add_argument("--step", type=int, default=50_000, help="rows of one measurement")
    parser.add_argument("--directory", type=Path, help="a directory on the disk to measure (default: temporary)")
    parser.add_argument("--start", type=int, default=0, help="rows that an earlier run with --keep has written there")
    parser.add_argument("--keep", action="store_true", help="leave the directory, to go on there")
    parser.add_argument("--elasticsearch", metavar="URL", help="measure this cluster too")
    parser.add_argument("--documents", type=int, default=40_000, help="documents of one round into Elasticsearch")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    directory = options.directory or Path(tempfile.mkdtemp(prefix="stores-"))
    try:
        if options.events:
            asyncio.run(sqlite(options.events, directory, options.step, options.start))
    finally:
        if not options.keep:
            shutil.rmtree(directory)
    if options.elasticsearch:
        asyncio.run(elasticsearch(options.elasticsearch, options.documents, options.rounds))


if __name__ == "__main__":
    main()

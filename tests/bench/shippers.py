"""The same events into the same Elasticsearch by three ways, in one run: ours, ``es.bulk`` with ready bytes, rsyslog.

    python -m tests.bench.shippers [--url http://127.0.0.1:9200] [--events 100000] [--rounds 2]

rsyslog (Debian: rsyslog, rsyslog-elasticsearch) reads a file of ready JSON lines with imfile and sends them with
omelasticsearch in bulk. It does less than our store: no id of its own a document (so that sending again doubles), no
outcome of each event, one index for all. All three use our templates. Documents a second until the last one is counted
in the index; the first round warms up and is not printed.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import subprocess
import tempfile
import time
from pathlib import Path

import msgspec
from elasticsearch import AsyncElasticsearch

from schoolwacht.event import Event
from tests.bench.stores import CALLS, in_turn, into, traffic
from tests.parts import program
from tests.schoolwacht_collector.index import stores

_CONFIG = """
global(workDirectory="{work}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
template(name="doc" type="list") {{ property(name="msg") }}
template(name="index" type="string" string="{index}")
ruleset(name="ship" queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="{batch}" queue.workerThreads="2"
    queue.workerThreadMinimumMessages="{batch}") {{
  action(type="omelasticsearch" server="{server}" template="doc" searchIndex="index" dynSearchIndex="on" searchType=""
    bulkmode="on" maxbytes="32m" action.resumeRetryCount="-1" errorFile="{work}/errors")
}}
input(type="imfile" file="{lines}" tag="events" ruleset="ship" readMode="0")
"""
_PATIENCE = 120.0


async def run(url: str, number: int, rounds: int) -> None:
    """All three in turn, several times."""
    client = AsyncElasticsearch(url, request_timeout=60)
    try:
        for round_ in range(rounds + 1):
            prefix = f"b{secrets.token_hex(6)}"
            async with stores.elasticsearch(url, prefix, init=True) as store:
                batches = list(traffic(number, round_ * number))
                began = time.perf_counter()
                await in_turn(batches, into(store))
                ours = await _counted(client, f"{prefix}-*", number, began)
                ready = [_lines(batch, f"{prefix}-flow-ready") for batch in batches]
                began = time.perf_counter()
                await in_turn(ready, lambda lines: _send(client, lines))
                bare = await _counted(client, f"{prefix}-flow-ready", number, began)
                ship = await _rsyslog(client, url, f"{prefix}-flow-rsyslog", batches)
            await stores.wipe(url, prefix)
            if round_:
                print(f"our store {ours:,.0f}/s, es.bulk with ready bytes {bare:,.0f}/s, rsyslog {ship:,.0f}/s", end="")
                print(f"; ours to es.bulk {ours / bare:.2f}, ours to rsyslog {ours / ship:.2f}", flush=True)
    finally:
        await client.close()


async def _send(client: AsyncElasticsearch, lines: list[bytes]) -> None:
    answer = await client.bulk(operations=lines, filter_path="errors")  # type: ignore[arg-type]  # bytes
    assert not answer["errors"]


async def _rsyslog(client: AsyncElasticsearch, url: str, index: str, batches: list[list[Event]]) -> float:
    """Documents/s of rsyslog, from its start on."""
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        number = 0
        with (work / "lines").open("wb") as file:
            for batch in batches:
                file.writelines(msgspec.json.encode(event) + b"\n" for event in batch)
                number += len(batch)
        text = _CONFIG.format(work=work, index=index, server=url, lines=work / "lines", batch=1000 * CALLS)
        (work / "conf").write_text(text)
        command = [str(program("rsyslogd", "rsyslog")), "-n", "-f", str(work / "conf"), "-i", str(work / "pid")]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: ASYNC220 - at once
        try:
            return await _counted(client, index, number, began)
        finally:
            process.terminate()
            await asyncio.to_thread(process.communicate, timeout=30)
            if (work / "errors").exists():
                print("rsyslog was refused:", (work / "errors").read_text()[:500])


async def _counted(client: AsyncElasticsearch, index: str, number: int, began: float) -> float:
    """Documents/s until the index holds them all. Raises TimeoutError."""
    quiet = client.options(ignore_status=404)
    until = time.perf_counter() + _PATIENCE
    while time.perf_counter() < until:
        await quiet.indices.refresh(index=index)
        if (await quiet.count(index=index)).body.get("count") == number:
            return number / (time.perf_counter() - began)
        await asyncio.sleep(0.2)
    raise TimeoutError(f"{index} does not hold {number:,} documents after {_PATIENCE:g} s")


def _lines(batch: list[Event], index: str) -> list[bytes]:
    lines: list[bytes] = []
    for event in batch:
        lines += [msgspec.json.encode({"create": {"_index": index, "_id": event.event_id}}), msgspec.json.encode(event)]
    return lines


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:9200")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    asyncio.run(run(options.url, options.events, options.rounds))


if __name__ == "__main__":
    main()

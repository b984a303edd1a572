"""What a connected agent that says nothing costs a collector: resident memory each, over plain HTTP and mutual TLS.

    python -m tests.bench.idle_agents [--agents 2000]

The intake runs in a process of its own, over a store that keeps nothing. Every agent has a name, a key and (with TLS) a
certificate of its own, delivers one batch of one event and then keeps its connection open. The first 100 come before
the first figure, so that what a collector needs once is not in it; at the end all must still be connected and have a
second batch taken. Limits: with ``intake.idle_seconds`` as shipped (10) a silent agent's connection is closed and it
costs nothing; here it is kept, as for agents that deliver every few seconds. Memory of the kernel's sockets is not in
the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.wire import BATCH_TYPE, encode_batch, encode_event
from schoolwacht_collector.config import IntakeSettings, local
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.intake import Intake
from schoolwacht_collector.listener import listen
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.registry import Registry
from schoolwacht_collector.tls import ServerTls
from tests.bench.agents import memory
from tests.bench.collector import SECRET, NullStore
from tests.bench.intake_workers import agent_of, key_of, mixed
from tests.schoolwacht_collector.certificates import Authority

FIRST = 100
AT_ONCE = 50
#: File descriptors that a process needs besides its connections.
_OTHERS = 100
_IDLE = 600.0


class Agent(NamedTuple):
    """One connection."""

    name: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agents", type=int, default=2000)
    parser.add_argument("--serve", nargs=2, metavar=("AGENTS", "DIRECTORY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_serve(int(options.serve[0]), Path(options.serve[1])))
        return
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHERS
    number = min(options.agents, allowed)
    if number < options.agents:
        print(f"{number} agents instead of {options.agents}: ulimit -n allows no more")
    if number <= FIRST:
        parser.error(f"at least {FIRST + 1} agents")
    plain = asyncio.run(_measure(number, mutual=False))
    tls = asyncio.run(_measure(number, mutual=True))
    print(f"ratio: mutual TLS to plain HTTP {tls / plain:.1f}; 10,000 with mutual TLS {tls * 10_000 / 2**20:,.0f} MiB")


async def _measure(number: int, *, mutual: bool) -> float:
    """Bytes an agent, of the collector's resident memory."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        authority = Authority(directory) if mutual else None
        if authority:
            authority.issue("collector")
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing runs beside it yet
            [sys.executable, "-m", "tests.bench.idle_agents", "--serve", str(number), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert server.stdout is not None
        agents: list[Agent] = []
        try:
            port = int(json.loads(await asyncio.to_thread(server.stdout.readline))["port"])
            agents += await _connect(port, range(FIRST), authority)
            before = memory(server.pid)
            agents += await _connect(port, range(FIRST, number), authority)
            after = memory(server.pid)
            assert not any(agent.reader.at_eof() for agent in agents), "the collector closed a connection"
            for agent in agents:
                await _deliver(agent, sequence=2)
        finally:
            for agent in agents:
                agent.writer.transport.abort()
            server.terminate()
            await asyncio.to_thread(server.wait, 20)
            server.stdout.close()
    each = (after - before) / (number - FIRST)
    print(
        f"  {'mutual TLS' if mutual else 'plain HTTP'}: {number:,} idle agents, {each / 1000:.1f} kB each;"
        f" the collector {before / 2**20:.0f} MiB with {FIRST}, {after / 2**20:.0f} MiB with all",
        flush=True,
    )
    return each


async def _connect(port: int, places: Sequence[int], authority: Authority | None) -> list[Agent]:
    turns = iter(places)
    made = []

    async def some() -> None:
        for place in turns:
            name = f"bench-{place}"
            context = _context(authority, name) if authority else None
            agent = Agent(name, *await asyncio.open_connection("127.0.0.1", port, ssl=context))
            made.append(agent)
            await _deliver(agent, sequence=1)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return made


def _context(authority: Authority, name: str) -> ssl.SSLContext:
    return authority.context(authority.issue(name))


async def _deliver(agent: Agent, *, sequence: int) -> None:
    body = encode_batch(f"{0:016x}", [sequence], [encode_event(mixed(1)[0])])
    agent.writer.write(
        f"POST /v1/batches HTTP/1.1\r\nHost: collector\r\nAuthorization: Bearer {key_of(agent.name)}\r\n"
        f"Content-Type: {BATCH_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    async with asyncio.timeout(30):
        head = (await agent.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:"))
        await agent.reader.readexactly(int(length))
    assert head.startswith("http/1.1 200 "), head


async def _serve(number: int, directory: Path) -> None:
    settings = local(directory)
    intake = IntakeSettings(idle_seconds=_IDLE)
    if (directory / "collector.pem").exists():
        intake = msgspec.structs.replace(
            intake,
            certificate=str(directory / "collector.pem"),
            key=str(directory / "collector.key"),
            client_ca=str(directory / "authority.pem"),
        )
    store = NullStore()
    await store.put_many(Kind.AGENT, [agent_of(f"bench-{place}") for place in range(number)])
    application = Intake(
        msgspec.structs.replace(settings, intake=intake),
        secret=SECRET,
        store=store,
        registry=Registry(store),
        matching=Matching(store, past=timedelta(days=14)),
        dead_letters=DeadLetters(settings.dead_letters, daily_bytes=1 << 20, days=1),
        signals_created=lambda: None,
    ).application()
    tls = ServerTls(intake) if intake.certificate else None
    async with AsyncExitStack() as stack:
        url = await listen(
            stack,
            application,
            "127.0.0.1:0",
            field="intake.listen",
            idle=_IDLE,
            stop=5,
            tls=tls.context if tls else None,
        )
        gc.collect()
        gc.freeze()  # as serve does
        print(json.dumps({"port": int(url.rpartition(":")[2])}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    main()

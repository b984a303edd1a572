"""Promise 7: a large backlog needs neither memory nor patience.

    python -m tests.bench.promises.backlog [--bytes 2000000000]

A spool of 2 GB lies there when the capturing and the forwarding process start, as two processes, over a collector that
takes everything. Ready is: the first new event is on the disk, and the first old one is delivered; the time counts
from the start of the process, Python's own included. The memory is the most that each process ever had resident.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import LIMITS, REPLY_TYPE, VERSION, Reply, decode_batch, encode_event, encode_reply
from schoolwacht.wire import Verdict as Word
from schoolwacht_agent.spool import Writer, look
from tests.bench.agents import environment, memory
from tests.bench.promises.eve_agent import EveAgent
from tests.bench.promises.verdict import Verdict

_MEMORY, _READY = 128.0, 5.0
_FORWARD_SECONDS = 15.0


def main() -> None:
    """Fill, start and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    options = parser.parse_args()
    verdict = Verdict("7. A large backlog needs neither memory nor patience")
    asyncio.run(_measure(verdict, options.bytes))
    verdict.end()


@dataclass(slots=True)
class Sink:
    """A collector that takes everything and keeps nothing."""

    url: str = ""
    taken: int = 0
    #: Set when a batch has come.
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        """Answer a batch."""
        batch = decode_batch(await request.read())
        self.taken += len(batch.events)
        self.asked.set()
        reply = Reply(VERSION, [Word.DELIVERED] * len(batch.events), {}, None)
        return web.Response(body=encode_reply(reply), content_type=REPLY_TYPE)


@asynccontextmanager
async def taking() -> AsyncIterator[Sink]:
    """A sink on a free port of the loopback interface."""
    sink = Sink()
    application = web.Application(client_max_size=LIMITS.frame)
    application.router.add_post("/v1/batches", sink.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sink.url = f"http://{host}:{port}"
    try:
        yield sink
    finally:
        await runner.cleanup()


async def _measure(verdict: Verdict, size: int) -> None:
    async with taking() as sink:
        with tempfile.TemporaryDirectory() as directory, environment(SCHOOLWACHT_AGENT_KEY="bench.secret"):
            agent = EveAgent(Path(directory), {"uplink": {"collectors": [sink.url]}})
            await asyncio.to_thread(fill, agent.spool, size)
            before = look(agent.spool)
            assert before is not None
            verdict.note(f"{before.waiting:,} events in {before.bytes:,} bytes")
            agent.write(1)
            with agent.start("capture") as capture:
                found = await asyncio.to_thread(capture.wait, lambda: agent.kept() > before.waiting, 60.0)
                verdict.at_most("capture is ready after", time.monotonic() - capture.started, _READY, "s")
                with agent.start("forwarder") as forwarder:
                    await asyncio.wait_for(sink.asked.wait(), 60)
                    verdict.at_most("forwarder is ready after", time.monotonic() - forwarder.started, _READY, "s")
                    first, began = sink.taken, time.monotonic()
                    await asyncio.sleep(_FORWARD_SECONDS)
                    rate = (sink.taken - first) / (time.monotonic() - began)
                    for part in (capture, forwarder):
                        most = memory(part.process.pid, "VmHWM") / (1 << 20)
                        verdict.at_most(f"memory of the {part.part}", most, _MEMORY, "MiB")
            verdict.exactly("capture took the new event", found, True)
            verdict.note(f"delivered meanwhile: {rate:,.0f} events/s")


def fill(spool: Path, size: int) -> None:
    """Fill a spool with so many bytes of ordinary events."""
    raws = [
        encode_event(
            Event(
                datetime.now(UTC), Dataset.DNS, source_ip=f"10.0.{number >> 8}.{number & 255}", source_port=50_000,
                destination_ip="192.0.2.53", destination_port=53, network_transport="udp", network_protocol="dns",
                dns_question_name=f"host{number}.school.example", dns_question_type="A", dns_response_code="NOERROR",
            )
        )
        for number in range(20_000)
    ]  # fmt: skip
    each = sum(map(len, raws)) + 24 * len(raws)
    with Writer(spool, max_bytes=4 << 30) as writer:
        for _ in range(size // each):
            writer.append_encoded([], raws, b"")


if __name__ == "__main__":
    main()

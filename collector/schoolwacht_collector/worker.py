"""One worker of a collector with several: a whole collector that shares the intake's port with its siblings.

Its parent (:mod:`.workers`) writes lines to its standard input: the settings first, then whenever it wants them
``metrics``, answered in a line of JSON on standard output, and settings that the worker takes up (:mod:`.reload`).
Promise: when its parent is gone, whatever ended it, the worker stops as on SIGTERM.
"""

from __future__ import annotations

import asyncio
import sys
from typing import BinaryIO

import msgspec
from prometheus_client import generate_latest

from schoolwacht.command import perform
from schoolwacht_collector import app, logs, serve
from schoolwacht_collector.config import Settings
from schoolwacht_collector.index.port import Store

#: Bytes of a line either way, at most.
LINE = 4 << 20
#: The line that asks for the metrics.
METRICS = b"metrics\n"


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """The first line of a worker's input."""

    settings: Settings
    verbose: bool = False


class Said(msgspec.Struct, omit_defaults=True):
    """A line of a worker's output: where it listens, or its metrics as Prometheus reads them."""

    url: str = ""
    metrics: str = ""


def main(store: Store | None = None) -> int:
    """Run the worker; returns the exit status. ``store`` in place of the configured one."""

    def work() -> int:
        start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
        logs.configure(verbose=start.verbose)
        asyncio.run(_run(start.settings, store))
        return 0

    return perform("schoolwacht-collector", work)


async def _run(settings: Settings, store: Store | None) -> None:
    tasks: list[asyncio.Task[None]] = []

    def started(collector: app.Collector, stopped: asyncio.Event) -> None:
        tasks.append(asyncio.create_task(_attend(collector, stopped)))

    await serve.until_stopped(settings, started=started, store=store)
    for task in tasks:
        task.cancel()


async def _attend(collector: app.Collector, stopped: asyncio.Event) -> None:
    """Answer the parent until it is gone."""
    reader = asyncio.StreamReader(limit=LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    await asyncio.to_thread(_say, sys.stdout.buffer, Said(url=collector.intake_url))
    while line := await reader.readline():
        if line != METRICS:
            await serve.take_up(collector, msgspec.json.decode(line, type=Settings))
            continue
        await asyncio.to_thread(
            _say, sys.stdout.buffer, Said(metrics=generate_latest(collector.metrics.registry).decode())
        )
    stopped.set()


def _say(out: BinaryIO, said: Said) -> None:
    out.write(msgspec.json.encode(said) + b"\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())

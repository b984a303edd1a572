"""How fast EVE lines become events on the wire, and how many bytes an event costs there.

    python -m tests.bench.eve EVE_OR_CAPTURE [--batch 1000] [--level 1] [--rounds 5]

A capture is first played through the real Suricata (``.zst`` and ``.gz`` too). Each step is timed (CPU time) over the
same lines in the same process, best of some rounds, and beside it the peer: ``json.loads`` into dicts and the same
facts as a dict of dotted names, encoded and compressed alike. Goals: ≥ 120,000 events a second on one core
from line to compressed batch, ≤ 70 bytes an event on the wire.

``--fields`` says what each field costs on the wire: the size without it against the size with it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from schoolwacht.event import Event
from schoolwacht.wire import LEVEL, encode_batch, encode_event
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.cycles import look_seldom
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.configuration import version_of
from schoolwacht_agent.sources.suricata.decode import decode_fast
from schoolwacht_agent.sources.suricata.eve import MAPPINGS, Reader
from schoolwacht_agent.sources.suricata.feeds import Replay
from schoolwacht_agent.sources.suricata.source import SuricataSource
from schoolwacht_agent.sources.suricata.tail import CHUNK

EPOCH = "0" * 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="an EVE file (.json) or a capture")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--level", type=int, default=LEVEL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fields", action="store_true", help="also the cost of each field on the wire")
    options = parser.parse_args()

    lines = read_lines(options.file)
    look_seldom()  # as the capturing process does
    batches = [lines[at : at + options.batch] for at in range(0, len(lines), options.batch)]
    events = Reader(Counters(), own_engine=True, health=False).events(lines)
    size = sum(len(frame) for frame in frames(batches, options.level))
    eve_size = sum(map(len, lines)) + len(lines)
    print(f"{options.file.name}: {len(lines)} lines, {eve_size / len(lines):.0f} bytes a line, {len(events)} events")

    def timed(name: str, work: Callable[[], object]) -> float:
        best = min(_seconds(work) for _ in range(options.rounds))
        each = best / len(events) * 1e6
        print(f"  {name:44} {each:7.2f} µs an event   {1e6 / each:10,.0f} events/s")
        return each

    timed("typed decode", lambda: [decode_fast(line) and None for line in lines])
    records = [decode_fast(line) for line in lines]
    timed("mapping to events", lambda: [MAPPINGS[one.event_type](one) and None for one in records])
    timed("MessagePack", lambda: [encode_event(one) and None for one in events])
    whole = timed("line → event → MessagePack → zstd batch", lambda: list(frames(batches, options.level)))
    peer = timed("peer: json.loads → dict → msgpack → zstd", lambda: list(peer_frames(batches, options.level)))
    peer_size = sum(len(frame) for frame in peer_frames(batches, options.level))
    print(f"  {peer / whole:.2f} times as fast as the peer")
    print(
        f"  on the wire {size / len(events):.1f} bytes an event (peer {peer_size / len(events):.1f}), "
        f"1 : {eve_size / size:.1f} of EVE"
    )
    if options.fields:
        cost_of_fields(events, options.batch, options.level)


def read_lines(path: Path) -> list[bytes]:
    """The EVE lines of a file, or of a capture played through Suricata; figures of the engine left out."""
    lines = path.read_bytes().splitlines() if path.suffix == ".json" else play(path)
    return [line for line in lines if b'"event_type":"stats"' not in line]


def play(path: Path) -> list[bytes]:
    """A capture through the real Suricata."""
    settings = SuricataTable()
    notes = SuricataSource(own_engine=True, health=False)
    version = version_of(settings.binary)
    replay = Replay(path, settings=settings, version=version, home=DEFAULT_HOME, rules=[], notes=notes)
    return [line for lines in replay.lines() for line in lines]


def frames(batches: list[list[bytes]], level: int) -> Iterator[bytes]:
    """Lines to compressed batches, as the agent does: it reads CHUNK bytes of lines at a time."""
    reader = Reader(Counters(), own_engine=True, health=False)
    for lines in batches:
        encoded: list[bytes] = []
        for some in chunks(lines):
            encoded += [encode_event(event) for event in reader.events(some)]
        yield encode_batch(EPOCH, range(len(encoded)), encoded, level=level)


def chunks(lines: list[bytes]) -> Iterator[list[bytes]]:
    """Lines as the agent reads them, CHUNK bytes at a time."""
    each = max(1, CHUNK * len(lines) // (sum(map(len, lines)) + len(lines)))
    for at in range(0, len(lines), each):
        yield lines[at : at + each]


def peer_frames(batches: list[list[bytes]], level: int) -> Iterator[bytes]:
    """The same way with the standard library: each record a dict of dotted names, all of EVE's facts kept."""
    compressor = zstandard.ZstdCompressor(level=level)
    for lines in batches:
        yield compressor.compress(msgspec.msgpack.encode([dict(flatten(json.loads(line))) for line in lines]))


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A tree as dotted names."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def cost_of_fields(events: list[Event], batch: int, level: int) -> None:
    """What the wire would save without each field, in bytes an event, most expensive first."""

    def wire_size() -> float:
        total = 0
        for at in range(0, len(events), batch):
            encoded = [encode_event(event) for event in events[at : at + batch]]
            total += len(encode_batch(EPOCH, range(len(encoded)), encoded, level=level))
        return total / len(events)

    whole = wire_size()
    costs = []
    for item in msgspec.structs.fields(Event):
        if item.required:
            continue
        kept = [getattr(event, item.name) for event in events]
        if not any(value is not None for value in kept):
            continue
        for event in events:
            setattr(event, item.name, None)
        costs.append((whole - wire_size(), item.encode_name))
        for event, value in zip(events, kept, strict=True):
            setattr(event, item.name, value)
    print(f"  cost of fields, of {whole:.1f} bytes:")
    for cost, name in sorted(costs, reverse=True)[:20]:
        print(f"    {cost:6.2f}  {name}")


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()

"""Hostile input for the packet engine: frames of every link type, and whole captures, pcap and pcapng.

A capture goes through reader, decoder, flow table, streams and conversations, as from a file. What is no capture is
refused by its own error; every packet of the rest is counted.
"""

from __future__ import annotations

import gzip
import itertools
import struct
import tempfile
from pathlib import Path

import zstandard

from schoolwacht.errors import CaptureError
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.records import PAD, TAGGED, Batch, Link
from schoolwacht_agent.sources.port import Counters
from tests.fuzz.harness import Harness, main
from tests.parts import CAPTURES

_DIRECTORY = tempfile.TemporaryDirectory(prefix="sw-fuzz-")
_FILE = Path(_DIRECTORY.name) / "capture"
#: Small tables, so that their bounds are met; without scapy, which has a harness of its own.
SETTINGS = PacketsTable(max_flows=1000, streams_mib=1, fragments_mib=1, rare_per_second=0)
#: Packets of a capture that are used: the beginning has the handshakes.
PACKETS = 60
LINKS = [*Link, 105, 127, 9999]


def first_packets(path: Path, number: int = PACKETS) -> list[bytes]:
    """The frames of a capture."""
    found = (
        batch.buffer[start : start + captured]
        for batch in read_capture(path)
        for _, _, start, captured, _ in batch.records
    )
    return list(itertools.islice(found, number))


def pcap(frames: list[bytes], link: int = 1) -> bytes:
    """A capture file of frames, a millisecond apart."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link)
    return head + b"".join(
        struct.pack("<IIII", 1_790_000_000, 1000 * place, len(frame), len(frame)) + frame
        for place, frame in enumerate(frames)
    )


def pcapng(frames: list[bytes]) -> bytes:
    """The same as pcapng: section, interface with a resolution, enhanced packets, statistics."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack("<HHI", 1, 0, 65_535) + struct.pack("<HHB3xHH", 9, 1, 9, 0, 0))
    for place, frame in enumerate(frames):
        stamp = 1_790_000_000_000_000_000 + place * 1_000_000
        out += block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    return out + block(5, struct.pack("<III", 0, 0, 0) + struct.pack("<HHQHH", 5, 8, 3, 0, 0))


def capture(data: bytes) -> object:
    """A file of any bytes, compressed ones too."""
    _FILE.write_bytes(data)
    engine = Engine(SETTINGS, Counters())
    try:
        for batch in read_capture(_FILE):
            engine.feed(batch)
    except CaptureError:
        pass
    engine.close()
    events = engine.take()
    engine.end()
    return events


def frames(data: bytes) -> object:
    """Frames of any link type: a byte for it, one for the tag, then lengths and frames."""
    if len(data) < 4:
        return None
    link = LINKS[data[0] % len(LINKS)]
    tci = TAGGED | data[1] if data[1] & 1 else 0
    records: list[tuple[float, int, int, int, int]] = []
    body, at = data[2:], 0
    while at + 2 < len(body) and len(records) < 100:
        size = min(int.from_bytes(body[at : at + 2], "big"), len(body) - at - 2)
        records.append((1_790_000_000.0 + len(records) / 1000, size, at + 2, size, tci))
        at += 2 + size
    counters = Counters()
    engine = Engine(SETTINGS, counters)
    engine.feed(Batch(body + PAD, link, records))
    engine.close()
    events = engine.take()
    engine.end()
    assert counters.packets == len(records)
    return events


FRAMES = [first_packets(path) for path in sorted(CAPTURES.glob("*.pcap"))]
FRAMES.append(
    first_packets(Path(__file__).parent.parent / "schoolwacht_agent/sources/packets/dissect/programs.pcap", 400)
)
TAKEN = [
    bytes([place % 256, place % 3]) + b"".join(len(one).to_bytes(2, "big") + one for one in chosen)
    for chosen in FRAMES
    for place in range(len(LINKS))
]
HARNESSES = [
    Harness("pcap", capture, [pcap(chosen) for chosen in FRAMES], 1 << 15),
    Harness("pcapng", capture, [pcapng(chosen) for chosen in FRAMES], 1 << 15),
    Harness(
        "compressed",
        capture,
        [pack(pcap(FRAMES[-1][:40])) for pack in (gzip.compress, zstandard.compress)],
        1 << 15,
    ),
    Harness("frames", frames, TAKEN, 1 << 14),
]

if __name__ == "__main__":
    main(HARNESSES)

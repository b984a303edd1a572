"""Bytes made to harm: each is refused (or costs only its own event) within bounded memory.

Memory is that of a process of its own, measured by the kernel, so that what C code allocates counts too.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import msgpack
import pytest
import zstandard

from schoolwacht.errors import WireError
from schoolwacht.wire import LIMITS, decode_batch, decode_event, decode_reply

EPOCH = b"0123456789abcdef"
NOW = {"@timestamp": "2026-03-02T10:00:00Z", "event.dataset": "dns"}
#: Above the memory of an interpreter with the wire loaded: the frame, its inflated bytes and what is made of them.
ALLOWED = 32 << 20


def batch(item: bytes, count: int = 1) -> bytes:
    """A right envelope around the same raw item so many times."""
    head = b"\x84\xa7version\x01\xa5epoch\xb0" + EPOCH
    numbers: bytes = msgpack.packb(list(range(count)))
    return bytes(
        zstandard.compress(
            head + b"\xa9sequences" + numbers + b"\xa6events\xdd" + struct.pack(">I", count) + item * count
        )
    )


def event(**fields: object) -> bytes:
    packed: bytes = msgpack.packb({**NOW, **fields})
    return packed


def with_field(name: str, raw: bytes) -> bytes:
    """An event with one more field, whose value is given as bytes."""
    packed = event()
    body: bytes = bytes([packed[0] + 1]) + packed[1:] + msgpack.packb(name) + raw
    return body


def declared(size: int, content: bytes) -> bytes:
    """A zstd frame that declares another size than it has."""
    compressed = zstandard.ZstdCompressor(write_content_size=False).compress(content)
    # Single segment, eight bytes of content size (RFC 8878, 3.1.1.1).
    descriptor = compressed[4] & 0b0000_0100
    return compressed[:4] + bytes([0b1110_0000 | descriptor]) + struct.pack("<Q", size) + compressed[6:]


BOMBS = {
    "zeros": zstandard.compress(bytes(200 << 20)),
    "declared-huge": declared(1 << 40, bytes(1000)),
    "declared-tiny": declared(1, bytes(100_000)),
    "wide-window": zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compress(bytes(1 << 20)),
    "many-frames": zstandard.compress(b"") * 100_000,
    "empty-maps": zstandard.compress(b"\x91" + b"\xdd" + struct.pack(">I", 1_000_000) + b"\x80" * 1_000_000),
    "map-of-a-billion": zstandard.compress(b"\xdf" + struct.pack(">I", 1 << 30)),
    "array-of-a-billion": zstandard.compress(b"\xdd" + struct.pack(">I", 1 << 30)),
    "text-of-four-gib": zstandard.compress(b"\xdb" + struct.pack(">I", (1 << 32) - 1) + b"x"),
    "deep-arrays": zstandard.compress(b"\x91" * 4_000_000 + b"\x01"),
    "deep-maps": zstandard.compress(b"\x81\xa1a" * 2_000_000 + b"\x01"),
    "events-of-a-billion": zstandard.compress(
        b"\x84\xa7version\x01\xa5epoch\xb0" + EPOCH + b"\xa9sequences\x90\xa6events\xdd" + struct.pack(">I", 1 << 30)
    ),
}
#: These harm one event at most.
ITEMS = {
    "unknown-extension": with_field("brand.new", b"\xc7\x04\x42abcd"),
    "extension-for-a-field": with_field("source.ip", b"\xc7\x04\x42abcd"),
    "timestamp-beyond-the-calendar": with_field("event.start", b"\xc7\x0c\xff" + struct.pack(">Iq", 0, 1 << 62)),
    "timestamp-before-the-calendar": with_field("event.start", b"\xc7\x0c\xff" + struct.pack(">Iq", 0, -(1 << 62))),
    "timestamp-of-odd-length": with_field("event.start", b"\xc7\x03\xff123"),
    "nested-in-a-known-field": with_field("nsm.detail", b"\x81\xa1a" * 100_000 + b"\x01"),
    "nested-in-an-unknown-field": with_field("brand.new", b"\x91" * 100_000 + b"\x01"),
    "long-text": event(message="x" * 3000),
    "long-list": event(tags=["x"] * 65),
    "wide-detail": event(**{"nsm.detail": {str(number): "x" for number in range(65)}}),
    "no-utf-8": with_field("message", b"\xa2\xff\xfe"),
    "port-beyond": event(**{"source.port": 65536}),
    "number-beyond": with_field("source.bytes", b"\xcf" + b"\xff" * 8),
    "no-map": b"\x01",
    "text-timestamp-without-zone": msgpack.packb({**NOW, "@timestamp": "2026-03-02T10:00:00"}),
}
#: Of these not even the end can be found.
DEEP = {"nested-in-a-known-field", "nested-in-an-unknown-field"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    frame = BOMBS[name]
    with pytest.raises(WireError):
        decode_batch(frame)


def test_every_bomb_is_refused_within_bounded_memory(tmp_path: Path) -> None:
    """In one process after the other: the peak over all of them is what counts."""
    for name, frame in BOMBS.items():
        (tmp_path / name).write_bytes(frame)
    for name, item in ITEMS.items():
        (tmp_path / f"item-{name}").write_bytes(batch(item, min(1000, (6 << 20) // len(item))))
    script = textwrap.dedent(
        """
        import pathlib, resource, sys
        from schoolwacht.errors import WireError
        from schoolwacht.wire import decode_batch
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        before = peak()
        for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
            try:
                decode_batch(path.read_bytes())
            except WireError:
                pass
        print(peak() - before)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= ALLOWED


def around(item: bytes) -> bytes:
    """A batch with a good event before and behind this one."""
    good = event()
    head = b"\x84\xa7version\x01\xa5epoch\xb0" + EPOCH + b"\xa9sequences\x93\x00\x01\x02\xa6events\x93"
    return bytes(zstandard.compress(head + good + item + good))


@pytest.mark.parametrize("name", sorted(set(ITEMS) - DEEP))
def test_an_event_made_to_harm_costs_only_itself(name: str) -> None:
    decoded = decode_batch(around(ITEMS[name]))
    assert decoded.events[0] is not None
    assert decoded.events[2] is not None
    assert [fault.place for fault in decoded.faults] in ([], [1])


@pytest.mark.parametrize("name", sorted(DEEP))
def test_nesting_that_no_decoder_walks_costs_the_batch_which_the_agent_then_halves(name: str) -> None:
    with pytest.raises(WireError, match="no batch"):
        decode_batch(around(ITEMS[name]))


@pytest.mark.parametrize("name", sorted(set(ITEMS) - {"unknown-extension", "nested-in-an-unknown-field"}))
def test_an_event_that_breaks_its_bounds_is_no_event(name: str) -> None:
    with pytest.raises(WireError, match="no event"):
        decode_event(ITEMS[name])


def test_of_duplicate_fields_the_last_counts_so_that_a_stamp_put_later_holds() -> None:
    packed = event(**{"organization.id": "mine"})
    doubled = bytes([packed[0] + 1]) + packed[1:] + msgpack.packb("organization.id") + msgpack.packb("other")
    assert decode_event(doubled).organization_id == "other"


def test_an_event_over_the_size_of_a_batch_is_refused() -> None:
    with pytest.raises(WireError):
        decode_batch(batch(event(x="y" * 5_000_000), 2))


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\xa7version\x01\xa8verdicts\xdd" + struct.pack(">I", 1 << 30),
        b"\x91" * 1_000_000,
        b"\xdf" + struct.pack(">I", 1 << 30),
    ],
)
def test_a_reply_made_to_harm_the_agent_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_reply(data, items=1)


def test_the_limits_are_those_of_the_documentation() -> None:
    assert (LIMITS.frame, LIMITS.inflated, LIMITS.items) == (2 << 20, 8 << 20, 2000)

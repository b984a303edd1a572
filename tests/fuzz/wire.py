"""Hostile input for what crosses the wire and lies in files: batches, replies, sets of indicators and their file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import zstandard

from schoolwacht.errors import IndicatorError, WireError
from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Known, encode_set, pack_set, read_set, unpack_set
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import Reply, Verdict, decode_batch, decode_reply, encode_batch, encode_event, encode_reply
from schoolwacht_agent.indicators.table import compile_set, open_table
from tests.fuzz.harness import Harness, main
from tests.schoolwacht_agent.sources.suricata.records import RECORDED, read

_DIRECTORY = tempfile.TemporaryDirectory(prefix="sw-fuzz-")
_FILE = Path(_DIRECTORY.name) / "indicators"
EVENTS = [encode_event(event) for event in read(*RECORDED)[0]]
FRAME = encode_batch("01900000-0000-7000-8000-000000000000", range(len(EVENTS)), EVENTS)
INFLATED = zstandard.decompress(FRAME)
ANSWER = encode_reply(Reply(1, [Verdict.DELIVERED] * 5, {2: "no"}, 3.0))
KNOWN = [
    *(Known(IndicatorType.DOMAIN, f"evil{place}.example", description="x" * place) for place in range(50)),
    Known(IndicatorType.NETWORK, "203.0.113.0/24"),
    Known(IndicatorType.ADDRESS, "2001:db8::1"),
    Known(IndicatorType.CERTIFICATE_NAME, "*.evil.example"),
]
SET = encode_set(KNOWN).raw
SEEN = Event(
    read(RECORDED[0])[0][0].timestamp,
    Dataset.DNS,
    dns_question_name="a.evil7.example",
    source_ip="203.0.113.9",
    destination_ip="2001:db8::1",
    tls_server_subject="CN=www.evil.example",
)


def batch(data: bytes) -> object:
    """A frame as it comes, and its bytes as if they had been packed."""
    found = []
    for frame in (data, zstandard.ZstdCompressor(level=1).compress(data)):
        try:
            found.append(decode_batch(frame))
        except WireError:
            continue
    return found


def reply(data: bytes) -> object:
    """A collector's answer."""
    try:
        return decode_reply(data, items=5)
    except WireError:
        return None


def indicators(data: bytes) -> object:
    """A set as text and as a frame."""
    found = []
    for is_packed in (False, True):
        try:
            found.append(read_set(unpack_set(data) if is_packed else data, path="hostile"))
        except IndicatorError:
            continue
    return found


def table(data: bytes) -> object:
    """The agent's file: refused, or able to answer."""
    _FILE.write_bytes(data)
    try:
        tables = open_table(_FILE).tables
    except IndicatorError:
        return None
    return IndicatorSet(tables).match(SEEN)


HARNESSES = [
    Harness("wire-batch", batch, [FRAME, INFLATED, *EVENTS], 1 << 15),
    Harness(
        "wire-reply",
        reply,
        [encode_reply(Reply(1, [Verdict.DELIVERED] * 5, {2: "no"}, 3.0)), msgspec.msgpack.encode({})],
    ),
    Harness("indicator-set", indicators, [SET, pack_set(SET), b'["domain","evil.example"]\n' * 3]),
    Harness("indicator-file", table, [compile_set(read_set(SET, path="set"))]),
]

if __name__ == "__main__":
    main(HARNESSES)

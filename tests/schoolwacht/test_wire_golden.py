"""The wire's bytes, checked from both sides: by an independent MessagePack library and by the typed decoder.

``wire_golden.msgpack`` is version 1 as it was first sent. If a test here fails, agents in the field cannot talk to this
collector: make a new version of the wire instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgpack
import zstandard

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.wire import (
    VERSION,
    Reply,
    Verdict,
    decode_batch,
    decode_reply,
    encode_batch,
    encode_event,
    encode_reply,
)

HERE = Path(__file__).parent
EPOCH = "00112233445566ff"
MOMENT = datetime(2026, 3, 2, 10, 0, 0, 123456, tzinfo=UTC)
EVENTS = [
    Event(
        MOMENT,
        Dataset.DNS,
        event_module="packets",
        source_ip="10.0.0.1",
        source_port=40000,
        destination_ip="2001:db8::53",
        network_direction=Direction.OUTBOUND,
        dns_question_name="café.example",
        dns_answers_data=["192.0.2.1"],
        nsm_detail={"a": "b"},
        tls_resumed=False,
        health_value=0.5,
    ),
    Event(MOMENT, Dataset.FLOW, source_bytes=(1 << 63) - 1),
]
PLAIN = {
    "version": 1,
    "epoch": EPOCH,
    "sequences": [7, 1 << 40],
    "events": [
        {
            "@timestamp": "2026-03-02T10:00:00.123456Z",
            "event.dataset": "dns",
            "event.module": "packets",
            "source.ip": "10.0.0.1",
            "source.port": 40000,
            "destination.ip": "2001:db8::53",
            "network.direction": "outbound",
            "dns.question.name": "café.example",
            "dns.answers.data": ["192.0.2.1"],
            "tls.resumed": False,
            "nsm.detail": {"a": "b"},
            "health.value": 0.5,
        },
        {"@timestamp": "2026-03-02T10:00:00.123456Z", "event.dataset": "flow", "source.bytes": (1 << 63) - 1},
    ],
}


def inflated(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(frame)


def plain(data: bytes) -> object:
    """What another library reads, with timestamps as text."""
    read = msgpack.unpackb(data, timestamp=3)
    for event in read["events"]:
        moment = event["@timestamp"]
        if isinstance(moment, datetime):
            event["@timestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return read


def test_another_library_reads_what_we_send() -> None:
    assert plain(inflated(encode_batch(EPOCH, [7, 1 << 40], [encode_event(event) for event in EVENTS]))) == PLAIN


def test_we_send_the_bytes_of_version_one() -> None:
    golden = (HERE / "wire_golden.msgpack").read_bytes()
    assert inflated(encode_batch(EPOCH, [7, 1 << 40], [encode_event(event) for event in EVENTS])) == golden
    assert plain(golden) == PLAIN


def test_we_read_the_bytes_of_version_one() -> None:
    golden = (HERE / "wire_golden.msgpack").read_bytes()
    decoded = decode_batch(zstandard.compress(golden))
    assert (decoded.epoch, decoded.sequences, decoded.events) == (EPOCH, [7, 1 << 40], EVENTS)


def test_we_read_what_another_library_writes() -> None:
    written = msgpack.packb(PLAIN)
    assert decode_batch(zstandard.compress(written)).events == EVENTS
    stamped = {**PLAIN, "events": [{**event, "@timestamp": MOMENT} for event in PLAIN["events"]]}  # type: ignore[attr-defined]
    assert decode_batch(zstandard.compress(msgpack.packb(stamped, datetime=True))).events == EVENTS


def test_a_reply_is_a_plain_map_too() -> None:
    reply = Reply(VERSION, [Verdict.DELIVERED, Verdict.REJECTED], {1: "why"}, 2.5)
    written = {"version": 1, "verdicts": [0, 2], "reasons": {1: "why"}, "retry_after": 2.5}
    assert msgpack.unpackb(encode_reply(reply), strict_map_key=False) == written
    assert decode_reply(msgpack.packb(written), items=2) == reply

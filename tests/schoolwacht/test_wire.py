from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import WireError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import (
    LIMITS,
    SLICE,
    VERSION,
    RawBatch,
    Reply,
    Verdict,
    decode_batch,
    decode_event,
    decode_reply,
    decode_slices,
    encode_batch,
    encode_event,
    encode_reply,
    open_batch,
)

EPOCH = "0123456789abcdef"
NOW = datetime(2026, 3, 2, 10, 0, 0, 123456, tzinfo=UTC)


def event(number: int = 0, **changes: Any) -> Event:
    return Event(timestamp=NOW, event_dataset=Dataset.DNS, source_port=number % 65536, **changes)


def frame(**changes: Any) -> bytes:
    envelope = {"version": VERSION, "epoch": EPOCH, "sequences": [], "events": []}
    return zstandard.compress(msgspec.msgpack.encode(envelope | changes))


EVENTS = st.builds(
    Event,
    timestamp=st.datetimes(timezones=st.just(UTC)),
    event_dataset=st.sampled_from(Dataset),
    source_ip=st.none() | st.ip_addresses().map(str),
    source_port=st.none() | st.integers(0, 65535),
    source_bytes=st.none() | st.integers(0, (1 << 63) - 1),
    dns_question_name=st.none() | st.text(max_size=256),
    dns_answers_data=st.none() | st.lists(st.text(max_size=50), max_size=64),
    nsm_detail=st.none() | st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=8),
    tls_resumed=st.none() | st.booleans(),
    health_value=st.none() | st.floats(allow_nan=False),
)


@given(st.lists(EVENTS, max_size=5), st.integers(0, 1 << 40))
def test_what_is_sent_arrives(events: list[Event], first: int) -> None:
    sequences = list(range(first, first + len(events)))
    decoded = decode_batch(encode_batch(EPOCH, sequences, [encode_event(one) for one in events]))
    assert (decoded.epoch, decoded.sequences, decoded.events, decoded.faults) == (EPOCH, sequences, events, [])


@given(st.lists(st.booleans(), max_size=3 * SLICE))
def test_a_faulty_event_leaves_the_others_whole(good: list[bool]) -> None:
    items = [encode_event(event(place)) if fine else b"\xa3bad" for place, fine in enumerate(good)]
    decoded = decode_batch(encode_batch(EPOCH, range(len(items)), items))
    assert [one is not None for one in decoded.events] == good
    assert [fault.place for fault in decoded.faults] == [place for place, fine in enumerate(good) if not fine]
    assert {fault.raw for fault in decoded.faults} <= {b"\xa3bad"}
    assert [one.source_port for one in decoded.events if one] == [place for place, fine in enumerate(good) if fine]


@pytest.mark.parametrize("number", [0, 1, 15, 16, SLICE - 1, SLICE, SLICE + 1, LIMITS.items])
def test_slices_hold_every_event_once_and_in_order(number: int) -> None:
    opened = open_batch(encode_batch(EPOCH, range(number), [encode_event(event(place)) for place in range(number)]))
    slices = list(decode_slices(opened))
    assert [part.start for part in slices] == list(range(0, number, SLICE))
    assert [one.source_port for part in slices for one in part.events if one] == list(range(number))


def test_unknown_fields_of_a_later_version_are_passed_over() -> None:
    later = msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "dns", "brand.new": [{"a": 1}]})
    assert decode_event(later) == Event(timestamp=NOW, event_dataset=Dataset.DNS)
    assert decode_batch(frame(extra={"x": 1})).events == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "wire version 2"),
        ({"version": "1"}, "no batch"),
        ({"epoch": "short"}, "no batch"),
        ({"epoch": EPOCH + "\n"}, "no batch"),
        ({"sequences": [-1], "events": [1]}, "no batch"),
        ({"sequences": [1 << 63], "events": [1]}, "no batch"),
        ({"sequences": [1]}, "1 sequence numbers for 0 events"),
        ({"sequences": list(range(2001)), "events": [0] * 2001}, "no batch"),
        ({"events": {}}, "no batch"),
        ({"events": None}, "no batch"),
    ],
)
def test_an_envelope_of_another_form_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode_batch(frame(**changes))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_batch_are_refused(data: bytes) -> None:
    for frame_ in (data, zstandard.compress(data)):
        with pytest.raises(WireError):
            decode_batch(frame_)


@given(st.data())
def test_a_damaged_batch_decodes_or_is_refused(data: st.DataObject) -> None:
    whole = bytearray(encode_batch(EPOCH, range(3), [encode_event(event(place)) for place in range(3)]))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (bytes(whole), bytes(whole[:cut])):
        try:
            decoded = decode_batch(damaged)
        except WireError:
            continue
        assert len(decoded.events) == len(decoded.sequences)


def test_an_event_over_its_limit_is_rejected_alone() -> None:
    large = msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "dns", "unknown": "x" * LIMITS.event})
    items = [encode_event(event(1)), large, encode_event(event(2))]
    decoded = decode_batch(encode_batch(EPOCH, range(3), items))
    assert [one is not None for one in decoded.events] == [True, False, True]
    assert "at most 262144" in decoded.faults[0].reason


@given(st.binary(max_size=200))
def test_an_item_of_any_bytes_is_an_event_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(decode_event(data), Event)


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(WireError, match="at most"):
        decode_batch(bytes(LIMITS.frame + 1))


def test_a_frame_that_inflates_beyond_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="inflates to more"):
        decode_batch(zstandard.compress(bytes(LIMITS.inflated + 1)))


def test_a_reply_arrives() -> None:
    reply = Reply(VERSION, [Verdict.DELIVERED, Verdict.REJECTED, Verdict.RETRY], {1: "source.ip: no IP address"}, 5.0)
    assert decode_reply(encode_reply(reply), items=3) == reply


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"version": 2, "verdicts": [0]}),
        msgspec.msgpack.encode({"version": 1, "verdicts": []}),
        msgspec.msgpack.encode({"version": 1, "verdicts": [7]}),
        msgspec.msgpack.encode({"verdicts": [0]}),
    ],
)
def test_a_reply_of_another_form_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_reply(data, items=1)


@pytest.mark.parametrize("number", [0, 1, 15, 16, 2000])
def test_a_batch_is_what_the_encoder_makes_of_its_parts(number: int) -> None:
    encoded = [encode_event(event(place)) for place in range(number)]
    parts = RawBatch(VERSION, EPOCH, list(range(number)), [msgspec.Raw(raw) for raw in encoded])
    whole = msgspec.msgpack.encode(parts)
    frame_made = encode_batch(EPOCH, range(number), encoded)
    assert zstandard.ZstdDecompressor().decompress(frame_made) == whole


def test_threads_that_encode_at_once_do_not_mix_their_batches() -> None:
    def made(number: int) -> bool:
        encoded = [encode_event(event(number + place)) for place in range(50)]
        frames = {encode_batch(EPOCH, range(50), encoded) for _ in range(40)}
        return len(frames) == 1 and decode_batch(frames.pop()).events == [event(number + place) for place in range(50)]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(made, range(0, 400, 50)))

"""Lines that are no records, records that do not fit, and the table of types."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht import wire
from schoolwacht.derive import derive
from schoolwacht_agent.sources.suricata.eve import MAPPINGS, NOT_CARRIED
from tests.schoolwacht_agent.sources.suricata.records import RECORDED, line, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


# Times at the edges of the calendar, which an offset leads out of.
EDGES = ["0001-01-01T00:00:00.000000+2359", "9999-12-31T23:59:59.999999-2359", "0001-01-01T00:00:00.000000+0000"]


def test_every_recorded_line_becomes_an_event_that_the_wire_takes() -> None:
    events, counters = read(*RECORDED)
    assert len(events) == len(RECORDED) == counters.events
    assert counters.invalid == {}
    for event in events:
        derive(event)
        assert wire.decode_event(wire.encode_event(event)) == event


def test_a_type_without_a_dataset_is_counted_by_name() -> None:
    events, counters = read(line("nfs", {"procedure": "READ"}), line("verzonnen", {}))
    assert events == []
    assert counters.invalid == {"type nfs is not carried": 1, "unknown type": 1}
    assert not NOT_CARRIED & MAPPINGS.keys()


@pytest.mark.parametrize("kind", sorted(MAPPINGS))
def test_a_record_without_its_own_part_is_set_aside(kind: str) -> None:
    events, counters = read(line(kind))
    assert events == []
    assert counters.invalid == {f"{kind} record without its {kind} part": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "line is no JSON"),
        (b"niets", "line is no JSON"),
        (b"[1, 2]", "line is no JSON object"),
        (b'{"event_type": "flow"}', "record without timestamp"),
        (b'{"timestamp": "2026-11-24T08:41:40.123456+0000", "event_type": 7}', "record without event_type"),
        (line("flow", {}, timestamp="gisteren"), "record without a valid timestamp"),
        (line("flow", {}, timestamp="2026-13-44T08:41:40.123456+0000"), "record without a valid timestamp"),
        (line("flow", {}, timestamp="0001-01-01T00:00:00.000000+0100"), "record without a valid timestamp"),
        (line("flow", {}, timestamp="9999-12-31T23:59:59.999999-0100"), "record without a valid timestamp"),
        (b"\0" * 40, "line of NUL bytes"),
        (b"[" * 100_000, "line is no JSON"),
        (b'{"timestamp": "x", "a": ' + b"[" * 100_000, "line is no JSON"),
    ],
)
def test_a_line_that_is_no_record_is_counted_and_the_next_is_read(text: bytes, reason: str) -> None:
    events, counters = read(text, RECORDED[0])
    assert len(events) == 1
    assert counters.invalid == {reason: 1}


def test_nul_bytes_before_a_record_leave_it_whole() -> None:
    events, _ = read(b"\0" * 300 + RECORDED[0])
    assert events == read(RECORDED[0])[0]


def test_bytes_that_are_no_utf8_are_written_out() -> None:
    raw = line("http", {"hostname": "a.example", "url": "/b%%", "http_user_agent": "x"}).replace(b"%%", b"\xff\xfe")
    events, counters = read(raw)
    assert events[0].url_path == "/b\\xff\\xfe"
    assert counters.invalid == {"bytes that are no UTF-8": 1}


def test_a_field_of_another_type_costs_that_field_only() -> None:
    record = {"version": 2, "type": "query", "id": "zeven", "rrname": "a.example", "rrtype": "A"}
    events, counters = read(line("dns", record, src_port=70_000, vlan="geen"))
    [event] = events
    assert (event.dns_question_name, event.source_ip) == ("a.example", "10.21.0.23")
    assert (event.dns_id, event.source_port, event.network_vlan_id) == (None, None, None)
    assert counters.invalid["field dns.id of another type"] == 1
    assert counters.invalid["field src_port of another type"] == 1


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("text", ["0001-01-01T00:00:00.000000+0100", "9999-12-31T23:59:59.999999-0100"])
def test_a_time_beyond_the_calendar_costs_that_field_only(name: str, text: str) -> None:
    times = {"start": "2026-11-24T08:41:40.123456+0000", "end": "2026-11-24T08:41:41.123456+0000"}
    [event] = read(line("flow", times | {name: text}))[0]
    assert (event.event_start if name == "start" else event.event_end) is None
    assert event.event_duration is None


def test_a_flow_as_long_as_the_calendar_has_no_duration() -> None:
    times = {"start": "0001-01-02T00:00:00.000000+0000", "end": "9999-12-30T23:59:59.999999+0000"}
    [event] = read(line("flow", times))[0]
    assert event.event_duration is None
    assert wire.decode_event(wire.encode_event(event)) == event


def test_text_beyond_its_field_is_cut() -> None:
    [event] = read(line("http", {"hostname": "h" * 5000, "url": "/" + "u" * 900_000, "http_user_agent": "a" * 9000}))[0]
    assert len(event.url_domain or "") == 256
    assert len(event.url_original or "") == len(event.url_full or "") == len(event.user_agent_original or "") == 2048


def _paths(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(found for key, value in inner for found in _paths(value, (*path, key)))]


@given(st.sampled_from(RECORDED), st.data())
def test_no_change_of_types_or_fields_makes_an_event_that_the_wire_refuses(raw: bytes, data: st.DataObject) -> None:
    tree = json.loads(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(_paths(tree)[1:]))
        node = tree
        for key in parents:
            node = node[key]
        if data.draw(st.booleans()):
            node[last] = data.draw(JSON | st.sampled_from(["x" * 5000, "\0", "é" * 300, -1, 2**64, [], {}, *EDGES]))
        elif isinstance(node, dict):
            del node[last]
        if not isinstance(tree, dict) or len(_paths(tree)) < 2:
            break
    events, counters = read(json.dumps(tree).encode())
    assert len(events) <= 1
    assert events or counters.invalid
    for event in events:
        wire.decode_event(wire.encode_event(event))


@given(st.sampled_from(RECORDED), st.data())
def test_no_damage_to_the_bytes_stops_the_lines_that_follow(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    events, _ = read(bytes(damaged[:cut]), bytes(damaged[cut:]), raw)
    assert events
    for event in events:
        wire.decode_event(wire.encode_event(event))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line(raw: bytes) -> None:
    events, _ = read(raw)
    for event in events:
        msgspec.json.encode(event)

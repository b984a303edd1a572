"""EVE lines for the tests: recorded from Suricata 7.0.10 over our own captures, and written after its user guide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schoolwacht.event import Event
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.eve import Reader

RECORDED = [line for line in (Path(__file__).parent / "recorded.jsonl").read_bytes().splitlines() if line]
CLIENT, SERVER = "10.21.0.23", "203.0.113.20"


def line(kind: str, part: Any = None, **fields: Any) -> bytes:
    """One EVE line; the client's packet unless ``src_ip`` and the rest say otherwise."""
    record = {
        "timestamp": "2026-11-24T08:41:40.123456+0000",
        "flow_id": 1111223688491590,
        "event_type": kind,
        "src_ip": CLIENT,
        "src_port": 50123,
        "dest_ip": SERVER,
        "dest_port": 4444,
        "proto": "TCP",
    }
    if part is not None:
        record[kind] = part
    return json.dumps(record | fields).encode()


def turned(port: int) -> dict[str, Any]:
    """The fields of a packet that the server sent."""
    return {"src_ip": SERVER, "src_port": port, "dest_ip": CLIENT, "dest_port": 50123}


def read(*lines: bytes, own_engine: bool = True) -> tuple[list[Event], Counters]:
    """Events of some lines, and what was counted."""
    counters = Counters()
    return Reader(counters, own_engine=own_engine, health=True).events(lines), counters


def one(text: bytes) -> Event:
    """The only event of a line that is understood whole."""
    events, counters = read(text)
    assert counters.invalid == {}
    [event] = events
    return event


def recorded(kind: str, having: str = "") -> Event:
    """The event of the first recorded line of a type that has some text in it."""
    return one(next(text for text in RECORDED if f'"event_type":"{kind}"'.encode() in text and having.encode() in text))

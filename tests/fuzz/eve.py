"""Hostile input for what reads Suricata: EVE lines, the file that is followed, marks, the engine's log."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.eve import Reader
from schoolwacht_agent.sources.suricata.process import read_words
from schoolwacht_agent.sources.suricata.tail import Place, Tail
from tests.fuzz.harness import Harness, main
from tests.schoolwacht_agent.sources.suricata.records import RECORDED

_DIRECTORY = tempfile.TemporaryDirectory(prefix="sw-fuzz-")
_FILE = Path(_DIRECTORY.name) / "eve.json"


def odd_lines() -> list[bytes]:
    """What lines go wrong at: size, encoding, types, depth, numbers, missing and unknown parts."""
    base = json.loads(RECORDED[0])
    kinds = sorted({json.loads(line)["event_type"] for line in RECORDED})
    values: list[object] = [
        None,
        True,
        -1,
        1 << 70,
        1e308,
        "",
        "x" * 1_000_000,
        [],
        [[]] * 50,
        {},
        {"a": {"b": {}}},
        "\x00",
        "\ud800",
    ]
    lines = [json.dumps(base | {key: value}).encode("utf-8", "surrogatepass") for key in base for value in values]
    lines += [json.dumps({"timestamp": base["timestamp"], "event_type": kind}).encode() for kind in kinds]
    for line in RECORDED:
        record = json.loads(line)
        part = record.get(record["event_type"])
        if isinstance(part, dict):
            lines += [
                json.dumps(record | {record["event_type"]: part | {key: value}}).encode("utf-8", "surrogatepass")
                for key in part
                for value in values[:5] + values[7:]
            ]
    return [
        *lines,
        b'{"event_type":"nooit gezien","timestamp":"2026-11-24T08:41:40.123456+0000"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\0" * 1_000_000,
        b"\xff\xfe" * 1000,
        b'{"timestamp":"2026-13-45T99:99:99.9+9999","event_type":"flow"}',
        b"",
    ]


def lines(data: bytes) -> object:
    """Lines through the reader; each is an event or counted."""
    counters = Counters()
    return Reader(counters, own_engine=True, health=True).events(data.split(b"\n"))


def tail(data: bytes) -> object:
    """A file of any bytes, followed to its end from its start and from a mark in it; nothing whole is lost."""
    _FILE.write_bytes(data)
    reader = Tail(_FILE)
    found: list[bytes] = []
    while got := reader.lines(final=True):
        found += got
    mark = reader.mark()
    reader.close()
    again = Tail(_FILE, mark)
    assert not again.lines(final=True) or not data.endswith(b"\n")
    again.close()
    whole = [one for one in data.split(b"\n") if one.strip(b"\0")]
    assert len(found) <= len(data.split(b"\n"))
    if all(len(one) < 1_000_000 for one in whole) and b"\0" not in data:
        assert [one for one in found if one] == whole
    return found


def mark(data: bytes) -> object:
    """A mark of any bytes is a place or refused."""
    try:
        return Place.decode(data)
    except SourceError:
        return None


def log(data: bytes) -> object:
    """The log of an engine, whatever it wrote."""
    _FILE.write_bytes(data)
    return read_words(_FILE)


RECORDS = b"\n".join(RECORDED) + b"\n"
HARNESSES = [
    Harness("eve-lines", lines, [*RECORDED, *odd_lines()], 1 << 21),
    Harness("eve-tail", tail, [RECORDS, RECORDS[:5000], b"\n" * 1000, b"a\r\nb\0\n" * 100], 1 << 16),
    Harness("eve-mark", mark, [b"12:34:56:abcdef", b":::", b"9" * 5000 + b":0:0:"], 1 << 13),
    Harness(
        "engine-log", log, [b'{"log_level":"Error","engine":{"message":"x","module":"y"}}\nE: detect: z\n'], 1 << 13
    ),
]

if __name__ == "__main__":
    main(HARNESSES)

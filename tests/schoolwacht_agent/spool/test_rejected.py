from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import decode_event, encode_event
from schoolwacht_agent.spool import SetAside

EVENT = Event(datetime(2026, 1, 1, tzinfo=UTC), Dataset.DNS, dns_question_name="a.example")


def test_a_rejected_event_stands_there_readable_with_reason_and_bytes(tmp_path: Path) -> None:
    aside = SetAside(tmp_path / "rejected", 1 << 20)
    aside.add("0" * 16, 7, encode_event(EVENT), "no reason at all")
    (line,) = aside.lines()
    assert (line["sequence"], line["reason"]) == (7, "no reason at all")
    assert line["event"]["dns.question.name"] == "a.example"
    assert decode_event(base64.b64decode(line["raw"])) == EVENT


def test_bytes_that_are_no_event_are_kept_as_bytes(tmp_path: Path) -> None:
    aside = SetAside(tmp_path, 1 << 20)
    aside.add("0" * 16, 7, b"\xc1", "no event")
    (line,) = aside.lines()
    assert (line["event"], base64.b64decode(line["raw"])) == (None, b"\xc1")


def test_the_oldest_go_when_the_bound_is_reached(tmp_path: Path) -> None:
    aside = SetAside(tmp_path, 20_000)
    for number in range(500):
        aside.add("0" * 16, number, encode_event(EVENT), "r")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    numbers = [line["sequence"] for line in aside.lines()]
    assert numbers == list(range(numbers[0], 500))
    assert len(numbers) > 10


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    aside = SetAside(tmp_path, 1 << 20)
    aside.add("0" * 16, 1, b"", "one")
    with (tmp_path / "rejected.jsonl").open("ab") as file:
        file.write(b'{"at": "20')
    assert [line["reason"] for line in aside.lines()] == ["one"]

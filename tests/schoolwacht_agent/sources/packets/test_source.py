"""The source over files: one stretch of traffic, faults at the end, stopping."""

from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import CaptureError
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import SourceTable
from schoolwacht_agent.sources.packets import PacketsSource, offline
from tests.parts import CAPTURES
from tests.schoolwacht_agent.sources.packets.made import ethernet, ipv4, pcap, udp

UP = ethernet(ipv4(udp()))
WEB = CAPTURES / "web-and-dns.pcap"


def write(path: Path, *frames: bytes, cut: int = 0) -> Path:
    data = pcap(frames)
    path.write_bytes(data[: len(data) - cut])
    return path


def flows(events: list[Event]) -> list[Event]:
    return [event for event in events if event.event_dataset is Dataset.FLOW]


def test_files_are_one_stretch_of_traffic(tmp_path: Path) -> None:
    files = [write(tmp_path / name, UP) for name in ("1.pcap", "2.pcap")]
    source = PacketsSource.from_files(files)
    (flow,) = flows([event for events in source.read() for event in events])
    assert flow.source_packets == 2
    assert source.counters.packets == 2
    assert source.counters.events == 1


def test_a_faulty_file_costs_nothing_of_the_others_and_is_raised_at_the_end(tmp_path: Path) -> None:
    files = [write(tmp_path / "1.pcap", UP, UP, cut=1), tmp_path / "absent.pcap", write(tmp_path / "3.pcap", UP)]
    source = PacketsSource.from_files(files)
    events: list[Event] = []

    def read() -> None:
        for some in source.read():
            events.extend(some)

    with pytest.raises(CaptureError, match=r"1\.pcap.*cut off"):
        read()
    assert [flow.source_packets for flow in flows(events)] == [2]
    assert len(source.faults) == 2


def test_stopping_ends_the_reading_with_what_is_held(tmp_path: Path) -> None:
    large = write(tmp_path / "large.pcap", *([UP] * 60_000))
    source = PacketsSource.from_files([large, large])
    events: list[Event] = []
    for some in source.read():
        source.stop()
        events += some
    (flow,) = flows(events)
    assert 0 < (flow.source_packets or 0) < 60_000
    assert flow.source_packets == source.counters.packets


def test_a_file_has_no_mark_and_needs_no_rights(tmp_path: Path) -> None:
    source = offline(WEB, SourceTable(interface="lo"))
    assert sum(map(len, source.read())) == source.counters.events > 50
    assert source.mark() == b""

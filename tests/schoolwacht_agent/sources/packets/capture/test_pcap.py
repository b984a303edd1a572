"""The classic format: byte orders, resolutions, snap lengths, impossible lengths."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from tests.schoolwacht_agent.sources.packets.capture.test_capture import FRAMES, read
from tests.schoolwacht_agent.sources.packets.made import START, pcap


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_every_byte_order_and_resolution_is_read(tmp_path: Path, order: str, nanoseconds: bool) -> None:
    frames = [(START + 0.25, b"a" * 60), (START + 7.75, b"b" * 60)]
    found = read(tmp_path, pcap(frames, order=order, nanoseconds=nanoseconds))
    assert found.times == [START + 0.25, START + 7.75]
    assert found.frames == [b"a" * 60, b"b" * 60]


def test_a_packet_that_was_captured_in_part_counts_with_its_length_on_the_wire(tmp_path: Path) -> None:
    found = read(tmp_path, pcap([b"a" * 1000], snap=96))
    assert found.frames == [b"a" * 96]
    assert found.lengths == [1000]


def test_a_length_on_the_wire_below_what_was_captured_is_not_believed(tmp_path: Path) -> None:
    data = pcap([]) + pack("<IIII", START, 0, 60, 10) + b"a" * 60
    assert read(tmp_path, data).lengths == [60]


def test_the_link_type_is_given_without_its_flags(tmp_path: Path) -> None:
    assert read(tmp_path, pcap([b"a"], link=0x24000071)).links == [0x71]


def test_an_impossible_length_ends_the_reading_and_names_the_packet(tmp_path: Path) -> None:
    data = pcap(FRAMES[:3]) + pack("<IIII", START, 0, 0x7FFFFFFF, 60) + b"a" * 60
    found = read(tmp_path, data)
    assert found.frames == FRAMES[:3]
    assert "packet 4 claims 2147483647 bytes; the packets before it were read" in str(found.fault)


def test_a_file_that_ends_within_a_packet_says_how_many_were_read(tmp_path: Path) -> None:
    found = read(tmp_path, pcap(FRAMES[:3])[:-1])
    assert "cut off in the middle of a packet; the 2 packets before it were read" in str(found.fault)


def test_a_file_that_ends_within_its_header_says_so(tmp_path: Path) -> None:
    assert "cut off in its header" in str(read(tmp_path, pcap([])[:20]).fault)

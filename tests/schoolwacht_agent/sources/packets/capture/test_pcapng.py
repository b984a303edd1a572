"""pcapng: interfaces, resolutions, sections, the kinds of packet blocks, statistics, impossible blocks."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from tests.schoolwacht_agent.sources.packets.capture.test_capture import read
from tests.schoolwacht_agent.sources.packets.made import START, block, enhanced, interface, option, section

ETHERNET, RAW = 1, 101


@pytest.mark.parametrize(
    ("resolution", "ticks_a_second"), [(6, 10**6), (9, 10**9), (3, 10**3), (0, 1), (0x80 | 10, 1 << 10)]
)
def test_the_resolution_of_an_interface_is_its_own(tmp_path: Path, resolution: int, ticks_a_second: int) -> None:
    described = interface(options=option(9, bytes([resolution])) + option(0, b""))
    found = read(tmp_path, section() + described + enhanced(b"a" * 60, START * ticks_a_second))
    assert found.times == pytest.approx([START])


def test_without_a_resolution_time_is_in_microseconds(tmp_path: Path) -> None:
    found = read(tmp_path, section() + interface() + enhanced(b"a" * 60, START * 10**6 + 500_000))
    assert found.times == pytest.approx([START + 0.5])


def test_an_interface_may_count_time_from_another_moment(tmp_path: Path) -> None:
    described = interface(options=option(14, pack("<q", START)))
    assert read(tmp_path, section() + described + enhanced(b"a" * 60, 2_000_000)).times == [START + 2]


def test_packets_of_several_interfaces_keep_their_link_type_and_order(tmp_path: Path) -> None:
    described = interface(ETHERNET) + interface(RAW, options=option(9, b"\x09"))
    packets = (
        enhanced(b"a" * 60, 1_000_000, number=0)
        + enhanced(b"b" * 61, 2_000_000_000, number=1)
        + enhanced(b"c" * 62, 3_000_000, number=0)
    )
    found = read(tmp_path, section() + described + packets)
    assert found.links == [ETHERNET, RAW, ETHERNET]
    assert found.frames == [b"a" * 60, b"b" * 61, b"c" * 62]
    assert found.times == pytest.approx([1, 2, 3])


def test_a_section_of_the_other_byte_order_begins_anew(tmp_path: Path) -> None:
    little = section() + interface(ETHERNET) + enhanced(b"a" * 60, 1_000_000)
    big = section(order=">") + interface(RAW, order=">") + enhanced(b"b" * 60, 2_000_000, order=">")
    found = read(tmp_path, little + big)
    assert (found.links, found.times, found.fault) == ([ETHERNET, RAW], [1, 2], None)


def test_an_interface_of_the_section_before_is_not_known_any_more(tmp_path: Path) -> None:
    found = read(tmp_path, section() + interface() + enhanced(b"a" * 60, 1) + section() + enhanced(b"b" * 60, 2))
    assert found.frames == [b"a" * 60]
    assert "a packet of interface 0, which the file does not describe" in str(found.fault)


def test_a_simple_packet_has_the_time_of_the_one_before(tmp_path: Path) -> None:
    simple = block(3, pack("<I", 100) + b"s" * 60)
    found = read(tmp_path, section() + interface(snap=60) + enhanced(b"a" * 60, 5_000_000) + simple)
    assert (found.times, found.frames[1], found.lengths[1]) == ([5, 5], b"s" * 60, 100)


def test_an_obsolete_packet_block_is_read(tmp_path: Path) -> None:
    obsolete = block(2, pack("<HHIIII", 0, 0, 0, 7_000_000, 60, 90) + b"o" * 60)
    found = read(tmp_path, section() + interface() + obsolete)
    assert (found.times, found.frames, found.lengths) == ([7], [b"o" * 60], [90])


def test_blocks_of_other_kinds_are_stepped_over_however_large(tmp_path: Path) -> None:
    large = block(0x0BAD, bytes(3 << 20))
    found = read(tmp_path, section() + interface() + large + block(4, b"") + enhanced(b"a" * 60, 1))
    assert (found.frames, found.fault) == ([b"a" * 60], None)


def test_a_large_block_that_is_cut_off_is_a_fault(tmp_path: Path) -> None:
    found = read(tmp_path, section() + interface() + enhanced(b"a" * 60, 1) + block(0x0BAD, bytes(3 << 20))[:-9])
    assert found.frames == [b"a" * 60]
    assert "cut off" in str(found.fault)


def test_packets_that_the_capturing_machine_lost_are_told_once(tmp_path: Path) -> None:
    def statistics(lost: int) -> bytes:
        return block(5, pack("<III", 0, 0, 0) + option(5, pack("<Q", lost)) + option(0, b""))

    found = read(tmp_path, section() + interface() + statistics(7) + statistics(7) + statistics(12))
    assert found.dropped == 12


def test_a_packet_longer_than_its_block_is_a_fault(tmp_path: Path) -> None:
    found = read(tmp_path, section() + interface() + enhanced(b"a" * 60, 1) + enhanced(b"b" * 60, 2, captured=600))
    assert found.frames == [b"a" * 60]
    assert "packet 2 is longer than its block; the 1 packets before it were read" in str(found.fault)


def test_a_packet_block_of_an_impossible_length_is_a_fault(tmp_path: Path) -> None:
    found = read(tmp_path, section() + interface() + enhanced(b"a" * 60, 1) + pack("<II", 6, 1 << 30) + bytes(32))
    assert found.frames == [b"a" * 60]
    assert "packet 2 claims" in str(found.fault)


@pytest.mark.parametrize("length", [0, 8, 13])
def test_a_block_of_an_impossible_length_is_a_fault(tmp_path: Path, length: int) -> None:
    found = read(tmp_path, section() + pack("<II", 1, length) + bytes(32))
    assert f"a block of {length} bytes" in str(found.fault)


@pytest.mark.parametrize("kind", [1, 2, 3, 6])
def test_a_block_too_short_for_its_kind_is_a_fault(tmp_path: Path, kind: int) -> None:
    assert "too short" in str(read(tmp_path, section() + interface() + block(kind, b"")).fault)


def test_a_section_without_a_byte_order_is_a_fault(tmp_path: Path) -> None:
    data = bytearray(section())
    data[8:12] = bytes(4)
    assert "without a byte order" in str(read(tmp_path, bytes(data)).fault)

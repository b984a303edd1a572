"""The ring of recent packets: never over its bound, always the newest, and what is found in it."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import DEFAULT_HOME, PacketsTable, SuricataTable
from schoolwacht_agent.evidence.open import written_by_suricata
from schoolwacht_agent.evidence.packets import Packet, Want, capture_file
from schoolwacht_agent.evidence.recent import Captures, Packets, Recent, Written
from schoolwacht_agent.evidence.settings import EvidenceTable
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.records import Batch
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.configuration import configuration, version_of
from tests.parts import suricata
from tests.schoolwacht_agent.sources.packets.made import CLIENT, SERVER, START, SYN, ethernet, ipv4, pcap, tcp, udp, up
from tests.schoolwacht_agent.sources.packets.played import batch_of

HOUR = 3600.0
SEGMENT = 16 << 10


def signal(**fields: object) -> Event:
    made: dict[str, object] = {
        "timestamp": datetime.now(UTC),
        "event_dataset": Dataset.SIGNAL, "source_ip": CLIENT, "destination_ip": SERVER, "source_port": 40_000,
        "destination_port": 9_999, "network_transport": "udp",
    }  # fmt: skip
    return Event(**(made | fields))  # type: ignore[arg-type]  # field names of the struct


def want(**fields: object) -> Want:
    found = Want.of(signal(**fields))
    assert found is not None
    return found


def found(recent: Packets, wanted: Want, since: float = 0.0, until: float = 1e12) -> list[Packet]:
    return [packet for step in recent.search(wanted, since, until) for packet in step]


def numbered(number: int, size: int) -> bytes:
    return ethernet(ipv4(udp(number.to_bytes(4, "big") + bytes(size))))


def numbers(packets: list[Packet]) -> list[int]:
    return sorted(int.from_bytes(packet.data[42:46], "big") for packet in packets)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 6000), min_size=1, max_size=120),
    chunks=st.integers(1, 7),
    max_bytes=st.integers(2 * SEGMENT, 8 * SEGMENT),
    disk=st.booleans(),
)
def test_the_ring_is_never_over_its_bound_and_always_has_the_newest(
    sizes: list[int], chunks: int, max_bytes: int, disk: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) if disk else None
        recent = Recent(9, max_bytes, HOUR, directory, segment=SEGMENT)
        for first in range(0, len(sizes), chunks):
            some = range(first, min(first + chunks, len(sizes)))
            recent.take(batch_of([(number * 0.01, numbered(number, sizes[number])) for number in some]))
            assert recent.size <= max_bytes
            if directory is not None:
                assert sum(path.stat().st_size for path in directory.iterdir()) <= max_bytes
        held = numbers(found(recent, want()))
        assert held == list(range(held[0], len(sizes))), "the newest, without a gap"
        if held[0] > 0:
            assert recent.evicted > 0
            assert recent.size + 2 * SEGMENT >= max_bytes - 4200, "it does not forget more than it must"


def test_what_is_older_than_the_hours_is_forgotten() -> None:
    recent = Recent(9, 1 << 20, HOUR, segment=SEGMENT)
    for number in range(20):
        recent.take(batch_of([(number * 600.0, numbered(number, 4000))] * 3))
    held = numbers(found(recent, want()))
    assert held[0] >= 19 - 7, "an hour, and the segment in which it began"
    assert recent.expired > 0


def test_a_ring_on_disk_outlives_the_process_and_keeps_its_bound() -> None:
    with tempfile.TemporaryDirectory() as name:
        first = Recent(9, 4 * SEGMENT, HOUR, Path(name), segment=SEGMENT)
        for number in range(40):
            first.take(batch_of([(number * 0.01, numbered(number, 3000))]))
        first.close()
        second = Recent(9, 4 * SEGMENT, HOUR, Path(name), segment=SEGMENT)
        assert numbers(found(second, want()))[-1] == 39
        second.take(batch_of([(1.0, numbered(40, 3000))]))
        assert numbers(found(second, want()))[-1] == 40
        assert second.size <= 4 * SEGMENT


def test_a_full_disk_costs_segments_and_nothing_else(tmp_path: Path) -> None:
    directory = tmp_path / "ring"
    recent = Recent(9, 4 * SEGMENT, HOUR, directory, segment=SEGMENT)
    directory.rmdir()
    directory.write_text("not a directory")
    for number in range(20):
        recent.take(batch_of([(number * 0.01, numbered(number, 3000))]))
    assert recent.refused > 0
    assert recent.size <= 4 * SEGMENT


def test_only_the_window_is_searched() -> None:
    recent = Recent(9, 1 << 20, 1e6, segment=SEGMENT)
    recent.take(batch_of([(float(number), numbered(number, 100)) for number in range(100)]))
    assert numbers(found(recent, want(), START + 10, START + 20)) == list(range(10, 21))


def test_the_engine_gives_the_first_packets_of_each_direction_and_no_more() -> None:
    recent = Recent(5, 1 << 20, HOUR)
    engine = Engine(PacketsTable(), Counters(), keeper=recent)
    frames = [up(flags=SYN, sequence=999)] + [up(b"x" * 100, sequence=1_000 + 100 * place) for place in range(50)]
    engine.feed(batch_of(frames))
    engine.end()
    assert len(found(recent, want(network_transport="tcp"))) == 5


def test_the_engine_gives_packets_that_are_of_no_flow() -> None:
    recent = Recent(5, 1 << 20, HOUR)
    engine = Engine(PacketsTable(), Counters(), keeper=recent)
    arp = bytes.fromhex("ffffffffffff02000000003008060001080006040001020000000030") + bytes((10, 21, 4, 30))
    engine.feed(batch_of([arp + bytes(6) + bytes((10, 21, 4, 1)) + bytes(18)] * 9))
    engine.end()
    assert len(found(recent, want(destination_ip=None, network_transport=None))) == 9


def test_a_vlan_tag_that_the_kernel_took_out_is_put_back() -> None:
    recent = Recent(5, 1 << 20, HOUR)
    frame = numbered(1, 10)
    recent.take(batch_of([frame], tag=42))
    (packet,) = found(recent, want())
    assert packet.data == frame[:12] + b"\x81\x00\x00\x2a" + frame[12:]


def test_a_segment_has_one_link_type() -> None:
    recent = Recent(5, 1 << 20, HOUR)
    bare = ipv4(udp())
    recent.take(batch_of([ethernet(bare)]))
    recent.take(batch_of([bare], link=101))
    assert sorted(packet.link for packet in found(recent, want())) == [1, 101]


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        ({}, True),
        ({"source_ip": SERVER, "destination_ip": CLIENT, "source_port": 9_999, "destination_port": 40_000}, True),
        ({"source_port": 40_001}, False),
        ({"destination_port": 40_000, "source_port": 9_999}, False),
        ({"network_transport": "tcp"}, False),
        ({"source_port": None}, True),
        ({"destination_ip": None, "destination_port": None}, True),
        ({"source_ip": None, "source_port": None}, True),
        ({"destination_ip": "198.51.100.8"}, False),
        ({"network_transport": None, "source_port": 1}, True),
    ],
)
def test_a_packet_belongs_if_ends_ports_and_transport_fit(fields: dict[str, object], belongs: bool) -> None:
    assert want(**fields).has(ethernet(ipv4(udp()))) is belongs


def test_an_address_in_the_payload_is_no_end() -> None:
    inside = ipv4(udp(bytes((10, 21, 4, 30, 198, 51, 100, 7)) * 5), source="192.0.2.1", destination="192.0.2.2")
    assert not want().has(ethernet(inside))


def test_a_packet_in_a_tunnel_belongs_by_its_inner_ends() -> None:
    outer = ipv4(ipv4(udp()), protocol=4, source="192.0.2.1", destination="192.0.2.2")
    assert want().has(ethernet(outer))


def test_a_later_fragment_belongs_by_its_ends() -> None:
    assert want().has(ethernet(ipv4(b"rest of the datagram", offset=1480)))


def test_a_signal_without_an_address_wants_nothing() -> None:
    assert Want.of(signal(source_ip=None, destination_ip=None)) is None


@given(data=st.binary(max_size=300))
def test_any_bytes_can_be_asked(data: bytes) -> None:
    for wanted in (want(), want(destination_ip=None), want(source_ip="2001:db8::7", destination_ip=None)):
        for prefix in (b"", ethernet(ipv4(b"")), bytes((10, 21, 4, 30))):
            wanted.has(prefix + data)


def test_what_is_found_can_be_read_as_a_capture(tmp_path: Path) -> None:
    recent = Recent(5, 1 << 20, HOUR)
    frames = [ethernet(ipv4(tcp(flags=SYN), protocol=6)), numbered(7, 30)]
    recent.take(batch_of([(0.25, frame) for frame in frames]))
    path = tmp_path / "x.pcap"
    path.write_bytes(capture_file(found(recent, want(destination_ip=None, network_transport=None)), 1))
    (batch,) = read_capture(path)
    assert isinstance(batch, Batch)
    assert sorted(batch.buffer[start : start + size] for _, _, start, size, _ in batch.records) == sorted(frames)
    assert batch.records[0][0] == pytest.approx(START + 0.25)


def test_captures_are_searched_whatever_their_times(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(capture_file([Packet(1, 5.0, 60, numbered(3, 10)), Packet(1, 6.0, 60, b"short")], 1))
    assert numbers(found(Captures(path, tmp_path / "none.pcap"), want(), 1e9, 2e9)) == [3]


def test_the_packets_of_alerted_flows_that_suricata_writes_are_found_and_no_others(tmp_path: Path) -> None:
    binary = str(suricata())
    rules = tmp_path / "test.rules"
    rules.write_text('alert udp any any -> any 9999 (msg:"test"; content:"needle"; sid:1;)\n')
    text = configuration(
        SuricataTable(),
        version=version_of(binary),
        directory=tmp_path,
        home=DEFAULT_HOME,
        rules=[rules],
        interface="lo",
    )
    (tmp_path / "suricata.yaml").write_text(text)
    frames = [
        ethernet(ipv4(udp(content, source=port)))
        for port, content in ((1111, b"before"), (2222, b"other"), (1111, b"needle"), (1111, b"behind"))
    ]
    (tmp_path / "x.pcap").write_bytes(pcap(frames))
    options = {"-c": "suricata.yaml", "-l": ".", "-r": "x.pcap", "-k": "none"}
    command = [binary, *(word for option in options.items() for word in option)]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=tmp_path)
    table = EvidenceTable(recent_hours=24 * 31)
    place = written_by_suricata(table, tmp_path)
    assert [packet.data for packet in found(place, want(source_port=1111))][-2:] == frames[2:]
    assert found(place, want(source_port=2222)) == []
    assert found(place, want(source_port=1111), since=START + 1000) == []


def test_files_that_are_no_longer_written_are_erased_by_age(tmp_path: Path) -> None:
    for number, age in enumerate((1000, 10, 5000)):
        path = tmp_path / f"alerts.pcap.{number}"
        path.write_bytes(pcap([numbered(number, 10)]) + b"cut off")
        os.utime(path, (time.time() - age,) * 2)
    assert numbers(found(Written(tmp_path, "alerts.pcap.*", 2000), want())) == [0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alerts.pcap.0", "alerts.pcap.1"]
    assert found(Written(tmp_path / "none", "*", 1), want()) == []

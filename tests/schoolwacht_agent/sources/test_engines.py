"""Both engines over the same made packets: what they say must read the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import SuricataTable
from schoolwacht_agent.sources.dnsnames import RECORD_TYPES
from schoolwacht_agent.sources.packets import PacketsSource
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.sources.suricata import SuricataSource
from tests import parts
from tests.schoolwacht_agent.sources.packets.made import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    ethernet,
    ipv4,
    ipv6,
    pcap,
    udp,
)
from tests.schoolwacht_agent.sources.packets.talk import datagrams

QUESTION = b"\x04pc12\x06school\x07example\x00"
#: Every type that has a name, some that have none, and the edges.
TYPES = sorted({*RECORD_TYPES, 0, 54, 128, 260, 4711, 32_768, 65_280, 65_535})
#: Data of a record: two bytes of anything, but Suricata tells nothing of a message whose SOA or SRV is too short.
DATA = {6: bytes(22), 16: b"\x01a", 33: bytes(7)}
NAMES = (b"PC-12\0", b"\0\0PC-12.\0\0", b"PC\0-12", b"P\xc4-12\0", b"\0")


def answered(number: int) -> Iterator[bytes]:
    """A query and its answer about records of a type."""
    data = DATA.get(number, b"\x00\x01")
    record = b"\xc0\x0c" + pack(">HHIH", number, 1, 60, len(data)) + data
    asked = QUESTION + pack(">HH", number, 1)
    query = pack(">6H", number, 0x0100, 1, 0, 0, 0) + asked
    answer = pack(">6H", number, 0x8180, 1, 1, 0, 0) + asked + record
    yield from datagrams((True, query), (False, answer), source=20_000 + number % 40_000)


def leased(name: bytes, number: int) -> bytes:
    """A DHCP request of a client that calls itself so."""
    head = b"\x01\x01\x06\x00" + pack(">I", number) + bytes(20) + b"\x02\x00\x00\x00\x00\x30" + bytes(10 + 192)
    options = b"\x35\x01\x03" + bytes((12, len(name))) + name + bytes((60, len(name))) + name + b"\xff"
    message = head + b"\x63\x82\x53\x63" + options
    return ethernet(ipv4(udp(message, source=68, destination=67), source="0.0.0.0", destination="255.255.255.255"))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], list[Event]]:
    """What our engine and Suricata tell."""
    parts.suricata()
    path = tmp_path_factory.mktemp("engines") / "made.pcap"
    frames = [frame for number in TYPES for frame in answered(number)]
    frames += [leased(name, number) for number, name in enumerate(NAMES)]
    path.write_bytes(pcap(frames))
    return told(PacketsSource.from_files([path])), told(SuricataSource.from_files([path], settings=SuricataTable()))


def told(source: Source) -> list[Event]:
    return [event for events in source.read() for event in events]


def of_dns(events: list[Event]) -> dict[tuple[str | None, str | None], tuple[object, ...]]:
    return {
        (event.dns_id, event.dns_type): (event.dns_question_type, event.dns_answers_type, event.dns_response_code)
        for event in events
        if event.event_dataset is Dataset.DNS
    }


def of_dhcp(events: list[Event]) -> dict[str | None, tuple[object, ...]]:
    return {
        event.nsm_dhcp_transaction_id: (
            event.nsm_dhcp_client_hostname,
            (event.nsm_detail or {}).get("dhcp.vendor_class"),
        )
        for event in events
        if event.event_dataset is Dataset.DHCP
    }


def test_record_types_have_the_same_names(both: tuple[list[Event], list[Event]]) -> None:
    ours, theirs = map(of_dns, both)
    assert len(theirs) == 2 * len(TYPES)
    assert ours == theirs


def test_host_names_lose_their_nul_bytes(both: tuple[list[Event], list[Event]]) -> None:
    ours, theirs = map(of_dhcp, both)
    assert ours == theirs
    assert [name for name, _ in ours.values()] == ["pc-12", "pc-12", "pc-12", "p\\xc4-12", None]


def icmp(kind: int, code: int, rest: bytes = bytes(12)) -> bytes:
    return bytes((kind, code, 0, 0)) + rest


def test_a_conversation_has_one_community_id(tmp_path: Path) -> None:
    parts.suricata()
    packets = [
        ipv4(udp(source=4_000, destination=500), destination=CLIENT),
        ipv4(udp(source=500, destination=4_001), destination=CLIENT),
        ipv4(icmp(8, 0), protocol=1),
        ipv4(icmp(0, 0), protocol=1, source=SERVER, destination=CLIENT),
        ipv4(icmp(37, 0), protocol=1, source=SERVER, destination=CLIENT),
        ipv4(pack(">II", 7, 1) + bytes(24), protocol=50),
        ipv4(pack(">II", 8, 1) + bytes(24), protocol=50, source=SERVER, destination=CLIENT),
    ]
    packets += [ipv6(icmp(1, 0, bytes(48)), protocol=58, source=SERVER6, destination=CLIENT6)]
    path = tmp_path / "ids.pcap"
    path.write_bytes(pcap([ethernet(packet) for packet in packets]))
    ours, theirs = (
        {event.network_community_id for event in told(source) if event.event_dataset is Dataset.FLOW}
        for source in (
            PacketsSource.from_files([path]),
            SuricataSource.from_files([path], settings=SuricataTable()),
        )
    )
    assert len(ours) == 6
    assert ours == theirs

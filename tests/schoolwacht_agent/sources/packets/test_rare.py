"""scapy on its lead: what it takes apart, and that whatever happens to it capture goes on."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from struct import pack

import pytest

from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.rare import Rare
from tests.schoolwacht_agent.sources.packets.made import CLIENT, ethernet, ipv4, udp
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import datagrams

SNAP = b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + ipv4(udp())
SESSION = pack(">HHH", 0x0002, 1, 1) + b"\xff\x03\x00\x21" + ipv4(udp())
INNER = (0x0800, ipv4(udp()))


@pytest.fixture(scope="module")
def rare() -> Iterator[tuple[Rare, Counter[str]]]:
    noted: Counter[str] = Counter()
    made = Rare(10, lambda reason: noted.update([reason]), wait=True)
    yield made, noted
    made.close()


def test_what_it_cannot_read_is_none(rare: tuple[Rare, Counter[str]]) -> None:
    assert rare[0].l2tp(1_000, SESSION[:10]) is None
    assert rare[0].unwrap(1_001, 105, 0, os.urandom(200)) is None
    assert rare[0].l2tp(1_002, SESSION) == INNER


def test_only_so_many_packets_a_second_are_taken_apart(rare: tuple[Rare, Counter[str]]) -> None:
    made, noted = rare
    before = noted.total()
    assert sum(made.l2tp(2_000.5, SESSION) is not None for _ in range(13)) == 10
    assert noted.total() - before == 3
    assert made.l2tp(2_001.5, SESSION) is not None


def test_a_long_packet_is_refused(rare: tuple[Rare, Counter[str]]) -> None:
    made, noted = rare
    assert made.l2tp(3_000, SESSION + bytes(10_000)) is None
    assert noted["l2tp: too long for scapy"] == 1


def test_a_process_that_hangs_is_ended_and_another_one_started(rare: tuple[Rare, Counter[str]]) -> None:
    made, noted = rare
    assert made.l2tp(4_000, SESSION) is not None
    assert made._worker is not None
    os.kill(made._worker._process.pid, signal.SIGSTOP)
    assert made.l2tp(4_001, SESSION) is None
    assert noted["l2tp: scapy failed or took too long"] == 1
    assert made.l2tp(4_002, SESSION) is not None


def test_a_process_that_died_is_started_anew(rare: tuple[Rare, Counter[str]]) -> None:
    made, _ = rare
    assert made.l2tp(5_000, SESSION) is not None
    assert made._worker is not None
    made._worker._process.kill()
    made._worker._process.wait()
    assert made.l2tp(5_001, SESSION) is None
    assert made.l2tp(5_002, SESSION) is not None


def test_left_out_it_is_counted_and_no_process_is_started() -> None:
    played = Played(*datagrams((True, SESSION), port=1701), settings=PacketsTable(rare_per_second=0))
    assert played.counters.invalid == {"l2tp: left out (rare_per_second = 0)": 1}
    assert played.flow.destination_port == 1701


def test_live_nobody_waits_for_it_to_load() -> None:
    noted: list[str] = []
    made = Rare(10, noted.append, wait=False)
    try:
        assert made.l2tp(1, SESSION) is None
        assert noted == ["l2tp: scapy is not loaded yet"]
    finally:
        made.close()


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (105, b"\x08\x02" + bytes(22) + SNAP),
        (127, b"\x00\x00\x08\x00" + bytes(4) + b"\x08\x02" + bytes(22) + SNAP),
    ],
    ids=["802.11", "radiotap"],
)
def test_ip_is_found_in_odd_frames(link: int, frame: bytes) -> None:
    assert Played(frame, link=link).flow.source_ip == CLIENT


def test_ip_is_found_in_a_tunnel_over_l2tp() -> None:
    played = Played(ethernet(ipv4(udp(SESSION, destination=1701), source="192.0.2.1", destination="192.0.2.2")))
    assert {flow.source_ip for flow in played.flows} == {"192.0.2.1", CLIENT}

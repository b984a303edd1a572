"""Suricata and our reader together: with lists, over a recording, and over a real interface."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from struct import pack

import msgspec
import pytest

from schoolwacht.errors import CaptureError, SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import EngineName, SourceTable, SuricataTable
from schoolwacht_agent.sources import both, choose
from schoolwacht_agent.sources.both import BothSource
from schoolwacht_agent.sources.port import Counters, Source
from tests.parts import CAPTURES, namespaces, program, suricata
from tests.schoolwacht_agent.sources.packets.made import (
    ACK,
    CLIENT,
    SERVER,
    SYN,
    down,
    ethernet,
    pcap,
    up,
)  # fmt: skip

START = datetime(2026, 1, 1, tzinfo=UTC)
WEB = CAPTURES / "web-and-dns.pcap"


class Given:
    """A source of prepared lists."""

    def __init__(self, *lists: list[Event], fault: SourceError | None = None) -> None:
        self.counters = Counters()
        self._lists = lists
        self._fault = fault
        self.stopped = False

    def read(self) -> Iterator[list[Event]]:
        yield from self._lists
        if self._fault is not None:
            raise self._fault

    def mark(self) -> bytes:
        return b"place"

    def stop(self) -> None:
        self.stopped = True


def event(second: int, dataset: Dataset = Dataset.ARP, module: str = "packets") -> Event:
    return Event(START + timedelta(seconds=second), dataset, module)


def dns(second: int) -> Event:
    return event(second, Dataset.DNS, "suricata")


def together(main: Source, own: Source, *, live: bool = False) -> BothSource:
    return BothSource(main, own, frozenset({Dataset.ARP}), live=live)


def seconds(source: BothSource) -> list[int]:
    return [int((one.timestamp - START).total_seconds()) for events in source.read() for one in events]


def test_of_a_file_both_are_merged_by_time() -> None:
    main = Given([dns(1), dns(3)], [], [dns(6)], [dns(8)])
    own = Given([event(0), event(2)], [], [event(3), event(4), event(7)], [event(9)])
    assert seconds(together(main, own)) == [1, 3, 0, 2, 3, 6, 4, 8, 7, 9]


def test_only_what_suricata_does_not_give_passes() -> None:
    own = Given([event(0), event(0, Dataset.DNS), event(0, Dataset.FLOW)])
    source = together(Given([dns(1)]), own)
    assert [one.event_dataset for events in source.read() for one in events] == [Dataset.DNS, Dataset.ARP]


def test_what_suricata_gives_after_all_ours_gives_no_more() -> None:
    main = Given([dns(1)], [event(2, Dataset.ARP, "suricata")], [dns(3)])
    own = Given([event(1)], [], [], [event(2)], [], [event(3)])
    found = [one for events in together(main, own, live=True).read() for one in events]
    arp = [one.event_module for one in found if one.event_dataset is Dataset.ARP]
    assert arp == ["packets", "suricata"]


def test_nothing_is_counted_twice() -> None:
    main, own = Given([dns(1)]), Given([event(0)])
    main.counters = Counters(packets=100, bytes=9, dropped=1, events=1, tcp_sessions=5, tcp_gaps=1, rules=3)
    own.counters = Counters(packets=7, bytes=70, events=1, evicted=2, tcp_bytes=1000, tcp_missing=10)
    source = together(main, own)
    list(source.read())
    counted = source.counters
    assert (counted.packets, counted.bytes, counted.dropped, counted.events) == (100, 9, 1, 2)
    assert (counted.tcp_bytes, counted.tcp_missing, counted.tcp_sessions, counted.rules) == (1000, 10, 5, 3)


def test_a_sample_of_a_moment_in_which_our_ring_dropped_says_nothing_of_the_mirror() -> None:
    main, own = Given([dns(1)], [dns(2)], [dns(3)]), Given([], [], [], [])
    source = together(main, own, live=True)
    reading = source.read()
    own.counters.tcp_bytes, own.counters.tcp_missing = 1000, 0
    next(reading)
    own.counters.tcp_bytes, own.counters.tcp_missing, own.counters.dropped = 1500, 500, 3
    next(reading)
    own.counters.tcp_bytes, own.counters.tcp_missing = 2500, 501
    next(reading)
    assert (source.counters.tcp_bytes, source.counters.tcp_missing) == (2000, 1)
    assert source.counters.invalid == {"own reader: dropped": 3}


def test_a_fault_of_the_capture_comes_once_and_after_everything() -> None:
    fault = CaptureError("is cut off", path="a.pcap")
    source = together(Given([dns(1)], fault=fault), Given([event(5)], fault=CaptureError("other words", path="a.pcap")))
    found = []
    reading = source.read()
    found += next(reading) + next(reading)
    with pytest.raises(CaptureError, match="is cut off"):
        next(reading)
    assert [one.event_dataset for one in found] == [Dataset.DNS, Dataset.ARP]


def test_suricata_goes_on_without_a_reader_that_fails_and_it_is_told() -> None:
    source = together(Given([dns(1)], [dns(2)]), Given([event(1)], fault=SourceError("no leave")), live=True)
    found = [one for events in source.read() for one in events]
    assert [one.event_dataset.value for one in found] == ["arp", "health", "dns", "dns"]
    assert found[1].health_condition == "reader-ended"
    assert "no leave" in (found[1].message or "")


def test_mark_and_stop_are_of_both() -> None:
    main, own = Given(), Given()
    source = together(main, own)
    source.stop()
    assert (main.stopped, own.stopped, source.mark()) == (True, True, b"place")


def test_an_eve_file_without_an_interface_leaves_our_reader_nothing() -> None:
    reason = both.missing(SourceTable(suricata=SuricataTable(eve="/var/log/suricata/eve.json")))
    assert "source.interface" in (reason or "")


def test_auto_takes_both_where_both_can_run_and_ours_alone_without_suricata(tmp_path: Path) -> None:
    suricata()
    assert choose(SourceTable())[0] is EngineName.BOTH
    absent = SuricataTable(binary=str(tmp_path / "none"))
    assert choose(SourceTable(suricata=absent))[0] is EngineName.PACKETS
    attached = SuricataTable(eve=str(tmp_path / "eve.json"))
    assert choose(SourceTable(suricata=attached))[0] is EngineName.SURICATA


def arp(target: int) -> bytes:
    """Who has 10.21.4.<target>?"""
    message = pack(">HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + bytes((10, 21, 4, 30)) + bytes(6)
    return ethernet(message + bytes((10, 21, 4, target)), kind=0x0806)


def test_a_capture_gives_suricatas_events_and_the_arp(tmp_path: Path) -> None:
    suricata()
    capture = tmp_path / "lan.pcap"
    frames: list[bytes | tuple[float, bytes]] = [arp(n) for n in range(60)]
    capture.write_bytes(WEB.read_bytes()[:24] + pcap(frames)[24:] + WEB.read_bytes()[24:])
    settings = SourceTable()
    alone = Counter(one.event_dataset for events in choose_offline("suricata", capture) for one in events)
    found = Counter(one.event_dataset for events in both.offline(capture, settings).read() for one in events)
    own = Counter(one.event_dataset for events in choose_offline("packets", capture) for one in events)
    assert own[Dataset.ARP] > 60
    assert found == alone | Counter({Dataset.ARP: own[Dataset.ARP]})


def choose_offline(engine: str, capture: Path) -> Iterator[list[Event]]:
    _, chosen = choose(SourceTable(engine=EngineName(engine)))
    return chosen.offline(capture, SourceTable()).read()


INSIDE, OUTSIDE = f"swboth-in-{os.getpid()}", f"swboth-out-{os.getpid()}"


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True, timeout=20)


@pytest.fixture
def wire() -> Iterator[None]:
    namespaces()
    program("tcpreplay", "tcpreplay")
    suricata()
    try:
        for name in (INSIDE, OUTSIDE):
            _ip("netns", "add", name)
            _ip("netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        _ip("link", "add", "swb0", "netns", INSIDE, "type", "veth", "peer", "name", "swb1", "netns", OUTSIDE)
        for name, interface in ((INSIDE, "swb0"), (OUTSIDE, "swb1")):
            _ip(
                "netns", "exec", name, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"
            )
            _ip("netns", "exec", name, "ip", "link", "set", interface, "up")
        yield
    finally:
        for name in (INSIDE, OUTSIDE):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _enter(namespace: str) -> None:
    """Let this thread be in the namespace, and what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert libc.setns(descriptor, 0x40000000) == 0
    finally:
        os.close(descriptor)


def _port_of_the_sample() -> int:
    """A client's port whose connection to the server's port 9,999 is one of the 64th."""
    ends = [int(part) for text in (CLIENT, SERVER) for part in text.split(".")]
    low = (ends[2] << 8 | ends[3]) + (ends[6] << 8 | ends[7]) + 9_999
    return next(port for port in range(40_000, 40_064) if (low + port) & 63 == 0)


def download(port: int, *lost: int) -> list[bytes]:
    """A connection that sends 400 segments of 1,000 bytes, less those that are lost."""
    frames = [
        up(flags=SYN, sequence=99, source=port), down(flags=SYN | ACK, sequence=499, source=port),
        up(sequence=100, source=port),
    ]  # fmt: skip
    frames += [down(b"y" * 1000, sequence=500 + n * 1000, source=port) for n in range(400) if n not in lost]
    return frames


def test_at_an_interface_both_look_and_a_filter_holds_for_both(wire: None, tmp_path: Path) -> None:
    capture = tmp_path / "lan.pcap"
    port = _port_of_the_sample()
    lost = download(port, 100, 101, 300)
    hidden = [up(flags=SYN, sequence=1, destination=8_888, source=number) for number in range(50_000, 50_050)]
    capture.write_bytes(pcap([arp(n) for n in range(60)] + lost + hidden))
    settings = msgspec.structs.replace(SourceTable(), interface="swb0", filter="not tcp port 8888")
    state = tmp_path / "state"
    source = both.live(settings, state / "both", b"")
    found: list[Event] = []

    def run() -> None:
        _enter(INSIDE)
        for events in source.read():
            found.extend(events)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        log = state / "suricata" / "engine.log"
        _wait(lambda: log.exists() and b"Engine started" in log.read_bytes(), thread)
        subprocess.run(
            ["ip", "netns", "exec", OUTSIDE, "tcpreplay", "-q", "--pps=2000", "-i", "swb1", capture],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip
        _wait(lambda: sum(one.event_dataset is Dataset.ARP for one in found) >= 60, thread)
    finally:
        source.stop()
        thread.join(40)
    assert not thread.is_alive()
    counted = Counter(one.event_dataset for one in found)
    assert counted[Dataset.ARP] == 60
    flows = [one for one in found if one.event_dataset is Dataset.FLOW]
    assert {one.destination_port for one in flows} == {9_999}, "each flow once, and none that the filter hides"
    assert len(flows) == 1
    assert source.counters.tcp_missing == 3_000
    assert source.counters.tcp_bytes == 397_000
    assert source.counters.dropped == 0


def _wait(until: object, thread: threading.Thread) -> None:
    assert callable(until)
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        assert thread.is_alive()
        time.sleep(0.05)

"""The packet engine on a real interface: a veth pair between two network namespaces, recordings played at one end.

The engine runs in a thread of this process that has entered the namespace (which is a property of the thread).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import PacketsTable, SourceTable
from schoolwacht_agent.sources.packets import PacketsSource, live, missing
from schoolwacht_agent.sources.packets.capture import read_capture
from tests.parts import CAPTURES, namespaces, program
from tests.schoolwacht_agent.sources.packets.made import pcap, tagged

WEB, SCAN = CAPTURES / "web-and-dns.pcap", CAPTURES / "port-scan.pcap"
INSIDE, OUTSIDE = f"swring-in-{os.getpid()}", f"swring-out-{os.getpid()}"
SETTINGS = PacketsTable(ring_mib=4)
PATIENCE = 20.0


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True, timeout=20)


def _wire() -> None:
    _ip("link", "add", "swr0", "netns", INSIDE, "type", "veth", "peer", "name", "swr1", "netns", OUTSIDE)
    for name, interface in ((INSIDE, "swr0"), (OUTSIDE, "swr1")):
        inside = ["netns", "exec", name]
        _ip(*inside, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
        # Room for two VLAN tags.
        _ip(*inside, "ip", "link", "set", interface, "mtu", "1600", "up")


@pytest.fixture
def wire() -> Iterator[None]:
    """Two namespaces and a veth pair between them without offloads or traffic of its own."""
    namespaces()
    program("tcpreplay", "tcpreplay")
    program("ethtool", "ethtool")
    try:
        for name in (INSIDE, OUTSIDE):
            _ip("netns", "add", name)
            _ip("netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            _ip("netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        _wire()
        yield
    finally:
        for name in (INSIDE, OUTSIDE):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(descriptor, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


class Listener:
    """A source at work in the namespace."""

    def __init__(self, source: PacketsSource) -> None:
        self.source = source
        self.lists: list[list[Event]] = []
        self.fault: SourceError | None = None
        self._entered = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(lambda: self.is_open or not self._thread.is_alive())
        return self

    def __exit__(self, *_: object) -> None:
        self.source.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    @property
    def is_open(self) -> bool:
        """Whether there is a packet socket in the namespace that the thread has entered."""
        if not self._entered.is_set():
            return False
        sockets = Path(f"/proc/self/task/{self._thread.native_id}/net/packet")
        return self._thread.is_alive() and len(sockets.read_text().splitlines()) == 2

    @property
    def events(self) -> list[Event]:
        return [event for events in self.lists for event in events]

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < end, f"waited in vain: {self.source.counters}"
            time.sleep(0.02)

    def wait_for(self, packets: int) -> None:
        self.wait(lambda: self.source.counters.packets >= packets)

    def wait_for_tick(self) -> None:
        before = len(self.lists)
        self.wait(lambda: len(self.lists) > before + 1)

    def _run(self) -> None:
        _enter(INSIDE)
        self._entered.set()
        try:
            for events in self.source.read():
                self.lists.append(events)
        except SourceError as fault:
            self.fault = fault


def listening(settings: PacketsTable = SETTINGS) -> Listener:
    return Listener(PacketsSource.from_interface("swr0", settings))


def play(capture: Path, namespace: str = OUTSIDE, interface: str = "swr1") -> None:
    command = ["ip", "netns", "exec", namespace, "tcpreplay", "-q", "--pps=4000", "-i", interface, str(capture)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def packets_in(capture: Path) -> int:
    return sum(len(batch.records) for batch in read_capture(capture))


def flows(events: list[Event]) -> Counter[tuple[object, ...]]:
    """What must be equal of flows however fast they were played."""
    return Counter(
        (
            event.source_ip, event.source_port, event.destination_ip, event.destination_port, event.network_transport,
            event.source_bytes, event.source_packets, event.destination_bytes, event.destination_packets,
            event.network_protocol, event.nsm_flow_source_tcp_flags, event.nsm_flow_destination_tcp_flags,
            event.nsm_flow_state, event.source_mac, event.destination_mac, event.network_vlan_id,
        )
        for event in events
        if event.event_dataset is Dataset.FLOW
    )  # fmt: skip


def names(events: list[Event]) -> Counter[tuple[object, ...]]:
    return Counter(
        (event.event_dataset, event.dns_question_name, event.tls_client_ja3, event.tls_client_server_name,
         event.url_full, event.network_vlan_id)
        for event in events
        if event.event_dataset is not Dataset.FLOW
    )  # fmt: skip


def of_file(capture: Path) -> list[Event]:
    return [event for events in PacketsSource.from_files([capture]).read() for event in events]


@pytest.mark.parametrize("capture", [WEB, SCAN], ids=lambda path: path.stem)
def test_the_interface_gives_the_same_flows_and_names_as_the_file(wire: None, capture: Path) -> None:
    with listening() as listener:
        play(capture)
        listener.wait_for(packets_in(capture))
    assert listener.fault is None
    assert listener.source.counters.packets == packets_in(capture)
    assert listener.source.counters.dropped == 0
    assert flows(listener.events) == flows(of_file(capture))
    assert names(listener.events) == names(of_file(capture))


def test_a_vlan_tag_that_the_kernel_took_out_of_the_frame_is_kept(wire: None, tmp_path: Path) -> None:
    capture = tmp_path / "tagged.pcap"
    capture.write_bytes(pcap([tagged(frame, 1624) for frame in _frames(WEB)]))
    with listening() as listener:
        play(capture)
        listener.wait_for(packets_in(capture))
    assert flows(listener.events) == flows(of_file(capture))
    assert {event.network_vlan_id for event in listener.events if event.event_dataset is Dataset.FLOW} == {"1624"}


def test_both_tags_of_a_frame_are_kept(wire: None, tmp_path: Path) -> None:
    capture = tmp_path / "twice.pcap"
    capture.write_bytes(pcap([tagged(tagged(frame, 7), 1624, kind=0x88A8) for frame in _frames(WEB)]))
    with listening() as listener:
        play(capture)
        listener.wait_for(packets_in(capture))
    found = {(event.network_vlan_id, event.network_inner_vlan_id) for event in listener.events}
    assert found == {("1624", "7")}
    assert flows(listener.events) == flows(of_file(capture))


def test_an_idle_interface_ticks_and_its_flows_end_by_time(wire: None) -> None:
    # Silence must be longer than a busy machine may hold the sender up.
    short = PacketsTable(ring_mib=2, tcp_new_seconds=2, tcp_established_seconds=2, tcp_closed_seconds=2,
                         other_new_seconds=2, other_established_seconds=2)  # fmt: skip
    with listening(short) as listener:
        play(WEB)
        listener.wait_for(packets_in(WEB))
        listener.wait(lambda: flows(listener.events).total() == flows(of_file(WEB)).total())
        listener.wait_for_tick()
        assert listener.source.mark() == b""
    assert [] in listener.lists
    assert {event.nsm_flow_reason for event in listener.events if event.event_dataset is Dataset.FLOW} == {"timeout"}


def test_an_interface_that_was_down_is_heard_again(wire: None) -> None:
    with listening() as listener:
        play(WEB)
        listener.wait_for(packets_in(WEB))
        _ip("netns", "exec", INSIDE, "ip", "link", "set", "swr0", "down")
        listener.wait_for_tick()
        _ip("netns", "exec", INSIDE, "ip", "link", "set", "swr0", "up")
        play(WEB)
        listener.wait_for(2 * packets_in(WEB))
    assert listener.fault is None


def test_an_interface_that_was_made_anew_under_its_name_is_opened_again(
    wire: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with listening() as listener:
        play(WEB)
        listener.wait_for(packets_in(WEB))
        _ip("netns", "exec", INSIDE, "ip", "link", "delete", "swr0")
        listener.wait(lambda: "is gone" in caplog.text)
        listener.wait_for_tick()
        _wire()
        listener.wait(lambda: "is back" in caplog.text)
        play(WEB)
        listener.wait_for(2 * packets_in(WEB))
    assert listener.fault is None


def test_the_ring_is_given_back_at_the_end(wire: None) -> None:
    before = _sockets()
    with listening() as listener:
        assert listener.is_open
        opened = _sockets() - before
        assert opened
    assert not opened & _sockets()
    assert listener.fault is None


def _sockets() -> set[str]:
    """Each open socket by its inode: others of this process may be closed meanwhile."""
    links = map(_target, Path("/proc/self/fd").iterdir())
    return {link for link in links if link.startswith("socket:")}


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the listing's own, or closed meanwhile
        return ""


def test_what_the_machine_itself_sends_can_be_left_out(wire: None) -> None:
    with listening(PacketsTable(ring_mib=4, own_packets=False)) as listener:
        play(WEB, INSIDE, "swr0")
        play(SCAN)
        listener.wait_for(packets_in(SCAN))
    assert listener.source.counters.packets == packets_in(SCAN)


def test_what_goes_through_the_loopback_is_taken_once(wire: None) -> None:
    _ip("netns", "exec", INSIDE, "ip", "link", "set", "lo", "up")
    with Listener(PacketsSource.from_interface("lo", SETTINGS)) as listener:
        play(SCAN, INSIDE, "lo")
        listener.wait_for(packets_in(SCAN))
    assert listener.source.counters.packets == packets_in(SCAN)


def test_packets_that_the_kernel_dropped_are_counted(wire: None, tmp_path: Path) -> None:
    # More than the ring holds comes while nobody reads it.
    capture = tmp_path / "large.pcap"
    frame = max(_frames(WEB), key=len)
    count = 3 * (2 << 20) // len(frame)
    capture.write_bytes(pcap([frame] * count))
    source = PacketsSource.from_interface("swr0", PacketsTable(ring_mib=2))
    reader = threading.Thread(target=_read_late, args=(source, lambda: play(capture)))
    reader.start()
    reader.join(PATIENCE)
    assert not reader.is_alive()
    assert source.counters.dropped > 0
    assert source.counters.packets + source.counters.dropped == count


def _read_late(source: PacketsSource, busy: Callable[[], None]) -> None:
    _enter(INSIDE)
    reading = source.read()
    next(reading)  # the first tick: the ring is open
    busy()
    seen = -1
    while seen != source.counters.packets:
        seen = source.counters.packets
        for events in reading:
            if not events:
                break
    source.stop()
    for _ in reading:
        pass


def test_a_signal_handler_may_stop_the_source_and_what_is_held_is_reported(wire: None) -> None:
    source = PacketsSource.from_interface("swr0", SETTINGS)
    before = signal.signal(signal.SIGUSR1, lambda *_: source.stop())
    try:
        with Listener(source) as listener:
            play(WEB)
            listener.wait_for(packets_in(WEB))
            os.kill(os.getpid(), signal.SIGUSR1)
            listener.wait(lambda: flows(listener.events) == flows(of_file(WEB)))
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_interface_that_is_not_there_is_named(wire: None) -> None:
    with Listener(PacketsSource.from_interface("swr9", SETTINGS)) as listener:
        pass
    assert "'swr9'" in str(listener.fault)


def test_without_an_interface_the_setting_is_named() -> None:
    with pytest.raises(SourceError, match="interface"):
        live(SourceTable(), Path("/nonexistent"), b"")


def test_an_account_that_may_not_capture_is_told_so_but_reads_files() -> None:
    if os.geteuid() != 0:
        told, files = missing(SourceTable(interface="lo")), missing(SourceTable())
    else:
        told, files = _as_nobody()
    assert told is not None
    assert "CAP_NET_RAW" in told
    assert files is None


def _frames(capture: Path) -> list[bytes]:
    return [
        batch.buffer[start : start + captured]
        for batch in read_capture(capture)
        for _, _, start, captured, _ in batch.records
    ]


def _as_nobody() -> tuple[str | None, str | None]:
    """What ``missing`` says to an account without rights, asked in a process of its own."""
    script = (
        "import os, sys; from schoolwacht_agent.config import SourceTable;"
        "from schoolwacht_agent.sources.packets import missing;"
        "os.setgid(65534); os.setuid(65534);"
        "print(missing(SourceTable(interface='lo'))); print(missing(SourceTable()))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    told, files = (None if line == "None" else line for line in said.splitlines())
    return told, files

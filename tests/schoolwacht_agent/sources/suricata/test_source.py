"""The source over the real Suricata: replay, an attached file, and an interface in network namespaces."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import msgspec
import pytest

from schoolwacht.errors import CaptureError, SourceError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import encode_event
from schoolwacht_agent.config import SourceTable, SuricataTable
from schoolwacht_agent.sources import suricata as engine
from schoolwacht_agent.sources.suricata.source import SuricataSource
from tests.parts import CAPTURES, namespaces, program, suricata
from tests.schoolwacht_agent.sources.suricata.records import RECORDED, line

WEB = CAPTURES / "web-and-dns.pcap"
TUNNEL = CAPTURES / "dns-tunnel.pcap"


@pytest.fixture
def settings() -> SuricataTable:
    return SuricataTable(binary=str(suricata()))


def replay(path: Path, settings: SuricataTable) -> tuple[list[Event], SuricataSource]:
    source = SuricataSource.from_files([path], settings=settings)
    return [event for events in source.read() for event in events], source


def collect(source: SuricataSource, into: list[Event]) -> None:
    for events in source.read():
        into += events


def datasets(events: list[Event]) -> Counter[Dataset]:
    return Counter(event.event_dataset for event in events)


# Replay


def test_a_capture_gives_its_conversations(settings: SuricataTable) -> None:
    events, source = replay(WEB, settings)
    found = datasets(events)
    assert min(found[Dataset.DNS], found[Dataset.HTTP], found[Dataset.TLS], found[Dataset.FLOW]) > 0
    assert Dataset.HEALTH not in found
    assert source.counters.events == len(events)
    assert source.counters.packets > 100
    assert source.counters.bytes > 10_000
    assert source.counters.invalid == {}
    assert source.mark() == b""


def sorted_events(events: list[Event]) -> list[bytes]:
    """Suricata reports the flows that are open at the end in no particular order."""
    return sorted(encode_event(event) for event in events)


def test_the_same_capture_gives_the_same_events(settings: SuricataTable) -> None:
    first, second = replay(WEB, settings)[0], replay(WEB, settings)[0]
    assert sorted_events(first) == sorted_events(second)
    ordered = [event for event in first if event.event_dataset is not Dataset.FLOW]
    assert ordered == [event for event in second if event.event_dataset is not Dataset.FLOW]


def test_flows_count_every_packet_of_the_capture(settings: SuricataTable) -> None:
    events, source = replay(WEB, settings)
    flows = [event for event in events if event.event_dataset is Dataset.FLOW]
    counted = sum(event.network_packets or 0 for event in flows)
    # ARP is no flow.
    assert 0.9 * source.counters.packets <= counted <= source.counters.packets


def test_a_compressed_capture_gives_the_same(settings: SuricataTable, tmp_path: Path) -> None:
    packed = tmp_path / "web.pcap.gz"
    packed.write_bytes(gzip.compress(WEB.read_bytes()))
    assert sorted_events(replay(packed, settings)[0]) == sorted_events(replay(WEB, settings)[0])


def test_several_captures_are_played_after_one_another(settings: SuricataTable) -> None:
    source = SuricataSource.from_files([WEB, TUNNEL], settings=settings)
    events = [event for events in source.read() for event in events]
    assert len(events) == len(replay(WEB, settings)[0]) + len(replay(TUNNEL, settings)[0])


def test_a_truncated_capture_is_named_after_the_events_that_could_be_read(
    settings: SuricataTable, tmp_path: Path
) -> None:
    cut = tmp_path / "half.pcap"
    cut.write_bytes(WEB.read_bytes()[:40_001])
    events: list[Event] = []
    with pytest.raises(CaptureError, match="truncated dump file") as caught:
        collect(SuricataSource.from_files([cut], settings=settings), events)
    assert caught.value.path == str(cut)
    assert events


def test_a_compressed_capture_that_is_cut_off_gives_its_beginning(settings: SuricataTable, tmp_path: Path) -> None:
    cut = tmp_path / "half.pcap.gz"
    packed = gzip.compress(WEB.read_bytes())
    cut.write_bytes(packed[: len(packed) * 2 // 3])
    events: list[Event] = []
    with pytest.raises(CaptureError) as caught:
        collect(SuricataSource.from_files([cut], settings=settings), events)
    assert caught.value.path == str(cut)
    assert events


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"geen capture, maar tekst", "is no capture")])
def test_what_is_no_capture_is_named(settings: SuricataTable, tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=reason) as caught:
        replay(path, settings)
    assert caught.value.path == str(path)


def test_a_bad_rule_stops_the_replay_with_suricatas_own_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad.rules"
    bad.write_text('alert http any any -> any any (msg:"x"; content:"a"; foo:bar; sid:1;)\n', encoding="utf-8")
    with pytest.raises(SourceError, match=r"unknown rule keyword 'foo'.*from file .*bad\.rules at line 1"):
        replay(WEB, SuricataTable(binary=str(suricata()), rules=(str(bad),)))


def test_an_unusable_home_network_is_told_in_suricatas_words(settings: SuricataTable) -> None:
    source = SuricataSource.from_files([WEB], home=["10.0.0.0/99"], settings=settings)
    with pytest.raises(SourceError, match="HOME_NET"):
        list(source.read())


def test_home_networks_decide_which_server_is_ours(settings: SuricataTable) -> None:
    example = next(
        (Path(__file__).parents[4] / "rules/examples/suricata/d17-web-injection/match").glob("sql-union.pcap")
    )
    for home, expected in ((["127.0.0.0/8"], 1), (["10.0.0.0/8"], 0)):
        source = SuricataSource.from_files([example], home=home, settings=settings)
        events = [event for events in source.read() for event in events]
        assert datasets(events)[Dataset.SIGNAL] == expected


def test_compression_that_ends_before_the_first_packet_is_told_as_such(settings: SuricataTable, tmp_path: Path) -> None:
    cut = tmp_path / "half.pcap.gz"
    cut.write_bytes(gzip.compress(WEB.read_bytes())[:9])
    with pytest.raises(CaptureError, match="is cut off"):
        replay(cut, settings)


def test_a_replay_left_early_leaves_nothing_behind(
    settings: SuricataTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = SuricataSource.from_files([WEB], settings=settings)
    reading = source.read()
    next(reading)
    [directory] = tmp_path.iterdir()
    pid = int((directory / "engine.pid").read_text(encoding="ascii"))
    assert isinstance(reading, Generator)
    reading.close()
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{pid}").exists()


def test_a_replay_that_is_stopped_ends_without_an_error(settings: SuricataTable) -> None:
    source = SuricataSource.from_files([WEB, TUNNEL], settings=settings)
    for _ in source.read():
        source.stop()
    assert source.counters.events < len(replay(WEB, settings)[0]) + len(replay(TUNNEL, settings)[0])


def test_an_engine_that_dies_is_no_end_of_the_capture(tmp_path: Path) -> None:
    real = suricata()
    fake = tmp_path / "suricata"
    fake.write_text(f'#!/bin/sh\n[ "$1" = -V ] && exec {real} -V\nkill -SEGV $$\n', encoding="utf-8")
    fake.chmod(0o755)
    with pytest.raises(SourceError, match="it was ended by signal 11"):
        replay(WEB, SuricataTable(binary=str(fake)))


# The table of engines


def test_the_engine_says_why_it_cannot_run() -> None:
    source = SourceTable(suricata=SuricataTable(binary="/nergens/suricata"))
    assert "is not installed" in (engine.missing(source) or "")


def test_reading_somebody_elses_file_needs_no_suricata() -> None:
    assert engine.missing(SourceTable(suricata=SuricataTable(binary="/nergens/suricata", eve="/x"))) is None


def test_live_needs_an_interface(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="name the interface") as caught:
        engine.live(SourceTable(), tmp_path, b"")
    assert caught.value.field == "source.interface"


# Attached


def attached(path: Path, mark: bytes = b"", *, from_start: bool = True) -> SuricataSource:
    table = SourceTable(suricata=SuricataTable(eve=str(path), eve_from_start=from_start))
    return engine.live(table, path.parent, mark)


def until_tick(source: SuricataSource) -> list[Event]:
    """Everything up to the first tick, then stop."""
    found: list[Event] = []
    for events in source.read():
        found += events
        if not events:
            source.stop()
    return found


def test_an_attached_file_is_read_and_gone_on_with(tmp_path: Path) -> None:
    eve = tmp_path / "eve.json"
    eve.write_bytes(b"\n".join(RECORDED[:20]) + b"\n")
    first = attached(eve)
    assert len(until_tick(first)) == 20
    with eve.open("ab") as file:
        file.write(b"\n".join(RECORDED[20:30]) + b"\n")
    second = attached(eve, first.mark())
    assert len(until_tick(second)) == 10


def test_by_default_an_attached_file_is_read_from_its_end(tmp_path: Path) -> None:
    eve = tmp_path / "eve.json"
    eve.write_bytes(b"\n".join(RECORDED) + b"\n")
    assert until_tick(attached(eve, from_start=False)) == []


def test_an_attached_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not there") as caught:
        attached(tmp_path / "eve.json")
    assert (caught.value.path, caught.value.field) == (str(tmp_path / "eve.json"), "source.suricata.eve")


def test_a_gap_is_counted_and_told_as_health(tmp_path: Path) -> None:
    eve = tmp_path / "eve.json"
    eve.write_bytes(RECORDED[0] + b"\n")
    source = attached(eve)
    until_tick(source)
    eve.unlink()
    (tmp_path / "other").write_bytes(b"")  # takes the inode
    eve.write_bytes(RECORDED[1] + b"\n")
    resumed = attached(eve, source.mark())
    events = until_tick(resumed)
    health = [event for event in events if event.event_dataset is Dataset.HEALTH]
    assert [event.health_condition for event in health] == ["eve-gap"]
    assert str(eve) in (health[0].message or "")
    assert resumed.counters.invalid == {"the file to go on with is gone": 1}
    assert len(events) == 2


def test_figures_of_an_attached_engine_are_health_events_too(tmp_path: Path) -> None:
    eve = tmp_path / "eve.json"
    figures = [line("stats", {"uptime": up, "decoder": {"pkts": up * 10, "bytes": up}}) for up in (900, 930, 960)]
    eve.write_bytes(b"\n".join(figures) + b"\n")
    source = attached(eve)
    events = until_tick(source)
    assert [event.health_packets for event in events] == [9000, 9600], "once a minute"
    assert source.counters.packets == 600


# Live

INSIDE, OUTSIDE = f"swlive-in-{os.getpid()}", f"swlive-out-{os.getpid()}"


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True)


@pytest.fixture(scope="module")
def wire() -> Iterator[None]:
    """Two namespaces and a veth pair between them without offloads."""
    namespaces()
    program("tcpreplay", "tcpreplay")
    suricata()
    try:
        for name in (INSIDE, OUTSIDE):
            _ip("netns", "add", name)
        _ip("link", "add", "swl0", "netns", INSIDE, "type", "veth", "peer", "name", "swl1", "netns", OUTSIDE)
        for name, interface in ((INSIDE, "swl0"), (OUTSIDE, "swl1")):
            inside = ["netns", "exec", name]
            _ip(*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            _ip(*inside, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            _ip(*inside, "ip", "link", "set", interface, "up")
        yield
    finally:
        for name in (INSIDE, OUTSIDE):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def inside(tmp_path: Path, wire: None) -> SuricataTable:
    """A Suricata that runs inside the namespace."""
    path = tmp_path / "suricata-inside"
    path.write_text(f'#!/bin/sh\nexec ip netns exec {INSIDE} {suricata()} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return SuricataTable(binary=str(path), ring_mib=8, rotate_mib=1)


def send(capture: Path, *, loop: int = 1) -> None:
    command = ["ip", "netns", "exec", OUTSIDE, "tcpreplay", "-q", "--pps=4000", f"--loop={loop}", "-i", "swl1"]
    subprocess.run([*command, capture], check=True, capture_output=True, timeout=60)


def has_started(directory: Path) -> bool:
    log = directory / "engine.log"
    return log.exists() and b"Engine started" in log.read_bytes()


def test_a_live_interface_gives_events_and_at_the_end_its_flows(
    inside: SuricataTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = Path("state")  # as a sample of the docs has it
    source = SuricataSource.live("swl0", state, settings=inside)
    found: list[Event] = []
    sent = False
    for events in source.read():
        found += events
        if not sent and has_started(state):
            send(WEB)
            sent = True
        elif datasets(found)[Dataset.HTTP] and not events:
            source.stop()
    counted = datasets(found)
    assert min(counted[Dataset.DNS], counted[Dataset.HTTP], counted[Dataset.TLS], counted[Dataset.FLOW]) > 0
    assert source.counters.packets > 100
    assert source.counters.dropped == 0
    assert not (state / "engine.pid").exists()
    assert source.mark()


def test_a_live_file_is_rotated_and_every_line_of_it_read_once(inside: SuricataTable, tmp_path: Path) -> None:
    state = tmp_path / "state"
    source = SuricataSource.live("swl0", state, settings=inside)
    found: list[Event] = []
    sent = 0
    for events in source.read():
        found += events
        if sent < 3 and has_started(state) and not events:
            send(TUNNEL, loop=6)
            sent += 1
        elif sent == 3 and not events:
            source.stop()
    files = sorted(state.glob("eve.json*"))
    assert len(files) >= 3
    # Figures come every ten seconds and become an event once a minute.
    lines = [one for path in files for one in path.read_bytes().splitlines() if b'"event_type":"stats"' not in one]
    assert len(lines) == sum(event.event_dataset is not Dataset.HEALTH for event in found)
    assert source.counters.invalid == {}


def test_an_engine_that_dies_is_started_again_and_it_is_told(inside: SuricataTable, tmp_path: Path) -> None:
    state = tmp_path / "state"
    source = SuricataSource.live("swl0", state, settings=inside)
    found: list[Event] = []
    killed = sent = False
    for events in source.read():
        found += events
        if not killed and has_started(state) and not events:
            os.kill(int((state / "engine.pid").read_text(encoding="ascii")), signal.SIGKILL)
            killed = True
        elif killed and not sent and has_started(state) and (state / "engine.pid").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                send(WEB)
            sent = True
        elif datasets(found)[Dataset.HTTP]:
            source.stop()
    told = [event for event in found if event.health_condition == "engine-ended"]
    assert len(told) == 1
    assert "signal 9" in (told[0].message or "")
    (blind,) = [event for event in found if event.health_condition == "blind"]
    assert 1 < (blind.health_value or 0) < 60
    assert source.counters.invalid == {"Suricata ended by itself": 1}


def test_a_signature_that_does_not_load_is_told_and_the_others_work(inside: SuricataTable, tmp_path: Path) -> None:
    rules = tmp_path / "local.rules"
    rules.write_text(
        'alert dns any any -> any any (msg:"any name"; dns.query; content:"."; sid:9900001;)\n'
        'alert tcp any any -> any any (msg:"broken"; no_such_keyword; sid:9900002;)\n'
    )
    state = tmp_path / "state"
    settings = msgspec.structs.replace(inside, own_rules=False, rules=(str(rules),))
    source = SuricataSource.live("swl0", state, settings=settings)
    found: list[Event] = []
    sent = False
    for events in source.read():
        found += events
        if not sent and has_started(state):
            send(WEB)
            sent = True
        elif datasets(found)[Dataset.SIGNAL] and not events:
            source.stop()
    told = [event.message or "" for event in found if event.health_condition == "rules"]
    assert len(told) == 1
    assert "no_such_keyword" in told[0]
    assert (source.counters.rules, source.counters.rules_failed) == (1, 1)


def test_what_an_earlier_run_did_not_read_comes_first(inside: SuricataTable, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "eve.json").write_bytes(b"\n".join(RECORDED[:5]) + b"\n")
    source = SuricataSource.live("swl0", state, settings=inside)
    reading = source.read()
    assert len(next(reading)) == 5
    assert isinstance(reading, Generator)
    reading.close()


def test_an_interface_that_is_not_there_is_told_in_suricatas_words(inside: SuricataTable, tmp_path: Path) -> None:
    source = SuricataSource.live("nergens0", tmp_path / "state", settings=inside)
    with pytest.raises(SourceError, match=r"does not start at nergens0: .*No such device"):
        list(source.read())


def test_a_directory_that_cannot_be_made_is_named(settings: SuricataTable, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be written") as caught:
        SuricataSource.live("lo", blocked / "state", settings=settings)
    assert caught.value.path == str(blocked / "state")


def test_setpriv_is_where_a_dying_agent_needs_it() -> None:
    """Debian has it in an essential package; without it an orphan is only ended at the next start."""
    assert shutil.which("setpriv")

"""Both engines beside tshark, Suricata alone and a bare flow table: packets and events a second, CPU, memory.

    python -m tests.bench.engines CAPTURE [--times 4] [--only NAME…]

The capture (classic pcap) is written out several times behind one another, each later than the one before, so that a
run is long enough and flows end as they do live. Every contender reads that file in a process of its own, whose CPU
time and peak memory (with those of the children that it waits for) the kernel tells. Start-up counts.

* ``packets``: our engine, every event made and counted.
* ``packets judged``: the same, then placed and judged by every detector of ``behave``.
* ``suricata``: Suricata under our agent, every EVE line read into an event.
* ``suricata alone``: the same configuration, EVE into a file, no agent.
* ``tshark``: addresses, ports, DNS names, SNI, HTTP host as fields.
* ``flow table``: the ceiling for Python: our reader, one struct call and one dict entry a packet, nothing else.

Then EVE to wire (``tests/bench/eve.py`` has the steps): the lines of one pass, on one core.

Goals: ``packets`` at least 200,000 packets a CPU second with all its metadata, within 150 MB; EVE to wire at least
120,000 events a second and at most 70 bytes an event.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.wire import LEVEL
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.cycles import look_seldom
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.sources.packets import PacketsSource
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.capture.pcap import MAGICS
from schoolwacht_agent.sources.port import Counters, Source
from schoolwacht_agent.sources.suricata import SuricataSource
from schoolwacht_agent.sources.suricata.configuration import configuration, version_of
from schoolwacht_agent.sources.suricata.eve import Reader
from schoolwacht_agent.standpoint.open import open_standpoint
from schoolwacht_agent.standpoint.settings import StandpointTable
from schoolwacht_agent.steps import Steps
from tests.bench.eve import frames, peer_frames, read_lines

_FIELDS = (
    "frame.time_epoch", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport",
    "udp.dstport", "frame.len", "dns.qry.name", "dns.a", "tls.handshake.extensions_server_name", "http.host",
    "http.request.method", "http.response.code",
)  # fmt: skip
_HEAD = struct.Struct(">12xHBxHxxHxBxx12s").unpack_from


class Result(NamedTuple):
    """What one contender did; ``cpu`` in seconds, ``memory`` in MiB."""

    events: int
    wall: float
    cpu: float
    memory: float


def repeat(capture: Path, times: int, target: Path) -> int:
    """Write a capture out several times; gives how many packets that makes. Exits if it is no classic pcap."""
    data = capture.read_bytes()
    if data[:4] not in MAGICS:
        sys.exit(f"{capture}: no classic pcap; make one with: editcap -F pcap")
    order = MAGICS[data[:4]][0]
    record = struct.Struct(f"{order}4I")
    places = []
    at = 24
    while at + 16 <= len(data):
        places.append(at)
        at += 16 + record.unpack_from(data, at)[2]
    seconds = [record.unpack_from(data, place)[0] for place in places]
    step = max(seconds) - min(seconds) + 60
    one = bytearray(data[24:at])
    word = struct.Struct(f"{order}I")
    with target.open("wb") as file:
        file.write(data[:24])
        for round_ in range(times):
            for place, second in zip(places, seconds, strict=True):
                word.pack_into(one, place - 24, second + round_ * step)
            file.write(one)
    return len(places) * times


# What runs in a process of its own; each gives its number of events.


def _events_of(source: Source) -> int:
    return sum(len(events) for events in source.read())


def _packets(path: Path) -> int:
    look_seldom()  # as the capturing process does
    return _events_of(PacketsSource.from_files([path]))


def _judged(path: Path) -> int:
    steps = Steps(open_standpoint(Homes(), StandpointTable(), ()), BehaveSettings())
    look_seldom()
    made = sum(len(steps.through(events)) for events in PacketsSource.from_files([path]).read())
    return made + len(steps.finish())


def _suricata(path: Path) -> int:
    return _events_of(SuricataSource.from_files([path], settings=SuricataTable(own_rules=False)))


def _flow_table(path: Path) -> int:
    flows: dict[bytes, list[int]] = {}
    for buffer, _, records in read_capture(path, lambda _: None):
        for _, wire, start, _, _ in records:
            kind, version, _, _, protocol, key = _HEAD(buffer, start)
            if kind != 0x0800 or version != 0x45 or protocol not in (6, 17):
                key = buffer[start : start + 14]
            flow = flows.get(key)
            if flow is None:
                flows[key] = [1, wire]
            else:
                flow[0] += 1
                flow[1] += wire
    return len(flows)


def _suricata_alone(path: Path) -> int:
    settings = SuricataTable(own_rules=False)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        text = configuration(
            settings, version=version_of(settings.binary), directory=directory, home=DEFAULT_HOME, rules=()
        )
        (directory / "suricata.yaml").write_text(text, encoding="utf-8")
        subprocess.run(
            [settings.binary, "-c", directory / "suricata.yaml", "-l", directory, "-r", path, "--runmode", "single"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with (directory / "eve.json").open("rb") as eve:
            return sum(b'"event_type":"stats"' not in line for line in eve)


def _tshark(path: Path) -> int:
    fields = [part for name in _FIELDS for part in ("-e", name)]
    subprocess.run(
        [shutil.which("tshark") or "tshark", "-n", "-r", path, "-T", "fields", *fields],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return 0


CONTENDERS: MappingProxyType[str, Callable[[Path], int]] = MappingProxyType(
    {
        "flow table": _flow_table,
        "packets": _packets,
        "packets judged": _judged,
        "suricata": _suricata,
        "suricata alone": _suricata_alone,
        "tshark": _tshark,
    }
)


def _again(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.engines", str(path), *options]


def run(name: str, path: Path) -> Result:
    """One contender in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(_again(path, "--child", name), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name} failed")
    wall = time.perf_counter() - began
    return Result(json.loads(told), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def show(results: dict[str, Result], packets: int) -> None:
    """A table, each beside our engine by packets a CPU second."""
    print(f"{'':16}{'packets/s':>12}{'per CPU s':>12}{'events/s':>11}{'CPU s':>8}{'MiB':>7}{'ratio':>8}")
    ours = results.get("packets")
    for name, (events, wall, cpu, memory) in results.items():
        ratio = f"{ours.cpu / cpu:7.2f}×" if ours is not None else ""
        rates = f"{packets / wall:12,.0f}{packets / cpu:12,.0f}{events / wall:11,.0f}"
        print(f"{name:16}{rates}{cpu:8.1f}{memory:7.0f}{ratio}")


def to_wire(capture: Path) -> None:
    """EVE lines of one pass to compressed batches, best of five."""
    lines = read_lines(capture)
    look_seldom()  # as the capturing process does
    batches = [lines[at : at + 1000] for at in range(0, len(lines), 1000)]
    events = len(Reader(Counters(), own_engine=True, health=False).events(lines))
    sizes = {}
    for name, work in (("EVE to wire", frames), ("peer: dicts", peer_frames)):
        best = float("inf")
        for _ in range(5):
            began = time.process_time()
            made = list(work(batches, LEVEL))
            best = min(best, time.process_time() - began)
        sizes[name] = best
        print(f"{name:16}{events / best:12,.0f} events/s{sum(map(len, made)) / events:8.1f} bytes an event")
    print(f"{'':16}{sizes['peer: dicts'] / sizes['EVE to wire']:.2f} times as fast as the peer")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path, help="a classic pcap")
    parser.add_argument("--times", type=int, default=4, help="how often the capture is played in one run")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(CONTENDERS[options.child](options.capture))
        return
    if options.write is not None:
        print(repeat(options.capture, options.times, options.write))
        return
    with tempfile.TemporaryDirectory(prefix="schoolwacht-bench-") as name:
        path = Path(name) / "repeated.pcap"
        # In a process of its own, because a process begins with the peak of the one that started it.
        writing = _again(options.capture, "--times", str(options.times), "--write", str(path))
        packets = int(subprocess.run(writing, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"{options.capture.name} × {options.times}: {packets:,} packets, {path.stat().st_size >> 20} MiB")
        show({name: run(name, path) for name in options.only}, packets)
    to_wire(options.capture)


if __name__ == "__main__":
    main()

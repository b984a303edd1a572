"""100,000 indicators at an agent: memory, time to take another set in, microseconds an event; and inside Suricata.

``python -m tests.bench.indicators [--suricata]``. Memory is that of a process of its own which has loaded what a
capture has, before the set, with it, and at its highest while another takes its place. The peer is the same set in
dictionaries of objects. ``--suricata`` also measures what the data sets cost the real Suricata and how long a reload
takes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from schoolwacht.event import Event
from schoolwacht.indicators import IndicatorType, Known, encode_set, pack_set, read_set
from schoolwacht.match import IndicatorSet, in_memory
from schoolwacht_agent import app
from schoolwacht_agent.config import DEFAULT_HOME, SuricataTable
from schoolwacht_agent.indicators.keep import path_of, put
from schoolwacht_agent.indicators.match import CACHED, Matcher
from schoolwacht_agent.indicators.table import open_table
from schoolwacht_agent.sources.suricata.command import order
from schoolwacht_agent.sources.suricata.configuration import configuration, version_of
from schoolwacht_agent.sources.suricata.indicators import RULES, write
from schoolwacht_agent.sources.suricata.process import Process
from tests.bench.match import _events

NUMBER = 100_000


def made(rng: random.Random, number: int = NUMBER) -> list[Known]:
    """A third addresses, a third domains, the rest networks, fingerprints and certificates."""
    found: dict[str, Known] = {}
    while len(found) < number:
        sort = rng.random()
        address = f"{rng.randint(20, 95)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
        if sort < 0.35:
            one = Known(IndicatorType.ADDRESS, address)
        elif sort < 0.7:
            one = Known(IndicatorType.DOMAIN, f"{rng.getrandbits(48):x}.{rng.choice(('example', 'nl', 'com', 'xyz'))}")
        elif sort < 0.75:
            one = Known(IndicatorType.NETWORK, f"{address.rpartition('.')[0]}.0/24")
        elif sort < 0.85:
            one = Known(IndicatorType.JA3, f"{rng.getrandbits(128):032x}")
        elif sort < 0.95:
            one = Known(IndicatorType.CERTIFICATE_SHA1, f"{rng.getrandbits(160):040x}")
        else:
            one = Known(IndicatorType.CERTIFICATE_SHA256, f"{rng.getrandbits(256):064x}")
        found[one.value] = one
    return list(found.values())


def resident(pid: str = "self", field: str = "VmRSS") -> float:
    """MiB of a process: now, or (VmHWM) at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def _memory(state: str, sink: multiprocessing.SimpleQueue[tuple[float, ...]]) -> None:
    assert app  # what a capture loads
    matcher = Matcher(Path(state))
    before = resident()
    began = time.perf_counter()
    matcher.through([])
    took = time.perf_counter() - began
    rng = random.Random(3)
    for _ in range(60):  # in parts: 60,000 events at once would be 80 MiB by themselves
        matcher.through(_events(rng, 1000, ["20.0.0.1"], hosts=None))
    held = resident()
    other = multiprocessing.get_context("spawn").Process(target=_replace, args=(state,))
    other.start()
    other.join()
    before_swap = resident(field="VmHWM")
    matcher._due = 0.0
    matcher.through([])
    assert matcher.version
    sink.put((before, held, took, float(matcher.size), before_swap, resident(field="VmHWM")))


def _replace(state: str) -> None:
    """What the forwarder does."""
    put(Path(state), read_set(encode_set(made(random.Random(5))).raw, path="set"))


def _objects(raw: bytes, sink: multiprocessing.SimpleQueue[tuple[float, ...]]) -> None:
    before = resident()
    held = IndicatorSet(in_memory(made(random.Random(4))))
    sink.put((before, resident(), float(len(raw)), float(held.size)))


def measure(work: object, argument: object) -> tuple[float, ...]:
    """What a function measures of a process of its own."""
    context = multiprocessing.get_context("spawn")
    sink = context.SimpleQueue()
    process = context.Process(target=work, args=(argument, sink))  # type: ignore[arg-type]
    process.start()
    found: tuple[float, ...] = sink.get()
    process.join()
    return found


def timed(indicators: IndicatorSet, events: Sequence[Event]) -> float:
    """Microseconds an event."""
    began = time.process_time()
    for event in events:
        indicators.match(event)
    return (time.process_time() - began) / len(events) * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suricata", action="store_true")
    arguments = parser.parse_args()
    known = made(random.Random(4))
    encoded = encode_set(known)
    with tempfile.TemporaryDirectory(prefix="sw-bench-") as directory:
        state = Path(directory)
        began = time.perf_counter()
        put(state, read_set(encoded.raw, path="set"))
        written = time.perf_counter() - began
        size = path_of(state).stat().st_size
        packed = len(pack_set(encoded.raw))
        print(f"set      {len(known):,} indicators, {len(encoded.raw):,} bytes, {packed:,} on the wire")
        print(f"put      {written:.2f} s in the forwarder; file {size:,} bytes")
        before, held, took, number, high, highest = measure(_memory, directory)
        print(f"memory   {before:.0f} MiB without, {held:.0f} MiB with {number:,.0f} and full caches")
        print(f"swap     {took * 1000:.0f} ms to take a set in; highest {high:.0f} MiB before, {highest:.0f} after")
        bare, objects, _, _ = measure(_objects, encoded.raw)
        print(f"peer     {objects - bare:.0f} MiB more for the same set as objects")
        mapped = IndicatorSet(open_table(path_of(state)).tables, cached=CACHED)
        plain = IndicatorSet(in_memory(known))
        rng = random.Random(7)
        bad = [one.value for one in known if one.type is IndicatorType.ADDRESS]
        warm, cold = _events(rng, 50_000, bad, hosts=5000), _events(rng, 50_000, bad, hosts=None)
        for name, events in (("cold", cold), ("warm", warm)):
            one, other = timed(mapped, events), timed(plain, events)
            print(f"{name}     {one:.2f} µs an event, {one / other:.2f} × the set of objects")
        if arguments.suricata:
            inside(state / "suricata", known)


def inside(directory: Path, known: list[Known]) -> None:
    """Suricata at the loopback of this machine with and without the set."""
    directory.mkdir()
    socket = directory / "command.socket"
    found = []
    for indicators in ([], known):
        write(directory, indicators)
        text = configuration(
            SuricataTable(),
            version=version_of("suricata"),
            directory=directory,
            home=DEFAULT_HOME,
            rules=[directory / RULES],
            interface="lo",
            command=socket,
            reputation=True,
        )
        (directory / "suricata.yaml").write_text(text)
        process = Process("suricata", directory, ["--af-packet=lo", "--runmode", "workers"])
        try:
            while not process.has_started():
                time.sleep(0.1)
            pid = subprocess.run(
                ["cat", directory / "engine.pid"], capture_output=True, text=True, check=True
            ).stdout.strip()
            found.append(resident(pid))
            if indicators:
                began = time.perf_counter()
                order(socket, "reload-rules")  # the one that answers when it is done
                highest = resident(pid, "VmHWM")
                print(f"suricata {time.perf_counter() - began:.2f} s to reload, {highest:.0f} MiB at its highest")
        finally:
            process.end()
    print(f"suricata {found[0]:.0f} MiB without, {found[1]:.0f} MiB with {len(known):,}")


if __name__ == "__main__":
    main()

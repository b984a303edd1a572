"""The highest rate of packets that is taken from an interface without loss, over a veth pair between two namespaces.

    python -m tests.bench.live CAPTURE [--what packets,suricata,suricata-alone,ring] [--seconds 3] [--start 150000]

tcpreplay plays the capture over and over on one core, the receiver has the other. Receivers:

* ``packets``: the agent's capturing process with the own reader and everything on (standpoint, behaviour, minimise,
  spool with its fsyncs); goal: 150,000 packets/s;
* ``suricata``: the same with a Suricata of its own, both on the one core;
* ``suricata-alone``: the same Suricata with the same configuration and nobody who reads what it writes;
* ``ring``: nothing but the receive ring emptied, as a ceiling.

A rate counts as lossless if every packet that was sent was counted, none was dropped and no event was shed; it is tried
twice. From the rate of the start it goes up or down in steps of a third and then halves the interval three times.
The processor time is that of the receiver with its children.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from schoolwacht_agent.sources.packets.ring import Ring
from tests.bench.agents import Part, cpu_seconds, memory, write_config
from tests.bench.veth import Sent, Wire, playable, wire

_DROPS = re.compile(rb"packets: (\d+), drops: (\d+)")
#: Longest wait for the last figures: Suricata gives some every ten seconds.
_SETTLE_SECONDS = 14.0


class Run(NamedTuple):
    """One run: sent, counted, dropped; events shed; processor time in seconds; memory in bytes."""

    sent: Sent
    packets: int
    dropped: int
    shed: int
    cpu: float
    memory: int

    @property
    def lossless(self) -> bool:
        """Whether everything was seen."""
        return self.packets == self.sent.packets and not self.dropped and not self.shed

    def __str__(self) -> str:
        rate = self.sent.packets / self.sent.seconds
        missing = self.sent.packets - self.packets
        loss = f"{100 * missing / self.sent.packets:.2f} % lost" if missing else "nothing lost"
        shed = f", {self.shed:,} events shed" if self.shed else ""
        return (
            f"{rate:9,.0f} packets/s  {loss}{shed}  {1e6 * self.cpu / max(1, self.packets):.2f} CPU µs a packet, "
            f"{100 * self.cpu / self.sent.seconds:.0f} % of a core, {self.memory >> 20} MiB"
        )


class Play(NamedTuple):
    """What is played: over which wire, which capture, how fast, for how long."""

    wire: Wire
    capture: Path
    rate: int
    seconds: float

    def send(self) -> Sent:
        """Play it."""
        return self.wire.send(self.capture, rate=self.rate, seconds=self.seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path, nargs="?")
    parser.add_argument("--what", default=",".join(RECEIVERS))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--start", type=int, default=150_000)
    parser.add_argument("--once", action="store_true", help="only the rate of the start")
    parser.add_argument("--ring", metavar="INTERFACE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ring:
        empty_ring(options.ring)
        return
    if options.capture is None:
        parser.error("which capture is to be played?")
    with tempfile.TemporaryDirectory() as directory, wire("live") as pair:
        capture = playable(options.capture, Path(directory))
        best: dict[str, int] = {}
        for name in options.what.split(","):
            print(name, flush=True)
            best[name] = highest(RECEIVERS[name], pair, capture, options)
            print(f"  without loss: {best[name]:,} packets/s", flush=True)
    if "suricata" in best and best.get("suricata-alone"):
        print(f"ratio: Suricata with agent to Suricata alone {best['suricata'] / best['suricata-alone']:.2f}")
    if "packets" in best and best.get("ring"):
        print(f"ratio: packets to bare ring {best['packets'] / best['ring']:.2f}")


def highest(receiver: Callable[[Play], Run], pair: Wire, capture: Path, options: argparse.Namespace) -> int:
    """The highest lossless rate, packets/s; 0 if there is none above 10,000."""

    reached = 0

    def lossless(rate: int) -> bool:
        nonlocal reached
        for _ in range(2):
            run = receiver(Play(pair, capture, rate, options.seconds))
            print(f"  asked {rate:9,}: {run}", flush=True)
            if run.lossless:
                reached = max(reached, int(run.sent.packets / run.sent.seconds))
                return True
        return False

    rate, good, bad = options.start, 0, 0
    while (not good or not bad) and 10_000 <= rate <= 1_500_000:
        if lossless(rate):
            good = rate
            if reached < 0.9 * rate:
                print("  the sender gives no more", flush=True)
                return reached
            rate = int(rate * 4 / 3)
        else:
            bad = rate
            rate = int(rate * 3 / 4)
        if options.once:
            return reached
    for _ in range(3 if good and bad else 0):
        rate = (good + bad) // 2
        if lossless(rate):
            good = rate
        else:
            bad = rate
    return reached


def agent(play: Play, engine: str) -> Run:
    """The agent's capturing process."""
    with tempfile.TemporaryDirectory() as directory:
        tables = {"source": {"engine": engine, "interface": play.wire.interface}}
        with Part(write_config(Path(directory), tables), "capture", wrap=play.wire.listening) as part:
            part.wait(lambda: part.listens() and part.beat() is not None, 30)
            time.sleep(0.5 if engine == "packets" else 1.5)
            before = cpu_seconds(part.process.pid)
            sent = play.send()
            used = cpu_seconds(part.process.pid) - before

            def figures(name: str) -> int:
                beat = part.beat()
                return beat.figures.get(name, 0) if beat is not None else 0

            part.wait(lambda: figures("packets") + figures("dropped") >= sent.packets, _SETTLE_SECONDS, every=0.2)
            size = memory(part.process.pid, "VmHWM")
            return Run(sent, figures("packets"), figures("dropped"), figures("shed"), used, size)


def suricata_alone(play: Play) -> Run:
    """Suricata with the configuration that the agent gives it."""
    with tempfile.TemporaryDirectory() as directory:
        tables = {"source": {"engine": "suricata", "interface": play.wire.interface}}
        with Part(write_config(Path(directory), tables), "capture", wrap=play.wire.listening) as part:
            part.wait(part.listens, 30)
            arguments = _command_below(part.process.pid)
        os.chdir(directory)
        with open("alone.log", "wb") as log:  # noqa: PTH123 - as short as can be
            process = subprocess.Popen(play.wire.listening(arguments), stdout=log, stderr=log)
        sockets = Path(f"/proc/{process.pid}/net/packet")
        until = time.monotonic() + 30
        while time.monotonic() < until and not _has_socket(sockets):
            time.sleep(0.05)
        time.sleep(1.5)
        before = cpu_seconds(process.pid)
        sent = play.send()
        used = cpu_seconds(process.pid) - before
        time.sleep(0.5)
        size = memory(process.pid, "VmHWM")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        said = Path("alone.log").read_bytes()
        found = _DROPS.findall(said)
        os.chdir("/")
        if not found:
            raise RuntimeError(f"Suricata gives no figures: {said[-2000:].decode(errors='replace')}")
        packets, drops = map(int, found[-1])
        # Suricata counts the dropped ones among the packets.
        return Run(sent, packets - drops, drops, 0, used, size)


def bare_ring(play: Play) -> Run:
    """The receive ring, emptied."""
    command = [sys.executable, "-m", "tests.bench.live", "--ring", play.wire.interface]
    process = subprocess.Popen(play.wire.listening(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    before = cpu_seconds(process.pid)
    sent = play.send()
    used = cpu_seconds(process.pid) - before
    time.sleep(0.3)
    size = memory(process.pid, "VmHWM")
    process.send_signal(signal.SIGTERM)
    packets, dropped = map(int, process.communicate(timeout=20)[0].split())
    return Run(sent, packets, dropped, 0, used, size)


def empty_ring(interface: str) -> None:
    """Empty a ring until SIGTERM; print packets and drops."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    packets = 0
    with Ring(interface, 32 << 20) as ring:
        print("ready", flush=True)
        while not stopped:
            batch = ring.next(0.2)
            packets += len(batch.records) if batch is not None else 0
        print(packets, ring.dropped())


def _has_socket(sockets: Path) -> bool:
    with suppress(OSError):
        return len(sockets.read_text(encoding="ascii").splitlines()) > 1
    return False


def _command_below(pid: int) -> list[str]:
    """The command line of the Suricata that a process has started."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        words = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
        if any(word.endswith("suricata.yaml") for word in words):
            return words
    raise RuntimeError("the agent has started no Suricata")


#: What can listen, by name.
RECEIVERS: dict[str, Callable[[Play], Run]] = {
    "packets": lambda play: agent(play, "packets"),
    "suricata": lambda play: agent(play, "suricata"),
    "suricata-alone": suricata_alone,
    "ring": bare_ring,
}


if __name__ == "__main__":
    main()

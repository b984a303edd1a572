"""A wire of its own for benchmarks: two network namespaces, a veth pair between them, and captures played over it.

Needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN), tcpreplay and ethtool. Nothing leaves the two namespaces. Offloads and
IPv6 are off, so that what is received is exactly what was sent.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import zstandard

_SENT = re.compile(rb"Actual: (\d+) packets \((\d+) bytes\) sent in ([\d.]+) seconds")
#: Longest frame that is sent, bytes; longer ones of a capture are left out.
FRAME_MAX = 1600


class Sent(NamedTuple):
    """What tcpreplay says it has sent."""

    packets: int
    bytes: int
    seconds: float


class Wire:
    """The two ends: ``inside`` listens on ``interface``, ``outside`` sends.

    Args:
        name: a short word that is in the names of the namespaces.
        cores: processors of the sender and of the receiver.
    """

    interface = "swin0"
    _sending = "swout0"

    def __init__(self, name: str, cores: tuple[int, int]) -> None:
        self.inside, self.outside = f"sw-{name}-in-{os.getpid()}", f"sw-{name}-out-{os.getpid()}"
        self._cores = cores

    def make(self) -> None:
        """Make both ends."""
        for namespace in (self.inside, self.outside):
            _ip("netns", "add", namespace)
            for which in ("all", "default"):
                _ip("netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{which}.disable_ipv6=1")
        ends = ((self.inside, self.interface), (self.outside, self._sending))
        one, other = ends
        _ip("link", "add", one[1], "netns", one[0], "type", "veth", "peer", "name", other[1], "netns", other[0])
        for namespace, interface in ends:
            within = ("netns", "exec", namespace)
            _ip(*within, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            _ip(*within, "ip", "link", "set", interface, "mtu", str(FRAME_MAX), "up")

    def remove(self) -> None:
        """Remove both ends, whatever there is of them."""
        for namespace in (self.inside, self.outside):
            subprocess.run([_program("ip"), "netns", "delete", namespace], check=False, capture_output=True)

    def set_state(self, state: str) -> None:
        """``up`` or ``down``: of the receiving interface."""
        _ip("netns", "exec", self.inside, "ip", "link", "set", self.interface, state)

    def listening(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command at the receiving end, on its processor."""
        where = ["netns", "exec", self.inside, "taskset", "-c", str(self._cores[1])]
        return [_program("ip"), *where, *command]

    def send(self, capture: Path, *, rate: int, seconds: float) -> Sent:
        """Play a capture over and over at so many packets a second (0: as fast as it goes); ends by itself."""
        speed = [f"--pps={rate}"] if rate else ["--topspeed"]
        command = [
            _program("ip"), "netns", "exec", self.outside, "taskset", "-c", str(self._cores[0]),
            "tcpreplay", "-q", "-K", "-T", "gtod", "--loop=0", f"--duration={max(1, round(seconds))}", *speed,
            "-i", self._sending, str(capture),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=seconds + 60, check=False)
        found = _SENT.search(done.stdout)
        if found is None:
            raise RuntimeError(f"tcpreplay: {(done.stderr or done.stdout).decode(errors='replace').strip()}")
        return Sent(int(found[1]), int(found[2]), float(found[3]))


@contextmanager
def wire(name: str, cores: tuple[int, int] = (0, 1)) -> Iterator[Wire]:
    """A wire until the block ends."""
    made = Wire(name, cores)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def playable(capture: Path, directory: Path) -> Path:
    """A capture as tcpreplay can play it: unpacked, without frames that the wire does not carry."""
    plain = directory / "plain.pcap"
    if capture.suffix == ".zst":
        with capture.open("rb") as packed, plain.open("wb") as file:
            zstandard.ZstdDecompressor().copy_stream(packed, file)
    else:
        plain = capture
    short = directory / "played.pcap"
    subprocess.run(
        [_program("tshark"), "-r", str(plain), "-Y", f"frame.len <= {FRAME_MAX}", "-F", "pcap", "-w", str(short)],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    return short


def _ip(*words: str) -> None:
    subprocess.run([_program("ip"), *words], check=True, capture_output=True, timeout=20)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed (deploy/dev/system-packages.sh)")
    return found

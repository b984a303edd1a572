"""Hostile input for scapy on its lead: the packets that are known to make it loop, and damaged ones of each task.

scapy runs in a process of its own; an input may cost that process, never the capture, and the next packet is served
again within two seconds.
"""

from __future__ import annotations

import time
from struct import pack

from schoolwacht_agent.sources.packets.rare import Rare
from tests.fuzz.harness import Harness, main
from tests.schoolwacht_agent.sources.packets.made import ipv4, udp


def l2tp(inner: bytes) -> bytes:
    """An L2TP data message with a PPP frame of IPv4."""
    return pack(">HHH", 0x0002, 1, 1) + b"\x00\x21" + inner


#: What it reads, and what is found in it.
PLAIN, INNER = l2tp(ipv4(udp())), (0x0800, ipv4(udp()))
#: What has made scapy loop: a RADIUS attribute of length 0 (CVE-2019-1010142), DHCP options without an end, names that
#: point at themselves, lengths of nought in options of TCP and elements of 802.11.
_RADIUS = pack(">BBH16s", 1, 1, 24, bytes(16)) + b"\x01\x00" * 60
_DHCP = bytes(236) + b"\x63\x82\x53\x63" + b"\x35\x00" * 200
_DNS = pack(">HHHHHH", 1, 0, 60, 0, 0, 0) + b"\xc0\x0c" * 200
_TCP = pack(">HHIIBBHHH", 1, 2, 3, 4, 0xF0, 2, 5, 6, 0) + b"\x02\x00" * 20
LOOPS = {
    "radius attribute of length 0": l2tp(ipv4(udp(_RADIUS, source=1812, destination=1812))),
    "dhcp option of length 0": l2tp(ipv4(udp(_DHCP, source=68, destination=67))),
    "dns name that points at itself": l2tp(ipv4(udp(_DNS, source=53, destination=53))),
    "tcp option of length 0": l2tp(ipv4(_TCP, protocol=6)),
    "ip option of length 0": l2tp(b"\x4f" + ipv4(udp())[1:20] + b"\x44\x00" * 20),
}
#: Task → how a packet of it comes.
LINKS = {b"w": 105, b"r": 127, b"p": 192}
SAMPLES = [
    *(b"l" + packet for packet in LOOPS.values()),
    b"l" + PLAIN,
    b"w\x80\x00\x00\x00" + b"\xff" * 6 + b"\x02" * 12 + bytes(14) + b"\x00\x00\x01\x00\x03\x00" * 30,
    b"w\x08\x01\x00\x00" + b"\x02" * 18 + b"\x00\x00\xaa\xaa\x03\x00\x00\x00\x08\x00" + ipv4(udp()),
    b"r\x00\x00\x08\x00\x00\x00\x00\x00\x08\x01\x00\x00"
    + b"\x02" * 18
    + b"\x00\x00\xaa\xaa\x03\x00\x00\x00\x08\x00"
    + ipv4(udp()),
    b"p\x00\x00\x08\x00\x01\x00\x00\x00" + ipv4(udp()),
    b"a" + bytes(4) + b"\x02" * 12 + b"\x08\x00" + ipv4(udp()),
]


class Lead:
    """One scapy for all inputs, as in a capture; another if it failed as often as one may."""

    def __init__(self) -> None:
        self.failures = 0
        self.last = b""
        #: Seconds until the next packet was served.
        self.longest = 0.0
        self._rare = self._made()
        self._second = 0

    def _made(self) -> Rare:
        made = Rare(1000, lambda _: None, wait=True)
        made.l2tp(0, PLAIN)  # it takes a second or two to load
        return made

    def ask(self, data: bytes) -> object:
        """One packet, its first byte says of what."""
        self._second += 1
        rare, kind, packet = self._rare, data[:1], data[1:]
        before = rare._failures
        if kind in LINKS:
            found: object = rare.unwrap(self._second, LINKS[kind], 0, packet)
        elif kind == b"a":
            found = rare.unwrap(self._second, -1, 0x88E7, packet)
        else:
            found = rare.l2tp(self._second, packet)
        if rare._failures > before:
            self.failures += 1
            self.last = data
            began = time.monotonic()
            rare.close()
            self._rare = self._made()
            assert self._rare.l2tp(0, PLAIN) == INNER
            self.longest = max(self.longest, time.monotonic() - began)
        return found

    def close(self) -> None:
        """End it."""
        self._rare.close()


LEAD = Lead()
HARNESSES = [Harness("scapy", LEAD.ask, SAMPLES, 9000, slow=10.0)]

if __name__ == "__main__":
    main(HARNESSES)
    print(f"scapy was started anew {LEAD.failures} times, {LEAD.longest:.1f} s at most; the last for {LEAD.last.hex()}")
    LEAD.close()

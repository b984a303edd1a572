# ruff: noqa: INP001 - a script beside data, in no package
"""Make the examples of D08, D19, D30 and D31, which would need an RDP server, a gigabyte and minutes of flood.

    .venv/bin/python rules/examples/behaviour/make.py

Each packet is whole in its headers and its length; of payload, which no detector reads, the bytes are left out as by a
capture with a short snapshot length, and compressed files hold many alike. The same call makes the same bytes. All
other behaviour is recorded from real programs: ``tests/captures``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

HERE = Path(__file__).resolve().parent
START = 1_790_000_000
PUPIL, SERVER, OUTSIDE, RESOLVER = "10.21.4.7", "10.21.0.20", "203.0.113.66", "10.21.0.53"


class Frame(NamedTuple):
    """A captured packet: when, what of it was kept, and how long it was."""

    at: float
    kept: bytes
    length: int


def frame(at: float, packet: Packet, *, more: int = 0) -> Frame:
    """A packet, with ``more`` bytes of payload that its headers count and nobody kept."""
    whole = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet
    whole[IP].len = len(packet) + more
    data = bytes(whole)
    return Frame(at, data, len(data) + more)


def conversation(at: float, client: tuple[str, int], server: tuple[str, int], sent: int, got: int) -> Iterator[Frame]:
    """A TCP conversation in which the client sends and gets so many bytes, in segments of 60,000 at most."""
    ends = (client, server)
    numbers = [1000, 5000]

    def tcp(way: int, flags: str, size: int = 0) -> Frame:
        nonlocal at
        at += 0.01
        here, there = ends[way], ends[1 - way]
        made = IP(src=here[0], dst=there[0]) / TCP(
            sport=here[1], dport=there[1], flags=flags, seq=numbers[way], ack=numbers[1 - way] if "A" in flags else 0
        )
        numbers[way] = (numbers[way] + size + (1 if set(flags) & {"S", "F"} else 0)) % 2**32
        return frame(at, made, more=size)

    yield from (tcp(0, "S"), tcp(1, "SA"), tcp(0, "A"))
    for way, size in ((0, sent), (1, got)):
        for done in range(0, size, 60_000):
            yield tcp(way, "PA", min(size - done, 60_000))
            yield tcp(1 - way, "A")
    yield from (tcp(0, "FA"), tcp(1, "FA"), tcp(0, "A"))


def remote_desktop(*, number: int, each: int) -> Iterator[Frame]:
    """So many log-ins over RDP from outside, half a minute apart; each gets so many bytes."""
    for place in range(number):
        yield from conversation(START + place * 20, (OUTSIDE, 40_000 + place), (SERVER, 3389), 1500, each)


def questions(*, characters: int) -> Iterator[Frame]:
    """80 different names below one domain, each with so many characters before it."""
    for place in range(80):
        name = (hashlib.sha256(str(place).encode()).hexdigest() * 2)[:characters]
        labels = ".".join(name[start : start + 60] for start in range(0, characters, 60))
        asked = DNS(id=place, rd=1, qd=DNSQR(qname=f"{labels}.tunnel.example.com"))
        yield frame(START + place, IP(src=PUPIL, dst=RESOLVER) / UDP(sport=50_000 + place, dport=53) / asked)


def flood(*, seconds: int) -> Iterator[Frame]:
    """Ten minutes of a packet every five seconds from outside, then 2,000 a second."""

    def packet(at: int) -> Frame:
        source = IP(src=OUTSIDE, dst=SERVER) / UDP(sport=1024 + at - START, dport=9999) / Raw(bytes(18))
        return frame(at, source)

    for at in range(START, START + 600, 5):
        yield packet(at)
    for at in range(START + 600, START + 600 + seconds):
        yield from [packet(at)] * 2000


def write(name: str, frames: Iterator[Frame]) -> None:
    """Write a capture: pcap, compressed where its name says so."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
    for each in frames:
        second = int(each.at)
        data += struct.pack("<IIII", second, round((each.at - second) * 1e6), len(each.kept), each.length) + each.kept
    path.write_bytes(zstandard.compress(bytes(data), 19) if path.suffix == ".zst" else data)


def main() -> None:
    """Make them all."""
    write("d08-rdp-outside/match/guesses.pcap", remote_desktop(number=22, each=1800))
    write("d08-rdp-outside/miss/sessions.pcap", remote_desktop(number=22, each=90_000))
    write("d19-dns-tunnel/match/long-names.pcap", questions(characters=110))
    write("d19-dns-tunnel/miss/short-names.pcap", questions(characters=24))
    upload, download = (PUPIL, 50_000), ("203.0.113.20", 443)
    write("d30-upload/match/gigabyte.pcap.zst", conversation(START, upload, download, 1_200_000_000, 9000))
    write("d30-upload/miss/download.pcap.zst", conversation(START, upload, download, 9000, 1_200_000_000))
    write("d31-inbound-flood/match/flood.pcap.zst", flood(seconds=150))
    write("d31-inbound-flood/miss/short.pcap.zst", flood(seconds=60))


if __name__ == "__main__":
    main()

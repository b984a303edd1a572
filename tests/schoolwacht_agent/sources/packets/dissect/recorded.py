"""``programs.pcap`` taken apart for the tests: Ethernet, IPv4, TCP and UDP of one clean capture, nothing more.

It is not the product's own reader on purpose: what the dissectors are tested with does not depend on it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from socket import inet_ntoa
from struct import unpack_from
from typing import NamedTuple

PROGRAMS = Path(__file__).with_name("programs.pcap")


class Conversation(NamedTuple):
    """A TCP connection: both ends, and the bytes of both directions."""

    client: tuple[str, int]
    server: tuple[str, int]
    up: bytes
    down: bytes


class Datagram(NamedTuple):
    """A UDP datagram."""

    source: tuple[str, int]
    destination: tuple[str, int]
    payload: bytes


@cache
def frames() -> tuple[bytes, ...]:
    """The frames of the capture."""
    data = PROGRAMS.read_bytes()
    assert data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"), "a little-endian pcap"
    at = 24
    found = []
    while at < len(data):
        (length,) = unpack_from("<I", data, at + 8)
        found.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return tuple(found)


def _packets(protocol: int) -> list[tuple[str, str, bytes]]:
    found = []
    for frame in frames():
        if frame[12:14] == b"\x08\x00" and frame[23] == protocol:
            (total,) = unpack_from(">H", frame, 16)
            start = 14 + 4 * (frame[14] & 15)
            found.append((inet_ntoa(frame[26:30]), inet_ntoa(frame[30:34]), frame[start : 14 + total]))
    return found


@cache
def conversations() -> tuple[Conversation, ...]:
    """The TCP connections in the order of their begin."""
    halves: dict[tuple[str, int, str, int], tuple[int, dict[int, bytes]]] = {}
    opened = []
    for source, destination, packet in _packets(6):
        source_port, destination_port, sequence = unpack_from(">HHI", packet)
        key = (source, source_port, destination, destination_port)
        if packet[13] & 2:
            halves[key] = (sequence + 1, {})
            if not packet[13] & 16:
                opened.append(key)
        first, segments = halves[key]
        if payload := packet[4 * (packet[12] >> 4) :]:
            segments.setdefault((sequence - first) & 0xFFFFFFFF, payload)
    return tuple(
        Conversation(key[:2], key[2:], _joined(halves[key][1]), _joined(halves[key[2:] + key[:2]][1])) for key in opened
    )


def _joined(segments: dict[int, bytes]) -> bytes:
    data = b""
    for place in sorted(segments):
        assert place <= len(data), "the capture has a gap"
        data += segments[place][len(data) - place :]
    return data


@cache
def datagrams() -> tuple[Datagram, ...]:
    """The UDP datagrams."""
    found = []
    for source, destination, packet in _packets(17):
        source_port, destination_port, length = unpack_from(">HHH", packet)
        found.append(Datagram((source, source_port), (destination, destination_port), packet[8:length]))
    return tuple(found)


def to_port(port: int) -> list[Conversation]:
    """The connections to one server port."""
    return [one for one in conversations() if one.server[1] == port]


def dns_payloads() -> list[bytes]:
    """Every DNS message, of UDP and of TCP."""
    found = [one.payload for one in datagrams() if 53 in (one.source[1], one.destination[1])]
    for one in to_port(53):
        for stream in (one.up, one.down):
            (length,) = unpack_from(">H", stream)
            found.append(stream[2 : 2 + length])
    return found


def dhcp_payloads() -> list[bytes]:
    """Every DHCP message."""
    return [one.payload for one in datagrams() if one.destination[1] in (67, 68)]


def arp_payloads() -> list[bytes]:
    """What follows the Ethernet header of every ARP frame."""
    return [frame[14:] for frame in frames() if frame[12:14] == b"\x08\x06"]

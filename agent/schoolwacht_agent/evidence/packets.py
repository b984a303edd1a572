"""Which packets belong to a signal, and capture files of them. Pure.

A packet belongs if it holds an IP header (in whatever layers around it: VLAN, tunnel) with the signal's ends in either
direction, or an ARP message of one of them. Source of the file format: draft-ietf-opsawg-pcap, nanosecond variant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple, Self

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.records import TAGGED, Batch, Link

#: IP headers lie no further into a packet than this; beyond it, addresses are payload.
HEADERS = 192
#: Bytes of a packet that are kept at most (offloaded segments reach 64 KiB).
SNAP = 4096
MAGIC = 0xA1B23C4D
FILE_HEADER = struct.Struct("<IHHiIII")
RECORD_HEADER = struct.Struct("<IIII")
_PORTS = struct.Struct(">HH")
#: ``network.transport`` → protocol number.
_PROTOCOLS: MappingProxyType[str, int] = MappingProxyType(
    {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ipv6-icmp": 58, "sctp": 132}
)
_WITH_PORTS = frozenset({6, 17, 132})
#: IPv6 extension headers that are walked over: hop-by-hop, routing, fragment, destination options.
_EXTENSIONS = frozenset({0, 43, 44, 60})
_ARP = b"\x00\x01\x08\x00\x06\x04"


class Packet(NamedTuple):
    """A packet: link type, seconds since 1970, length on the wire, and the bytes that are kept of it."""

    link: int
    seconds: float
    wire: int
    data: bytes


class Want(NamedTuple):
    """The packets that are looked for. ``None`` is any; the ends are taken in either direction."""

    source: bytes
    destination: bytes | None
    source_port: int | None
    destination_port: int | None
    protocol: int | None

    @classmethod
    def of(cls, signal: Event) -> Self | None:
        """What a signal is about; None if it names no address."""
        try:
            ends = [ip_address(text).packed for text in (signal.source_ip, signal.destination_ip) if text is not None]
        except ValueError:
            return None
        if not ends:
            return None
        swapped = signal.source_ip is None
        ports = (signal.source_port, signal.destination_port)
        protocol = _PROTOCOLS.get(signal.network_transport or "")
        if protocol not in _WITH_PORTS:
            ports = (None, None)
        if swapped:
            ports = (ports[1], ports[0])
        return cls(ends[0], ends[1] if len(ends) == 2 else None, *ports, protocol)

    def has(self, data: bytes) -> bool:
        """Whether a packet belongs."""
        head = data[:HEADERS]
        offsets = ((12, 16), (16, 12)) if len(self.source) == 4 else ((8, 24), (24, 8))
        at = head.find(self.source)
        while at >= 0:
            for mine, other in offsets:
                if at >= mine and self._fits(data, at - mine, mine < other, other):
                    return True
            at = head.find(self.source, at + 1)
        return self._in_arp(head)

    def _fits(self, data: bytes, start: int, forward: bool, other: int) -> bool:
        width = len(self.source)
        if len(data) < start + (20 if width == 4 else 40) or data[start] >> 4 != (4 if width == 4 else 6):
            return False
        if self.destination is not None and data[start + other : start + other + width] != self.destination:
            return False
        protocol, at, first = _transport(data, start, width)
        if self.protocol is not None and protocol != self.protocol:
            return False
        if not first or protocol not in _WITH_PORTS or len(data) < at + 4:
            # A later fragment, or cut: the ends must do.
            return True
        source, destination = _PORTS.unpack_from(data, at)
        if not forward:
            source, destination = destination, source
        return self.source_port in (None, source) and self.destination_port in (None, destination)

    def _in_arp(self, head: bytes) -> bool:
        if self.protocol is not None or len(self.source) != 4:
            return False
        at = head.find(_ARP)
        return at >= 0 and self.source in (head[at + 14 : at + 18], head[at + 24 : at + 28])


def _transport(data: bytes, start: int, width: int) -> tuple[int, int, bool]:
    """Protocol number, where its header begins, and whether it is there (not a later fragment)."""
    if width == 4:
        first = not (data[start + 6] << 8 | data[start + 7]) & 0x1FFF
        return data[start + 9], start + (data[start] & 15) * 4, first
    kind, at = data[start + 6], start + 40
    first = True
    while kind in _EXTENSIONS and at + 8 <= len(data):
        if kind == 44:
            first = first and not (data[at + 2] << 8 | data[at + 3]) & 0xFFF8
            kind, at = data[at], at + 8
        else:
            kind, at = data[at], at + 8 + data[at + 1] * 8
    return kind, at, first


def packets_of(batch: Batch) -> Iterator[Packet]:
    """The packets of a batch, the VLAN tag put back that the kernel took out of the frame."""
    buffer, link, records = batch
    for seconds, wire, start, captured, tci in records:
        if tci and link == Link.ETHERNET:
            tag = b"\x81\x00" + (tci & (TAGGED - 1)).to_bytes(2)
            data = buffer[start : start + 12] + tag + buffer[start + 12 : start + min(captured, SNAP - 4)]
            yield Packet(link, seconds, wire + 4, data)
        else:
            yield Packet(link, seconds, wire, buffer[start : start + min(captured, SNAP)])


def file_header(link: int) -> bytes:
    """What a capture file begins with."""
    return FILE_HEADER.pack(MAGIC, 2, 4, 0, 0, 262_144, link)


def record(packet: Packet) -> bytes:
    """A packet as it stands in a capture file."""
    whole = int(packet.seconds)
    nanoseconds = min(999_999_999, int((packet.seconds - whole) * 1e9))
    size = len(packet.data)
    return RECORD_HEADER.pack(whole, nanoseconds, size, max(size, packet.wire)) + packet.data


def capture_file(packets: Iterable[Packet], link: int) -> bytes:
    """A capture file of packets of one link type."""
    return file_header(link) + b"".join(record(packet) for packet in packets)

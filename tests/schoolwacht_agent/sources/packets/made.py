"""Frames, packets and capture files made for tests. It shares no code with the engine on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from struct import pack

CLIENT, SERVER = "10.21.4.30", "198.51.100.7"
CLIENT6, SERVER6 = "fd00::30", "2001:db8::7"
MAC_CLIENT, MAC_SERVER = bytes.fromhex("020000000030"), bytes.fromhex("020000000007")
START = 1_700_000_000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def ethernet(packet: bytes, *, kind: int | None = None, turned: bool = False) -> bytes:
    """A frame from the client to the server; the other way if ``turned``."""
    if kind is None:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    macs = MAC_CLIENT + MAC_SERVER if turned else MAC_SERVER + MAC_CLIENT
    return macs + pack(">H", kind) + packet


def tagged(frame: bytes, tag: int, *, kind: int = 0x8100) -> bytes:
    """The frame with a VLAN tag put before what is there."""
    return frame[:12] + pack(">HH", kind, tag) + frame[12:]


def ipv4(
    payload: bytes,
    *,
    protocol: int = 17,
    source: str = CLIENT,
    destination: str = SERVER,
    identification: int = 1,
    offset: int = 0,
    more: bool = False,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    """An IPv4 packet; ``offset`` of a fragment in bytes."""
    place = (0x2000 if more else 0) | offset >> 3
    header = 20 + len(options)
    length = header + len(payload) if total is None else total
    return (
        pack(">BBHHHBBH", 0x40 | header >> 2, 0, length, identification, place, 64, protocol, 0)
        + ip_address(source).packed
        + ip_address(destination).packed
        + options
        + payload
    )


def ipv6(
    payload: bytes, *, protocol: int = 17, source: str = CLIENT6, destination: str = SERVER6, length: int | None = None
) -> bytes:
    """An IPv6 packet; ``protocol`` is the first next header."""
    size = len(payload) if length is None else length
    return (
        pack(">IHBB", 6 << 28, size, protocol, 64)
        + ip_address(source).packed
        + ip_address(destination).packed
        + payload
    )


def udp(payload: bytes = b"hello", *, source: int = 40_000, destination: int = 9_999) -> bytes:
    """A datagram."""
    return pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(
    payload: bytes = b"", *, flags: int = ACK, sequence: int = 1_000, source: int = 40_000, destination: int = 9_999
) -> bytes:
    """A segment."""
    return pack(">HHIIBBHHH", source, destination, sequence & 0xFFFFFFFF, 0, 0x50, flags, 8_192, 0, 0) + payload


def up(payload: bytes = b"", **fields: int) -> bytes:
    """A frame with a TCP segment of the client."""
    return ethernet(ipv4(tcp(payload, **fields), protocol=6))


def down(payload: bytes = b"", *, source: int = 40_000, destination: int = 9_999, **fields: int) -> bytes:
    """A frame with a TCP segment of the server to the client whose port is ``source``."""
    segment = tcp(payload, source=destination, destination=source, **fields)
    return ethernet(ipv4(segment, protocol=6, source=SERVER, destination=CLIENT), turned=True)


def pcap(
    frames: Iterable[bytes | tuple[float, bytes]],
    *,
    link: int = 1,
    order: str = "<",
    nanoseconds: bool = False,
    snap: int = 262_144,
) -> bytes:
    """A classic capture file. A frame without a time comes a millisecond after the one before."""
    made = [pack(f"{order}IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, snap, link)]
    now = float(START)
    for item in frames:
        now, frame = item if isinstance(item, tuple) else (now + 0.001, item)
        whole = int(now)
        ticks = round((now - whole) * (1e9 if nanoseconds else 1e6))
        kept = frame[:snap]
        made += [pack(f"{order}IIII", whole, ticks, len(kept), len(frame)), kept]
    return b"".join(made)


def block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    """A block of a pcapng file."""
    padded = body + bytes(-len(body) % 4)
    return pack(f"{order}II", kind, 12 + len(padded)) + padded + pack(f"{order}I", 12 + len(padded))


def section(*, order: str = "<") -> bytes:
    """A section header block."""
    return block(0x0A0D0D0A, pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order=order)


def option(code: int, value: bytes, *, order: str = "<") -> bytes:
    """An option of a block."""
    return pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(link: int = 1, *, options: bytes = b"", snap: int = 0, order: str = "<") -> bytes:
    """An interface description block."""
    return block(1, pack(f"{order}HHI", link, 0, snap) + options, order=order)


def enhanced(frame: bytes, ticks: int, *, number: int = 0, captured: int | None = None, order: str = "<") -> bytes:
    """An enhanced packet block."""
    kept = len(frame) if captured is None else captured
    head = pack(f"{order}5I", number, ticks >> 32, ticks & 0xFFFFFFFF, kept, len(frame))
    return block(6, head + frame, order=order)

"""How long a capture is, from the times of its records: what a demo needs to know to end in time.

Reads pcap and pcapng; whatever it does not understand ends its reading, for the agent is who judges captures.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

_PCAP = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e6),
    b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9),
    b"\xa1\xb2\x3c\x4d": (">", 1e9),
}
_SECTION = b"\x0a\x0d\x0d\x0a"
#: Beginnings of what the agent reads: captures, and captures compressed with zstd or gzip.
_STARTS = (*_PCAP, _SECTION, b"\x28\xb5\x2f\xfd", b"\x1f\x8b")
_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_INTERFACE, _ENHANCED = 1, 6
_RESOLUTION = 9


def begins_like_a_capture(path: Path) -> bool:
    """Whether a file can be a capture at all. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return file.read(4).startswith(_STARTS)


def seconds(path: Path) -> float | None:
    """Seconds from the earliest to the latest packet; None if that cannot be seen (no capture, or a compressed one).

    Raises OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file cannot be mapped
            return None
        with data:
            earliest = latest = None
            for moment in _moments(data):
                earliest = moment if earliest is None else min(earliest, moment)
                latest = moment if latest is None else max(latest, moment)
    return None if earliest is None or latest is None else latest - earliest


def _moments(data: mmap.mmap) -> Iterator[float]:
    if data[:4] in _PCAP:
        yield from _pcap(data, *_PCAP[data[:4]])
    elif data[:4] == _SECTION:
        yield from _pcapng(data)


def _pcap(data: mmap.mmap, order: str, unit: float) -> Iterator[float]:
    header = struct.Struct(f"{order}IIII")
    place = 24
    while place + header.size <= len(data):
        whole, part, length, _ = header.unpack_from(data, place)
        yield whole + part / unit
        place += header.size + length


def _pcapng(data: mmap.mmap) -> Iterator[float]:
    order, units, place = "<", [1e6], 0
    while place + 12 <= len(data):
        if data[place : place + 4] == _SECTION:
            order, units = _ORDER.get(data[place + 8 : place + 12], "<"), []
        kind, length = struct.unpack_from(f"{order}II", data, place)
        if length < 12 or place + length > len(data):
            return
        if kind == _INTERFACE:
            units.append(_unit(data[place + 16 : place + length - 4], order))
        elif kind == _ENHANCED and length >= 32:
            interface, high, low = struct.unpack_from(f"{order}III", data, place + 8)
            if interface < len(units):
                yield ((high << 32) | low) / units[interface]
        place += length


def _unit(options: bytes, order: str) -> float:
    """Ticks a second of an interface: option if_tsresol, microseconds without it."""
    place = 0
    while place + 4 <= len(options):
        code, length = struct.unpack_from(f"{order}HH", options, place)
        if code == _RESOLUTION and length == 1 and place + 4 < len(options):
            value = options[place + 4]
            return float(2 ** (value & 0x7F)) if value & 0x80 else float(10**value)
        place += 4 + (length + 3) // 4 * 4
    return 1e6

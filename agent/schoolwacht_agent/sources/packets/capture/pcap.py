"""The classic capture file: a header of 24 bytes, then records of 16 bytes and the packet.

Both byte orders, micro- and nanoseconds. Source: draft-ietf-opsawg-pcap. A record that claims to be longer than any
packet ends the reading, as it does in libpcap: behind it there is no next record to be found.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import MappingProxyType

from schoolwacht_agent.sources.packets.capture.pieces import Pieces
from schoolwacht_agent.sources.packets.records import CAPTURED_MAX, Batch

#: The first four bytes, and what they say: byte order, and the length of one tick in seconds.
MAGICS: MappingProxyType[bytes, tuple[str, float]] = MappingProxyType(
    {
        b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
        b"\xa1\xb2\xc3\xd4": (">", 1e-6),
        b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
        b"\xa1\xb2\x3c\x4d": (">", 1e-9),
    }
)
_HEADER = 24
_RECORD = 16


def read_pcap(pieces: Pieces) -> Iterator[Batch]:
    """The packets of a file that begins with one of MAGICS."""
    header = pieces.peek(_HEADER)
    if len(header) < _HEADER:
        pieces.fail("is cut off in its header")
    order, tick = MAGICS[header[:4]]
    # The upper 16 bits are flags (length of the frame check sequence).
    link = struct.unpack_from(f"{order}I", header, 20)[0] & 0xFFFF
    pieces.skip(_HEADER)
    unpack = struct.Struct(f"{order}4I").unpack_from
    most = CAPTURED_MAX
    packets = 0
    going = True
    while going:
        buffer, size = pieces.buffer, pieces.size
        records: list[tuple[float, int, int, int, int]] = []
        append = records.append
        at = 0
        impossible = None
        last = size - _RECORD
        while at <= last:
            seconds, ticks, captured, wire = unpack(buffer, at)
            start = at + _RECORD
            end = start + captured
            if end > size or captured > most:
                impossible = captured if captured > most else None
                break
            length = wire if wire > captured else captured  # noqa: FURB136 - a call a packet costs a tenth of this loop
            append((seconds + ticks * tick, length, start, captured, 0))
            at = end
        packets += len(records)
        if records:
            yield Batch(buffer, link, records)
        if impossible is not None:
            pieces.fail(f"is damaged: packet {packets + 1} claims {impossible} bytes; the packets before it were read")
        going = pieces.more(at)
    if pieces.size:
        pieces.cut_off(packets)

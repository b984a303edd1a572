"""What a reader of packets hands to the engine: buffers, and where in them the packets lie.

Readers make a batch of one piece of a file or one block of the ring, so that the engine takes packets apart in
place, without a copy or an object for each.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable


class Link(IntEnum):
    """Link types that the engine takes apart itself (LINKTYPE_ values, tcpdump.org/linktypes.html)."""

    NULL = 0
    ETHERNET = 1
    PPP = 9
    RAW_BSD = 12
    RAW_OPENBSD = 14
    PPP_HDLC = 50
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


class Record(NamedTuple):
    """One packet. Made as a plain tuple of this shape where speed counts.

    ``seconds`` since the epoch, ``wire`` length on the wire, ``start`` and ``captured`` its bytes in the buffer,
    ``tci`` the VLAN tag that the kernel took out of the frame (0 if none; else tag control information | 0x10000).
    """

    seconds: float
    wire: int
    start: int
    captured: int
    tci: int


#: Every buffer ends with so many bytes that belong to no packet, so that one fixed-size unpack may run over.
PAD = bytes(128)
#: Longest packet that is believed. Jumbo frames and segmentation offload stay below; libpcap has the same bound.
CAPTURED_MAX = 262_144
#: Set in ``Record.tci`` where there was a tag, so that VLAN 0 is one too.
TAGGED = 0x10000


class Batch(NamedTuple):
    """Packets of one link type (:class:`Link`, or a value that it does not know) in one buffer."""

    buffer: bytes
    link: int
    records: list[tuple[float, int, int, int, int]]


class Keeper(Protocol):
    """Who holds on to recent packets. It sees few of them: the first of each direction of a flow say what it is."""

    #: How many packets of each direction it wants.
    depth: int

    def take(self, batch: Batch) -> None:
        """Packets in the order in which they came; the buffer stays as it is. Must not raise."""
        ...


@runtime_checkable
class HandsOn(Protocol):
    """A source that reads packets itself, and hands the recent ones on."""

    #: Set before ``read``.
    keeper: Keeper | None

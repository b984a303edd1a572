"""ICMP and ICMPv6: which types answer each other, and which packet an error is about.

Source: RFC 792, 4443, 4861, 2710. The pairs are those of the Community ID specification, too.
"""

from __future__ import annotations

from types import MappingProxyType

from schoolwacht_agent.sources.packets.flows import ICMP, TCP, UDP

_PAIRS = MappingProxyType({8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10})
_PAIRS6 = MappingProxyType(
    {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144}
)
_ERRORS = frozenset({3, 4, 5, 11, 12})


def counterpart(protocol: int, kind: int) -> int:
    """The type that answers ``kind``; 0 if there is none."""
    return (_PAIRS if protocol == ICMP else _PAIRS6).get(kind, 0)


def is_error(kind: int) -> bool:
    """Whether an ICMP (not ICMPv6) message quotes the packet that it is about."""
    return kind in _ERRORS


def quoted(buffer: bytes, at: int, end: int) -> tuple[int, bytes] | None:
    """Protocol and flow key of the IPv4 packet that an error quotes at ``at``; None if there is not enough of it."""
    if end - at < 28 or buffer[at] >> 4 != 4:
        return None
    inner = at + ((buffer[at] & 15) << 2)
    protocol = buffer[at + 9]
    if protocol not in (TCP, UDP, ICMP) or inner < at + 20 or inner + 4 > end:
        return None
    if protocol == ICMP:
        kind = buffer[inner]
        return protocol, buffer[at + 12 : at + 20] + bytes((0, kind, 0, counterpart(ICMP, kind), ICMP))
    return protocol, buffer[at + 12 : at + 20] + buffer[inner : inner + 4]

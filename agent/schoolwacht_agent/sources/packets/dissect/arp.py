"""ARP for IPv4 over Ethernet (RFC 826; operations as IANA "ARP Parameters" has them)."""

from __future__ import annotations

from socket import inet_ntoa
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

_LAYOUT = Struct(">HHBBH6s4s6s4s")
_OPERATIONS = MappingProxyType(
    {1: "request", 2: "reply", 3: "request-reverse", 4: "reply-reverse", 8: "inreq", 9: "inreply"}
)


class ArpMessage(NamedTuple):
    """Operation in Suricata's words (else its number), and both ends; a target's MAC of zeros is None."""

    operation: str
    sender_mac: bytes
    sender_ip: str
    target_mac: bytes | None
    target_ip: str


def dissect_arp(payload: bytes) -> ArpMessage | None:
    """One ARP message; None if it is cut short or about other kinds of addresses."""
    if len(payload) < _LAYOUT.size:
        return None
    hardware, protocol, hardware_size, size, operation, sender_mac, sender, target_mac, target = _LAYOUT.unpack_from(
        payload
    )
    if (hardware, protocol, hardware_size, size) != (1, 0x0800, 6, 4):
        return None
    return ArpMessage(
        _OPERATIONS.get(operation) or str(operation),
        sender_mac,
        inet_ntoa(sender),
        target_mac if any(target_mac) else None,
        inet_ntoa(target),
    )

"""ARP for IPv4 over Ethernet (RFC 826)."""

from __future__ import annotations

from socket import inet_ntoa
from struct import Struct as Layout

from msgspec import Struct

_MESSAGE = Layout(">HHBBH6s4s6s4s")
#: IANA "ARP Parameters"; other operations are written as their number.
_OPERATIONS = {1: "request", 2: "reply", 3: "rarp_request", 4: "rarp_reply", 8: "inarp_request", 9: "inarp_reply"}


class ArpMessage(Struct, frozen=True, gc=False):
    """One message. Link addresses are six bytes, network addresses text."""

    operation: str
    sender_mac: bytes
    sender_ip: str
    target_mac: bytes
    target_ip: str


def dissect_arp(payload: bytes) -> ArpMessage | None:
    """The message after the Ethernet header (padding may follow it); None if it is not of IPv4 over Ethernet."""
    if len(payload) < _MESSAGE.size:
        return None
    link, network, link_size, network_size, operation, *ends = _MESSAGE.unpack_from(payload)
    if link != 1 or network != 0x0800 or link_size != 6 or network_size != 4:
        return None
    sender_mac, sender, target_mac, target = ends
    name = _OPERATIONS.get(operation) or str(operation)
    return ArpMessage(name, sender_mac, inet_ntoa(sender), target_mac, inet_ntoa(target))

"""Addresses by meaning: sixteen bytes, IPv4 inside ``::ffff:0:0/96``, so that every spelling compares equal.

It is the order in which Elasticsearch keeps its ``ip`` fields (Lucene's InetAddressPoint; RFC 4291 section 2.5.5.2),
and the form of the address columns in SQLite.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

_MAPPED = b"\0" * 10 + b"\xff\xff"


class Bounds(NamedTuple):
    """The first and the last address of a network, sixteen bytes each."""

    first: bytes
    last: bytes


@lru_cache(maxsize=65_536)
def packed(text: str) -> bytes | None:
    """The sixteen bytes of an address in text form, or None if it is none."""
    try:
        return _MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        pass
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


def spelled(address: bytes) -> str:
    """Sixteen bytes as text: dotted for IPv4, compressed for IPv6."""
    if address.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


def bounds(network: IPv4Network | IPv6Network) -> Bounds:
    """The addresses that a network spans. ``::/0`` spans IPv4 too, as it does in Elasticsearch."""
    first, last = network.network_address.packed, network.broadcast_address.packed
    if isinstance(network, IPv4Network):
        return Bounds(_MAPPED + first, _MAPPED + last)
    return Bounds(first, last)


def network(text: str) -> IPv4Network | IPv6Network | None:
    """The network in CIDR notation, host bits allowed (they are cleared), or None if it is none."""
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isdecimal() or packed(address) is None:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None

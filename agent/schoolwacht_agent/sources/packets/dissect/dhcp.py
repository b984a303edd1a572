"""DHCP for IPv4 (RFC 2131, 2132): the fixed head and the options that tell who asked for what.

Limits: 128 options; "overload" (options in the name fields) is not followed. Never raises.
"""

from __future__ import annotations

from socket import inet_ntoa
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht_agent.sources.packets.dissect.text import printable

_COOKIE = b"\x63\x82\x53\x63"
_HEAD = Struct(">BBBBIHH4s4s4s4s16s")
_OPTIONS_AT = 240
_OPTIONS_MAX = 128
_TYPES = MappingProxyType(
    {1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform"}
)
_PAD, _HOST_NAME, _REQUESTED, _LEASE, _TYPE, _SERVER, _CLIENT_ID, _END = 0, 12, 50, 51, 53, 54, 61, 255


class DhcpMessage(NamedTuple):
    """One message; addresses as text, None where they are not given. ``lease`` in seconds."""

    type: str | None
    by_server: bool
    transaction: int
    client_mac: bytes
    host_name: str | None
    requested_ip: str | None
    assigned_ip: str | None
    server_ip: str | None
    lease: int | None


def dissect_dhcp(payload: bytes) -> DhcpMessage | None:
    """One message; None if it is not DHCP over Ethernet."""
    if len(payload) < _OPTIONS_AT or payload[236:240] != _COOKIE:
        return None
    kind, hardware, size, _, transaction, _, _, _, assigned, _, _, mac = _HEAD.unpack_from(payload)
    if kind not in (1, 2) or hardware != 1 or size != 6:
        return None
    options = _options(payload)
    lease = options.get(_LEASE, b"")
    name = options.get(_HOST_NAME)
    return DhcpMessage(
        type=_TYPES.get(options.get(_TYPE, b"\0")[0]) if options.get(_TYPE) else None,
        by_server=kind == 2,
        transaction=transaction,
        client_mac=mac[:6],
        host_name=printable(name.rstrip(b"\0")) if name else None,
        requested_ip=_address(options.get(_REQUESTED)),
        assigned_ip=_address(assigned),
        server_ip=_address(options.get(_SERVER)),
        lease=int.from_bytes(lease) if len(lease) == 4 else None,
    )


def _options(payload: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at, end = _OPTIONS_AT, len(payload)
    for _ in range(_OPTIONS_MAX):
        if at >= end or payload[at] == _END:
            break
        if payload[at] == _PAD:
            at += 1
            continue
        if at + 1 >= end:
            break
        length = payload[at + 1]
        found.setdefault(payload[at], payload[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def _address(raw: bytes | None) -> str | None:
    return inet_ntoa(raw) if raw is not None and len(raw) == 4 and any(raw) else None

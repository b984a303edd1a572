"""DHCP for IPv4 (RFC 2131, options of RFC 2132): who asked for which address, and who gave it.

Limits: 128 options, 8 addresses an option. Options that go over into the ``sname`` and ``file`` fields (option 52) and
options that are split in parts (RFC 3396) are taken as they stand.
"""

from __future__ import annotations

from socket import inet_ntoa
from struct import Struct as Layout

from msgspec import Struct

from schoolwacht_agent.sources.packets.dissect.text import printable

OPTIONS_MAX = 128
ADDRESSES_MAX = 8
_FIXED = Layout(">4BI2H4s4s4s4s16s")
_COOKIE = b"\x63\x82\x53\x63"
_OPTIONS_START = 240
#: RFC 2132 9.6 and later; other types are written as their number.
_TYPES = {
    1: "discover", 2: "offer", 3: "request", 4: "decline", 5: "ack", 6: "nak", 7: "release", 8: "inform",
    9: "forcerenew", 10: "leasequery", 11: "leaseunassigned", 12: "leaseunknown", 13: "leaseactive",
}  # fmt: skip


class DhcpMessage(Struct, frozen=True, gc=False):
    """One message. Addresses are text, None where the message has none (0.0.0.0); times are seconds.

    ``client_mac`` has the length that the message states (six bytes for Ethernet). ``client_id`` is without its first
    byte, which is its kind.
    """

    reply: bool
    type: str | None
    transaction_id: int
    client_mac: bytes
    client_ip: str | None
    assigned_ip: str | None
    next_server_ip: str | None
    relay_ip: str | None
    host_name: str | None
    requested_ip: str | None
    server_id: str | None
    lease_time: int | None
    subnet_mask: str | None
    routers: tuple[str, ...]
    dns_servers: tuple[str, ...]
    vendor_class: str | None
    client_id: bytes | None


def dissect_dhcp(payload: bytes) -> DhcpMessage | None:
    """One DHCP message; None if the bytes are none (plain BOOTP, without the magic cookie, is none either)."""
    if payload[236:_OPTIONS_START] != _COOKIE:
        return None
    operation, _, hardware_size, _, number, _, _, client, assigned, server, relay, hardware = _FIXED.unpack_from(
        payload
    )
    if operation not in (1, 2) or hardware_size > 16:
        return None
    options = _options(payload)
    kind = options.get(53)
    lease = options.get(51)
    identifier = options.get(61)
    return DhcpMessage(
        operation == 2,
        (_TYPES.get(kind[0]) or str(kind[0])) if kind else None,
        number,
        hardware[:hardware_size],
        _address(client),
        _address(assigned),
        _address(server),
        _address(relay),
        _text(options.get(12)),
        _address(options.get(50)),
        _address(options.get(54)),
        int.from_bytes(lease) if lease is not None and len(lease) == 4 else None,
        _address(options.get(1)),
        _addresses(options.get(3)),
        _addresses(options.get(6)),
        _text(options.get(60)),
        identifier[1:] if identifier is not None and len(identifier) > 1 else None,
    )


def _options(payload: bytes) -> dict[int, bytes]:
    """The options by their code; of one that comes twice, the first. A cut-off option ends them."""
    found: dict[int, bytes] = {}
    at = _OPTIONS_START
    end = len(payload)
    for _ in range(OPTIONS_MAX):
        while at < end and not payload[at]:  # padding
            at += 1
        if at + 2 > end or payload[at] == 255:
            break
        stop = at + 2 + payload[at + 1]
        if stop > end:
            break
        found.setdefault(payload[at], payload[at + 2 : stop])
        at = stop
    return found


def _address(raw: bytes | None) -> str | None:
    return inet_ntoa(raw) if raw is not None and len(raw) == 4 and raw != b"\0\0\0\0" else None


def _addresses(raw: bytes | None) -> tuple[str, ...]:
    if raw is None or len(raw) % 4:
        return ()
    return tuple(inet_ntoa(raw[at : at + 4]) for at in range(0, min(len(raw), 4 * ADDRESSES_MAX), 4))


def _text(raw: bytes | None) -> str | None:
    # Some clients count the NUL byte behind a C string, or fill a field up with them.
    return printable(raw.replace(b"\0", b"")) or None if raw is not None else None

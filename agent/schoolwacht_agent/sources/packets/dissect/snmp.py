"""SNMP messages up to the kind of PDU (RFC 1157, 1901, 3412, 3416), in the words of Suricata's EVE.

What is read is the message's own frame: version, community, and the tag of the PDU. The variables are not looked at.
A message whose lengths do not hold together, up to the PDU's, is none. Lengths take at most four bytes (BER, X.690).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from schoolwacht_agent.sources.packets.dissect.text import printable

_INTEGER, _TEXT, _OBJECT, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
_VERSIONS = MappingProxyType({b"\0": "1", b"\1": "2c", b"\3": "3"})
_TRAP_V1 = 0xA4
_PDUS = MappingProxyType(
    {
        0xA0: "get_request",
        0xA1: "get_next_request",
        0xA2: "response",
        0xA3: "set_request",
        _TRAP_V1: "trap_v1",
        0xA5: "get_bulk_request",
        0xA6: "inform_request",
        0xA7: "trap_v2",
        0xA8: "report",
    }
)


class SnmpMessage(NamedTuple):
    """Version ("1", "2c", "3"), kind of PDU in EVE's words, and the community (a password in clear; None in v3)."""

    version: str
    pdu: str | None
    community: str | None


def dissect_snmp(payload: bytes) -> SnmpMessage | None:
    """One message; None if it is no SNMP, or cut off. What follows it in the datagram is not looked at."""
    try:
        return _message(payload)
    except (IndexError, ValueError):
        return None


def _message(payload: bytes) -> SnmpMessage | None:
    at, end = _value(payload, 0, len(payload), _SEQUENCE)
    at, after = _value(payload, at, end, _INTEGER)
    version = _VERSIONS.get(payload[at:after])
    if version is None or version == "3":
        # Version 3 (RFC 3412) has neither a community nor, as a rule, a PDU in clear.
        return None if version is None else SnmpMessage(version, None, None)
    at, after = _value(payload, after, end, _TEXT)
    community = printable(payload[at:after])
    kind = payload[after]
    pdu = _PDUS.get(kind)
    if pdu is None:
        return None
    at, end = _value(payload, after, end, kind)
    # Every PDU begins with the number of its request, but the first version's trap with the name of who sends it.
    _value(payload, at, end, _OBJECT if kind == _TRAP_V1 else _INTEGER)
    return SnmpMessage(version, pdu, community)


def _value(data: bytes, at: int, limit: int, tag: int) -> tuple[int, int]:
    """Where the value of the element at ``at`` begins and ends.

    Raises IndexError or ValueError if it has another tag or does not lie within ``limit``.
    """
    if data[at] != tag:
        raise ValueError
    size = data[at + 1]
    at += 2
    if size & 0x80:
        width = size & 0x7F
        if not 1 <= width <= 4:
            raise ValueError
        size = int.from_bytes(data[at : at + width], "big")
        at += width
    if at + size > limit:
        raise ValueError
    return at, at + size

"""Community ID version 1: one name for a flow, the same at every sensor and in every tool.

Source: github.com/corelight/community-id-spec (SHA-1 over seed, ordered ends, protocol and ports; base64).
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha1
from socket import AF_INET, AF_INET6, inet_pton
from struct import pack
from types import MappingProxyType

ICMP, ICMP6 = 1, 58
_WITH_PORTS = frozenset({ICMP, 6, 17, ICMP6, 132})
# Types that answer each other; any other type is one-way, and its ends are not ordered.
_PAIRS = MappingProxyType({8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10})
_PAIRS6 = MappingProxyType(
    {
        128: 129,
        129: 128,
        133: 134,
        134: 133,
        135: 136,
        136: 135,
        130: 131,
        131: 130,
        144: 145,
        145: 144,
        139: 140,
        140: 139,
    }
)


@lru_cache(maxsize=16_384)
def _packed(address: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


# Most flows have several events: a query, its answer, the flow itself.
@lru_cache(maxsize=4_096)
def community_id(source: str, destination: str, source_port: int, destination_port: int, protocol: int) -> str:
    """The Community ID of a flow, seed 0.

    Args:
        source: address of one end as text.
        destination: the other end's.
        source_port: its port; for ICMP and ICMPv6 the type, and ``destination_port`` the code.
        destination_port: the other's.
        protocol: IANA protocol number. Ports count for TCP, UDP, SCTP and ICMP only.
    """
    one, other, first, second = _packed(source), _packed(destination), source_port, destination_port
    one_way = False
    if protocol in (ICMP, ICMP6):
        answer = (_PAIRS if protocol == ICMP else _PAIRS6).get(first)
        one_way = answer is None
        second = second if answer is None else answer
    if not one_way and (other, second) < (one, first):
        one, other, first, second = other, one, second, first
    ports = pack(">HH", first, second) if protocol in _WITH_PORTS else b""
    digest = sha1(b"\0\0" + one + other + bytes((protocol, 0)) + ports, usedforsecurity=False).digest()
    return f"1:{b64encode(digest).decode()}"

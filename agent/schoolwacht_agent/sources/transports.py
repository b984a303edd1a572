"""IP protocols by the name that events have for them (``network.transport``), the same for both engines."""

from __future__ import annotations

from types import MappingProxyType

#: IANA "Protocol Numbers" in ECS's spelling (lower case, IANA's keyword).
TRANSPORTS: MappingProxyType[int, str] = MappingProxyType(
    {
        1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp",
        88: "eigrp", 89: "ospf", 103: "pim", 112: "vrrp", 132: "sctp", 136: "udplite",
    }
)  # fmt: skip
#: The same by name.
NUMBERS: MappingProxyType[str, int] = MappingProxyType({name: number for number, name in TRANSPORTS.items()})

"""Frames inside UDP: VXLAN (RFC 7348), Geneve (RFC 8926), L2TP version 2 (RFC 2661). Each is decoded in turn."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from schoolwacht_agent.sources.packets.decode import Context
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half

#: IANA's port and the one that Linux used before there was one.
_VXLAN_PORTS = (4789, 8472)
_GENEVE_PORT = 6081
_L2TP_PORT = 1701


class Tunnel(StrEnum):
    """Tunnels over UDP."""

    VXLAN = "vxlan"
    GENEVE = "geneve"
    L2TP = "l2tp"


def tunnel_of(payload: bytes, port: int) -> Tunnel | None:
    """The tunnel that a datagram to ``port`` belongs to, by port and fixed fields; None if to none."""
    if port in _VXLAN_PORTS:
        return Tunnel.VXLAN if len(payload) > 8 and payload[0] & 0x08 else None
    if port == _GENEVE_PORT:
        return Tunnel.GENEVE if len(payload) > 8 and not payload[0] & 0xC0 else None
    if port == _L2TP_PORT:
        return Tunnel.L2TP if len(payload) > 6 and payload[1] & 15 == 2 else None
    return None


class TunnelConversation(Conversation):
    """Hands every datagram on, one tunnel deeper."""

    __slots__ = ("_enter", "_flow", "_kind")

    def __init__(self, flow: Flow, kind: Tunnel, enter: Callable[[Context, Tunnel, bytes], None]) -> None:
        self._flow = flow
        self._kind = kind
        self._enter = enter

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """See Conversation."""
        flow = self._flow
        macs = flow.macs[6:] + flow.macs[:6]
        self._enter(Context(seconds, len(payload), flow.vlan, flow.depth, macs), self._kind, payload)

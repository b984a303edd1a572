"""DHCP for IPv4: one event for each message."""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.dissect.dhcp import dissect_dhcp
from schoolwacht_agent.sources.packets.dissect.events import dhcp_event
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import ends_of, with_link

_COOKIE = b"\x63\x82\x53\x63"


def is_dhcp(payload: bytes) -> bool:
    """Whether a datagram has the magic cookie of DHCP options in its place (RFC 2131 3)."""
    return payload[236:240] == _COOKIE and payload[0] in (1, 2)


class DhcpConversation(Conversation):
    """Tells every message."""

    __slots__ = ("_emit", "_flow")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """See Conversation."""
        message = dissect_dhcp(payload)
        if message is None:
            return
        # Whose flow it is says nothing: a lease is renewed in the flow that the server's last reply began.
        of_source = half is self._flow.up
        ends = ends_of(self._flow)
        event = dhcp_event(seconds, ends if of_source else ends.turned(), message)
        self._emit(with_link(event, self._flow, turned=message.reply is of_source))

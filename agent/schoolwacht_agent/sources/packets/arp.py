"""ARP: one event for each request and answer, the same one not more than once a second.

A storm of ARP is one thing that is happening, not a million: what repeats is counted. The table of what was said in
this second is bounded; beyond that everything is counted only.
"""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.decode import Context
from schoolwacht_agent.sources.packets.dissect.arp import dissect_arp
from schoolwacht_agent.sources.packets.dissect.events import arp_event
from schoolwacht_agent.sources.packets.report import mac, set_vlan

#: Different messages in one second.
_SAID_MAX = 2_000
#: Length of an ARP message for IPv4 over Ethernet.
_SIZE = 28


class ArpWatch:
    """Tells ARP messages.

    Args:
        emit: gets the events.
        note: told the reason of every message that is left.
    """

    def __init__(self, emit: Callable[[Event], None], note: Callable[[str], None]) -> None:
        self._emit = emit
        self._note = note
        self._said: set[bytes] = set()

    def packet(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        """Take one message in."""
        payload = buffer[at : min(end, at + _SIZE)]
        if payload in self._said:
            self._note("arp: repeated within a second")
            return
        message = dissect_arp(payload)
        if message is None:
            self._note("arp: not of IPv4 over Ethernet")
            return
        if len(self._said) >= _SAID_MAX:
            self._note("arp: too many in a second")
            return
        self._said.add(payload)
        event = arp_event(context.seconds, message)
        if context.macs:
            event.source_mac, event.destination_mac = mac(context.macs[6:]), mac(context.macs[:6])
        set_vlan(event, context.vlan)
        self._emit(event)

    def advance(self) -> None:
        """A second has gone by."""
        self._said.clear()

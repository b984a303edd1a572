"""SNMP: one event for each message."""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Dataset, Event, clip
from schoolwacht_agent.sources.packets.dissect.snmp import dissect_snmp
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import begin_event

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_SNMP = Dataset.SNMP


class SnmpConversation(Conversation):
    """Tells every message that can be read."""

    __slots__ = ("_emit", "_flow")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """See Conversation."""
        message = dissect_snmp(payload)
        if message is None:
            return
        event = begin_event(self._flow, _SNMP, seconds)
        event.network_protocol = "snmp"
        event.nsm_snmp_version = message.version
        event.nsm_snmp_pdu_type = message.pdu
        event.nsm_snmp_community = clip(message.community) if message.community else None
        self._emit(event)

"""SNMP: one event for each message, taken apart by scapy within its limits (:mod:`rare`)."""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Dataset, Event, clip
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.rare import SnmpMessage
from schoolwacht_agent.sources.packets.report import begin_event


class SnmpConversation(Conversation):
    """Tells the messages that scapy could read."""

    __slots__ = ("_emit", "_flow", "_read")

    def __init__(
        self, flow: Flow, emit: Callable[[Event], None], read: Callable[[float, bytes], SnmpMessage | None]
    ) -> None:
        self._flow = flow
        self._emit = emit
        self._read = read

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """See Conversation."""
        message = self._read(seconds, payload)
        if message is None:
            return
        event = begin_event(self._flow, Dataset.SNMP, seconds)
        event.network_protocol = "snmp"
        event.nsm_snmp_version = message.version
        event.nsm_snmp_pdu_type = message.pdu
        event.nsm_snmp_community = clip(message.community) if message.community else None
        self._emit(event)

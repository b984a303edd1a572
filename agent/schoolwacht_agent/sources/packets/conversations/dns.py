"""DNS over UDP and TCP: one event for each answer, and for each question of a query.

Any port will do where the first message parses in every byte. Multicast DNS, LLMNR and NetBIOS name service have
ports and a meaning of their own and are named only, as in Suricata.
"""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.dissect.dns import DnsMessage, dissect_dns
from schoolwacht_agent.sources.packets.dissect.events import dns_event
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import ends_of, with_link
from schoolwacht_agent.sources.packets.streams import STREAM_MAX, Stream

DNS_PORT = 53
_NOT_DNS = frozenset({137, 138, 5353, 5355})
_QUERY, _OPCODE = 0x80, 0x78


def is_dns(payload: bytes, source: int, destination: int) -> bool | None:
    """Whether a first datagram is DNS: True a response, False a query, None no DNS."""
    if source in _NOT_DNS or destination in _NOT_DNS or len(payload) < 12:
        return None
    # One question and the plain opcode: cheap to tell, and true of all but zone transfers and updates.
    plain = payload[4:6] == b"\x00\x01" and not payload[2] & _OPCODE
    if not plain and DNS_PORT not in (source, destination):
        return None
    message = dissect_dns(payload)
    if message is None:
        return None
    if DNS_PORT not in (source, destination) and message.size != len(payload):
        return None
    return message.response


def begins_tcp(data: bytes, port: int) -> bool | None:
    """The same for the start of a TCP direction, where each message has its length before it."""
    if len(data) < 14:
        return None
    length = data[0] << 8 | data[1]
    plain = data[6:8] == b"\x00\x01" and not data[4] & _OPCODE
    if not plain or not length >= 17:
        return None
    if port == DNS_PORT:
        return bool(data[4] & _QUERY)
    message = dissect_dns(data[2 : 2 + length]) if len(data) >= 2 + length else None
    return message.response if message is not None and message.size == length else None


class DnsConversation(Conversation):
    """Tells every message."""

    __slots__ = ("_emit", "_flow")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit

    def begins(self, half: Half, payload: bytes) -> bool:
        """Whether a message begins here and fits."""
        return begins_tcp(payload, DNS_PORT) is not None

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """See Conversation."""
        if stream.lost:
            stream.lost = False
            if not self.begins(half, stream.data):
                stream.seek()
                return
        while len(stream.data) >= 2:
            length = stream.data[0] << 8 | stream.data[1]
            if length + 2 > STREAM_MAX:
                # A zone transfer's: too long to hold, so stepped over.
                stream.use(length + 2)
                continue
            if len(stream.data) < length + 2:
                break
            self._tell(dissect_dns(stream.data[2 : 2 + length]), seconds)
            stream.use(length + 2)
        stream.hold()

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """See Conversation."""
        self._tell(dissect_dns(payload), seconds)

    def _tell(self, message: DnsMessage | None, seconds: float) -> None:
        if message is None:
            return
        ends = ends_of(self._flow)
        self._emit(with_link(dns_event(seconds, ends, message), self._flow))
        if len(message.questions) > 1 and not message.response:
            # Nobody should ask several at once (RFC 9619); whoever does is told with each, as by Suricata.
            for number in range(1, len(message.questions)):
                self._emit(with_link(dns_event(seconds, ends, message, number), self._flow))

"""A TLS connection: one event when both hellos are known, and the certificate where it is not encrypted."""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.dissect.certificate import Certificate
from schoolwacht_agent.sources.packets.dissect.events import tls_event
from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello, dissect_handshake
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import ends_of, with_link
from schoolwacht_agent.sources.packets.streams import Stream


def begins_handshake(data: bytes) -> bool:
    """Whether a client's or server's hello begins here."""
    return data[:2] == b"\x16\x03" and data[5:6] in (b"\x01", b"\x02")


class TlsConversation(Conversation):
    """Follows both directions up to the hellos and the certificate, and nothing after them."""

    __slots__ = ("_certificate", "_client", "_emit", "_flow", "_needed", "_open", "_server", "_told")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit
        self._client: ClientHello | None = None
        self._server: ServerHello | None = None
        self._certificate: Certificate | None = None
        # Directions from which something is still to come, and how long their streams must be for it.
        self._open = {True, False}
        self._needed = {True: 0, False: 0}
        self._told = False

    def begins(self, half: Half, payload: bytes) -> bool:
        """See Conversation: only in a connection that became TLS is it looked for."""
        return begins_handshake(payload)

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """See Conversation."""
        by_client = half is self._flow.up
        if not stream.lost and len(stream.data) < self._needed[by_client]:
            stream.hold()
            return
        handshake = None if stream.lost else dissect_handshake(stream.data)
        if handshake is None:
            self._end(by_client, stream)
        else:
            self._client = handshake.client_hello or self._client
            self._server = handshake.server_hello or self._server
            self._certificate = handshake.certificate or self._certificate
            if handshake.needed:
                self._needed[by_client] = handshake.needed
                stream.hold()
            else:
                self._end(by_client, stream)
        if not self._open:
            self._tell(seconds)

    def close(self, flow: Flow) -> None:
        """See Conversation."""
        self._tell(flow.last)

    def _end(self, by_client: bool, stream: Stream) -> None:
        stream.shut()
        self._open.discard(by_client)

    def _tell(self, seconds: float) -> None:
        if self._told or (self._client is None and self._server is None):
            return
        self._told = True
        event = tls_event(seconds, ends_of(self._flow), self._client, self._server, self._certificate)
        self._emit(with_link(event, self._flow))

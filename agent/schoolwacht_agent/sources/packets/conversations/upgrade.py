"""Protocols that may turn into TLS in mid-stream: STARTTLS of mail and FTP, PostgreSQL, a proxy's CONNECT.

What goes before is not followed. A direction that has not turned after some segments is left alone.
"""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.conversations.tls import TlsConversation, begins_handshake
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.streams import Stream

#: Segments of a direction that are looked at for the beginning of TLS.
_SEGMENTS_MAX = 64


class UpgradeConversation(Conversation):
    """Waits for TLS to begin, and hands over."""

    __slots__ = ("_emit", "_flow", "_looked")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit
        self._looked = {True: 0, False: 0}

    def begins(self, half: Half, payload: bytes) -> bool:
        """See Conversation."""
        if begins_handshake(payload):
            return True
        by_client = half is self._flow.up
        self._looked[by_client] += 1
        if self._looked[by_client] >= _SEGMENTS_MAX and half.stream is not None:
            half.stream.shut()
        return False

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """See Conversation."""
        stream.lost = False
        if not begins_handshake(stream.data):
            stream.seek()
            return
        tls = TlsConversation(self._flow, self._emit)
        self._flow.conversation = tls
        tls.take(half, stream, seconds)

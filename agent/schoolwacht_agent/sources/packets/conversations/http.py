"""An HTTP/1 connection: one event for each request and its response, told when the response's head is there.

Bodies are stepped over by their announced length. Where that is unknown (chunked, until the end) the next head is
found at the start of a segment, where real programs put it. A body's size is the announced one.

Responses belong to requests in their order. Where a segment was lost that order is lost, too: what waits is told on its
own, and from there on a new request says that the one before it has had its response.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.conversations.upgrade import UpgradeConversation
from schoolwacht_agent.sources.packets.dissect.events import http_event
from schoolwacht_agent.sources.packets.dissect.http import (
    LENGTH,
    NO_BODY,
    Body,
    HttpRequest,
    HttpResponse,
    dissect_request,
    dissect_response,
)
from schoolwacht_agent.sources.packets.dissect.progress import MORE
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import ends_of, with_link
from schoolwacht_agent.sources.packets.streams import Stream

#: Requests without their response yet; beyond it the oldest is told without one.
_PENDING_MAX = 64
_STATUS = b"HTTP/"
_REQUEST = re.compile(rb"[A-Z][A-Z0-9_-]{1,31} [^\r\n]*(?:HTTP/1\.[01]\r?\n|$)")


class HttpConversation(Conversation):
    """Follows both directions from head to head."""

    __slots__ = ("_emit", "_flow", "_interim", "_pending", "_pending_max")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit
        self._pending: deque[HttpRequest] = deque()
        self._pending_max = _PENDING_MAX
        # A 1xx after which nothing has come yet: if nothing does, it was the response.
        self._interim: HttpResponse | None = None

    def begins(self, half: Half, payload: bytes) -> bool:
        """See Conversation."""
        if half is self._flow.up:
            return _REQUEST.match(payload) is not None
        return _STATUS.startswith(payload[: len(_STATUS)].upper())

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """See Conversation."""
        if stream.lost:
            stream.lost = False
            self._pending_max = 1
            while self._pending and half is self._flow.down:
                self._tell(None, seconds)
            if not self.begins(half, stream.data):
                stream.seek()
                return
        if half is self._flow.up:
            self._requests(stream, seconds)
        else:
            self._responses(stream, seconds)

    def close(self, flow: Flow) -> None:
        """See Conversation."""
        seconds = flow.last
        if flow.up.stream is not None and flow.up.stream.data:
            request = dissect_request(flow.up.stream.data, final=True)
            if isinstance(request, HttpRequest):
                self._pending.append(request)
        if flow.down.stream is not None and flow.down.stream.data:
            response = dissect_response(flow.down.stream.data, method=self._method(), final=True)
            if isinstance(response, HttpResponse) and not response.interim:
                self._tell(response, seconds)
        if self._interim is not None and self._pending:
            self._tell(self._interim, seconds)
        while self._pending:
            self._tell(None, seconds)

    def _requests(self, stream: Stream, seconds: float) -> None:
        while stream.data:
            request = dissect_request(stream.data)
            if request is MORE:
                stream.hold()
                return
            if request is None:
                stream.seek()
                return
            self._pending.append(request)
            while len(self._pending) > self._pending_max:
                self._tell(None, seconds)
            down = self._flow.down.stream
            if down is not None:
                down.asleep = False
            _step(stream, request.body, request.head_size, request.content_length)

    def _responses(self, stream: Stream, seconds: float) -> None:
        while stream.data:
            response = dissect_response(stream.data, method=self._method())
            if response is MORE:
                stream.hold()
                return
            if response is None:
                stream.seek()
                return
            if response.interim:
                self._interim = response
                stream.use(response.head_size)
                continue
            tunnel = self._method() == "CONNECT" and 200 <= response.status < 300
            self._tell(response, seconds)
            if response.status == 101:
                self._shut()
                return
            if tunnel:
                stream.use(response.head_size)
                upgrade = UpgradeConversation(self._flow, self._emit)
                self._flow.conversation = upgrade
                if stream.data:
                    upgrade.take(self._flow.down, stream, seconds)
                return
            _step(stream, response.body, response.head_size, response.content_length)
            if not self._pending and not stream.data:
                # Nothing but the body comes until the client asks again.
                stream.seek(due=response.body in (NO_BODY, LENGTH))
                stream.asleep = True

    def _method(self) -> str | None:
        return self._pending[0].method if self._pending else None

    def _shut(self) -> None:
        """From here on another protocol is spoken."""
        for half in (self._flow.up, self._flow.down):
            if half.stream is not None:
                half.stream.shut()

    def _tell(self, response: HttpResponse | None, seconds: float) -> None:
        request = self._pending.popleft() if self._pending else None
        self._interim = None
        self._emit(with_link(http_event(seconds, ends_of(self._flow), request, response), self._flow))


def _step(stream: Stream, body: Body, head: int, length: int | None) -> None:
    """Go behind a head and its body."""
    if body is NO_BODY:
        stream.use(head)
    elif body is LENGTH and length is not None and length < 1 << 30:
        stream.use(head + length)
    else:
        stream.seek()

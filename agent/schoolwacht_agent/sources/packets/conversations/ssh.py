"""An SSH connection: one event when both banners are known."""

from __future__ import annotations

from collections.abc import Callable

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.dissect.events import ssh_event
from schoolwacht_agent.sources.packets.dissect.progress import MORE
from schoolwacht_agent.sources.packets.dissect.ssh import SshBanner, dissect_banner
from schoolwacht_agent.sources.packets.flows import Conversation, Flow, Half
from schoolwacht_agent.sources.packets.report import ends_of, with_link
from schoolwacht_agent.sources.packets.streams import Stream


class SshConversation(Conversation):
    """Follows each direction up to its banner."""

    __slots__ = ("_emit", "_flow", "_said", "_told")

    def __init__(self, flow: Flow, emit: Callable[[Event], None]) -> None:
        self._flow = flow
        self._emit = emit
        self._said: dict[bool, SshBanner] = {}
        self._told = False

    def begins(self, half: Half, payload: bytes) -> bool:
        """A banner is not looked for in the middle of a connection."""
        return False

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """See Conversation."""
        banner = None if stream.lost else dissect_banner(stream.data)
        if banner is MORE:
            stream.hold()
            return
        stream.shut()
        if banner is not None:
            self._said[half is self._flow.up] = banner
        if len(self._said) == 2:
            self._tell(seconds)

    def close(self, flow: Flow) -> None:
        """See Conversation."""
        for half in (flow.up, flow.down):
            # A banner after which no key exchange came: a scanner's, or one that was cut off.
            banner = dissect_banner(half.stream.data, final=True) if half.stream and half.stream.data else None
            if isinstance(banner, SshBanner):
                self._said.setdefault(half is flow.up, banner)
        self._tell(flow.last)

    def _tell(self, seconds: float) -> None:
        if not self._told and self._said:
            self._told = True
            event = ssh_event(seconds, ends_of(self._flow), self._said.get(True), self._said.get(False))
            self._emit(with_link(event, self._flow))

"""The flow table: conversations between two ends, bounded in number, ended by silence as in Suricata.

Each direction of a flow is a :class:`Half`, found by one look-up under its own key, so that a packet of a known flow
costs the table nothing else. A key is the two addresses and the two ports as they stand in the packet (12 bytes for
IPv4), and behind them, if there are any, VLAN tags and depth of tunnel: the same addresses inside another tunnel or
VLAN are another flow. Protocols other than TCP and UDP have their number behind that.

Time is that of the packets. A flow that fell silent is ended by the next packet of its tuple or by :meth:`advance`,
whichever comes first, so that where one flow ends and the next begins depends on the packets only.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.streams import Stream
from schoolwacht_agent.sources.packets.tcp import FLOW_STATES, NONE, FlowState, Tcp

#: ``Half.quiet`` of a direction in which no packet needs more than counting.
NEVER = 1 << 30
#: ``Half.quiet`` of a direction in which every packet needs more than counting.
ALWAYS = -1

ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58


class Reason(StrEnum):
    """Why a flow ended (EVE ``flow.reason``)."""

    TIMEOUT = "timeout"
    FORCED = "forced"
    SHUTDOWN = "shutdown"


# Bound, because before Python 3.12 each look at a member of an enum is a call.
TIMEOUT, _FORCED, _SHUTDOWN = Reason.TIMEOUT, Reason.FORCED, Reason.SHUTDOWN
_NEW, _ESTABLISHED = FlowState.NEW, FlowState.ESTABLISHED


@dataclass(slots=True, eq=False)
class Half:
    """One direction of a flow. Segments with up to ``quiet`` bytes of payload need no more than to be counted."""

    flow: Flow
    key: bytes
    last: float
    packets: int = 0
    bytes: int = 0
    flags: int = 0
    quiet: int = ALWAYS
    stream: Stream | None = None
    #: Of a sampled connection (``gaps.py``): the next sequence number, and holes as (seconds, start, size).
    expected: int | None = None
    holes: list[tuple[float, int, int]] | None = None


@dataclass(slots=True, eq=False)
class Flow:
    """A conversation. ``up`` is what the client sends, ``down`` what it gets."""

    protocol: int
    start: float
    table: dict[bytes, Half]
    #: Bytes of an address: 4 or 16.
    width: int
    vlan: tuple[int, ...] = ()
    macs: bytes = b""
    #: ICMP type and code of the first packet.
    icmp: tuple[int, int] | None = None
    tcp: Tcp = NONE
    #: Initial sequence number of the client's SYN: another one on a closed flow begins a new flow.
    initial: int | None = None
    application: str | None = None
    conversation: Conversation | None = None
    #: ICMP errors about this flow, which are counted in ``down`` but are no answer.
    errors: int = 0
    #: Whether every segment of it is looked at for gaps.
    sampled: bool = False
    #: Where the table keeps it by its time-out.
    bucket: int = 0
    up: Half = field(init=False)
    down: Half = field(init=False)

    @property
    def last(self) -> float:
        """Time of the last packet either way."""
        up, down = self.up.last, self.down.last
        return up if up > down else down  # noqa: FURB136 - max is a call, and every flow is asked

    @property
    def state(self) -> FlowState:
        """New, established or closed."""
        if self.protocol == TCP:
            return FLOW_STATES[self.tcp]
        answered = self.up.packets and self.down.packets > self.errors
        return _ESTABLISHED if answered else _NEW

    @property
    def depth(self) -> int:
        """How many tunnels the flow is in (of TCP and UDP)."""
        rest = self.up.key[2 * self.width + 4 :]
        return rest[0] if rest else 0

    def swap(self) -> None:
        """Take the other end for the client."""
        self.up, self.down = self.down, self.up
        self.macs = self.macs[6:] + self.macs[:6]


class Conversation:
    """What a flow's application says; the base knows none. One object serves both directions.

    See ``conversations`` for the protocols.
    """

    __slots__ = ()

    def begins(self, half: Half, payload: bytes) -> bool:
        """Whether ``payload`` looks like the beginning of a message, when the place of the next one is not known."""
        raise NotImplementedError

    def take(self, half: Half, stream: Stream, seconds: float) -> None:
        """Look at the bytes that ``stream`` holds now, and say to it what they were."""
        raise NotImplementedError

    def datagram(self, half: Half, payload: bytes, seconds: float) -> None:
        """Look at one datagram."""
        raise NotImplementedError

    def close(self, flow: Flow) -> None:
        """The flow ends: put out what is still held."""


class FlowTable:
    """All flows that are going on.

    Args:
        settings: bounds and time-outs.
        ended: called with every flow that has ended, and why, after it has left the table.
    """

    def __init__(self, settings: PacketsTable, ended: Callable[[Flow, Reason], None]) -> None:
        self._settings = settings
        self._ended = ended
        self.tcp: dict[bytes, Half] = {}
        self.udp: dict[bytes, Half] = {}
        self.other: dict[bytes, Half] = {}
        self.count = 0
        self.evicted = 0
        # Second at which to look at flows again → those flows. A dict and not a set: replay must be deterministic.
        self._due: dict[int, dict[Flow, None]] = {}
        # Those seconds, the earliest first.
        self._seconds: list[int] = []
        timeouts = {
            FlowState.NEW: settings.tcp_new_seconds,
            FlowState.ESTABLISHED: settings.tcp_established_seconds,
            FlowState.CLOSED: settings.tcp_closed_seconds,
        }
        # By the connection's state.
        self._tcp_timeouts = tuple(timeouts[state] for state in FLOW_STATES)
        self._other_timeouts = {
            FlowState.NEW: settings.other_new_seconds,
            FlowState.ESTABLISHED: settings.other_established_seconds,
        }
        #: A direction silent for less than this has not timed out, whatever the state of its flow.
        self.surely_alive = min(*self._tcp_timeouts, *self._other_timeouts.values())

    def open(self, table: dict[bytes, Half], key: bytes, back: bytes, protocol: int, width: int, now: float) -> Flow:
        """A new flow of which ``key`` is the client's direction and ``back`` the other's."""
        if self.count >= self._settings.max_flows:
            self._evict()
        flow = Flow(protocol, now, table, width)
        flow.up = table[key] = Half(flow, key, now)
        # Of an end that talks to itself, both directions are one.
        flow.down = Half(flow, back, now)
        if back != key:
            table[back] = flow.down
        self.count += 1
        self._schedule(flow)
        return flow

    def timed_out(self, flow: Flow, now: float) -> bool:
        """Whether a packet at ``now`` comes too late to belong to the flow."""
        return now >= flow.last + self._timeout(flow)

    def end(self, flow: Flow, reason: Reason) -> None:
        """Take the flow out and report it."""
        for half in (flow.up, flow.down):
            if flow.table.get(half.key) is half:
                del flow.table[half.key]
        bucket = self._due.get(flow.bucket)
        if bucket is not None:
            bucket.pop(flow, None)
        self.count -= 1
        self._ended(flow, reason)
        # They name each other: undone, so that they go at once and not by a search for cycles.
        flow.conversation = None
        del flow.up.flow
        if flow.down is not flow.up:
            del flow.down.flow

    def reschedule(self, flow: Flow) -> None:
        """The flow's state has changed so that it may time out earlier than it would have."""
        bucket = self._due.get(flow.bucket)
        if bucket is not None:
            bucket.pop(flow, None)
        self._schedule(flow)

    def advance(self, now: float) -> None:
        """End the flows that are silent for longer than their time-out at ``now``."""
        while self._seconds and self._seconds[0] <= now:
            for flow in self._due.pop(heapq.heappop(self._seconds)):
                if self.timed_out(flow, now):
                    self.end(flow, TIMEOUT)
                elif self._too_long(flow, now):
                    self._cut(flow, now)
                else:
                    self._schedule(flow)

    def close(self) -> None:
        """End every flow: nothing more will come."""
        for flow in sorted(self._flows(), key=lambda flow: flow.start):
            self.end(flow, _SHUTDOWN)

    def _flows(self) -> Iterator[Flow]:
        for table in (self.tcp, self.udp, self.other):
            for half in table.values():
                if half is half.flow.up:
                    yield half.flow

    def _timeout(self, flow: Flow) -> float:
        return self._tcp_timeouts[flow.tcp] if flow.protocol == TCP else self._other_timeouts[flow.state]

    def _schedule(self, flow: Flow) -> None:
        at = flow.last + self._timeout(flow)
        if longest := self._settings.longest_flow_seconds:
            at = min(at, flow.start + longest)
        flow.bucket = second = int(at) + 1
        bucket = self._due.get(second)
        if bucket is None:
            self._due[second] = {flow: None}
            heapq.heappush(self._seconds, second)
        else:
            bucket[flow] = None

    def _too_long(self, flow: Flow, now: float) -> bool:
        longest = self._settings.longest_flow_seconds
        return bool(longest) and now >= flow.start + longest

    def _cut(self, flow: Flow, now: float) -> None:
        """Report a long flow, and go on with its next part: the same ends, state and conversation, counts from 0."""
        conversation, flow.conversation = flow.conversation, None
        self._ended(flow, _FORCED)
        flow.conversation = conversation
        flow.start = now
        for half in (flow.up, flow.down):
            half.packets = half.bytes = half.flags = 0
        self._schedule(flow)

    def _evict(self) -> None:
        """Report the least recently active 16th early: one pass over the table pays for many new flows."""
        oldest = heapq.nsmallest(max(1, self._settings.max_flows // 16), self._flows(), key=lambda flow: flow.last)
        self.evicted += len(oldest)
        for flow in oldest:
            self.end(flow, _FORCED)

"""The engine: batches of packets in, events out. One thread, no clock of its own, no input or output.

The loop in :meth:`Engine.feed` is where the time goes. It takes plain IPv4 over Ethernet apart by one struct call,
finds the direction of the flow by one look-up and counts. What needs more leaves it by a method call: the first packets
of a flow, changes of state, payload that somebody waits for. IPv6 and frames with one VLAN tag have a method that does
the same (:meth:`Engine._quick`); any other layer goes through the decoder.

Given the same packets it gives the same events in the same order.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from schoolwacht.event import Event
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.arp import ArpWatch
from schoolwacht_agent.sources.packets.conversations import identify, identify_datagram
from schoolwacht_agent.sources.packets.conversations.tunnel import TunnelConversation, tunnel_of
from schoolwacht_agent.sources.packets.decode import Context, Decoder
from schoolwacht_agent.sources.packets.flows import (
    ALWAYS,
    ICMP,
    ICMP6,
    NEVER,
    TCP,
    TIMEOUT,
    UDP,
    Conversation,
    Flow,
    FlowTable,
    Half,
    Reason,
)
from schoolwacht_agent.sources.packets.fragments import Fragments
from schoolwacht_agent.sources.packets.gaps import DEPTH, EVERY, GapMeter
from schoolwacht_agent.sources.packets.icmp import counterpart, is_error, quoted
from schoolwacht_agent.sources.packets.rare import Rare
from schoolwacht_agent.sources.packets.records import Batch, Keeper, Link
from schoolwacht_agent.sources.packets.report import flow_event
from schoolwacht_agent.sources.packets.streams import SEEK, SHUT, Budget, Stream
from schoolwacht_agent.sources.packets.tcp import (
    ACK,
    ESTABLISHED,
    FIN,
    FLOW_STATES,
    LAST_ACK,
    NONE,
    RST,
    SYN,
    FlowState,
    advance,
)
from schoolwacht_agent.sources.port import Counters

# Ethernet and IPv4 without options: ethertype, version and header length, total length, fragment, protocol, then
# addresses and ports as one key, then of TCP the sequence number, header length and flags. Of UDP the sequence
# number's upper half is the length.
_HEAD = Struct(">12xHBxHxxHxBxx12sI4xBB")
_HEAD_SIZE = _HEAD.size
_ports = Struct(">HH").unpack_from
_tcp = Struct(">HHI4xBB").unpack_from

# IPv4 without options up to the ports; IPv6 with TCP or UDP right behind it, the same.
_four = Struct(">BxHxxHxBxx12s").unpack_from
_six = Struct(">B3xHBx36s").unpack_from
_IPV4, _IPV6, _VLAN = 0x0800, 0x86DD, 0x8100

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_NEW = FlowState.NEW
_ETHERNET = Link.ETHERNET
_SCTP = 132
#: Datagrams of a flow that are looked at until one is of the protocol that its port promises.
_TRIES = 8
#: Packets are out of order by less than this; more is another clock.
_BACK_SECONDS = 60.0
#: NFS and its mount daemon: their clients call from ports below 1024.
_CALLED_FROM_LOW = frozenset({2049, 20_048})
_CHANGING = FIN | SYN | RST


class Engine:
    """Packets to events.

    Args:
        settings: bounds and time-outs.
        counters: where packets, bytes and everything that was not understood is counted.
        live: packets do not wait (a file's do).
        keeper: gets the first packets of each direction of a flow, and every packet that is of none.
        sample: of so many TCP connections one is searched for gaps.
    """

    def __init__(
        self,
        settings: PacketsTable,
        counters: Counters,
        *,
        live: bool = False,
        keeper: Keeper | None = None,
        sample: int = EVERY,
    ) -> None:
        self._counters = counters
        self._events: list[Event] = []
        self._table = FlowTable(settings, self._ended)
        self._budget = Budget(settings.streams_mib << 20)
        self._fragments = Fragments(settings.fragments_mib << 20)
        self._arp = ArpWatch(self._events.append, counters.note_invalid)
        self._rare = Rare(settings.rare_per_second, counters.note_invalid, wait=not live)
        self._decoder = Decoder(self._deliver, self._arp.packet, self._fragments, counters.note_invalid, self._rare)
        self._gaps = GapMeter(counters, sample)
        self._next_look = 0.0
        self._keeper = keeper
        #: Packets of a direction that the keeper gets, and whether the one at hand is one too many.
        self._keeping = keeper.depth if keeper is not None else 0
        self._beyond = False

    def take(self) -> list[Event]:
        """The events since the last call."""
        events = self._events[:]
        self._events.clear()
        self._counters.events += len(events)
        self._counters.evicted = self._table.evicted + self._budget.evicted + self._fragments.evicted
        return events

    def feed(self, batch: Batch) -> None:  # noqa: C901, PLR0912, PLR0915 - one loop: a call a packet costs a tenth
        """Take every packet of a batch in."""
        buffer, link, records = batch
        counters = self._counters
        counters.packets += len(records)
        ethernet = link == _ETHERNET
        head, quick, frame = _HEAD.unpack_from, self._quick, self._decoder.frame
        tcp, udp = self._table.tcp.get, self._table.udp.get
        alive = self._table.surely_alive
        if records and records[0][0] < self._next_look - _BACK_SECONDS:
            # The clock was set back, or one packet claimed to be of the future: go on from here.
            self._next_look = 0.0
        next_look = self._next_look
        total_bytes = 0
        keeping = self._keeping
        kept: list[tuple[float, int, int, int, int]] = []
        for record in records:
            seconds, wire, start, captured, tag = record
            total_bytes += wire
            if seconds >= next_look:
                next_look = self._look(seconds)
            kind, version, total, fragment, protocol, key, sequence, offset, flags = head(buffer, start)
            if (
                kind == 0x0800
                and version == 0x45
                and not fragment & 0x3FFF
                and not tag
                and total + 14 <= captured
                and ethernet
            ):
                if protocol == TCP:
                    size = offset >> 2 & 60
                    at = start + 34 + size
                    size = total - 20 - size
                    if size >= 0 and offset >= 0x50:
                        half = tcp(key)
                        if half is not None and size <= half.quiet and not flags & 7 and seconds - half.last < alive:
                            half.packets += 1
                            half.bytes += wire
                            half.flags |= flags
                            half.last = seconds
                            if half.packets <= keeping:
                                kept.append(record)
                            continue
                        end = at + size
                        self._beyond = False
                        self._segment(half, key, 4, seconds, wire, flags, sequence, buffer, at, end, start)
                        if keeping and not self._beyond:
                            kept.append(record)
                        continue
                elif protocol == UDP and total >= 28 and total - 20 >= sequence >> 16 >= 8:
                    half = udp(key)
                    if half is not None and half.quiet == NEVER and seconds - half.last < alive:
                        half.packets += 1
                        half.bytes += wire
                        half.last = seconds
                        if half.packets <= keeping:
                            kept.append(record)
                        continue
                    end = start + 34 + (sequence >> 16)
                    self._beyond = False
                    self._datagram(half, key, 4, seconds, wire, buffer, start + 42, end, start)
                    if keeping and not self._beyond:
                        kept.append(record)
                    continue
            self._beyond = False
            if not ethernet or not quick(buffer, record):
                frame(link, buffer, record)
            if keeping and not self._beyond:
                kept.append(record)
        self._next_look = next_look
        counters.bytes += total_bytes
        if kept and self._keeper is not None:
            self._keeper.take(Batch(buffer, link, kept))

    def advance(self, now: float) -> None:
        """Time goes on though no packets come."""
        if now >= self._next_look:
            self._next_look = self._look(now)

    def close(self) -> None:
        """Nothing more will come: report what is still held."""
        self._table.close()

    def end(self) -> None:
        """Give up what lives outside this object."""
        self._rare.close()

    def _look(self, now: float) -> float:
        """What is done once a second of the packets' time. Gives when to look again."""
        self._table.advance(now)
        self._fragments.advance(now)
        self._arp.advance()
        return float(int(now) + 1)

    # Packets that did not come through the loop

    def _quick(  # noqa: PLR0912 - one function for the same reason as feed
        self, buffer: bytes, record: tuple[float, int, int, int, int]
    ) -> bool:
        """Take in TCP and UDP over plain IPv4 or IPv6, behind one VLAN tag or none. False: left for the decoder."""
        seconds, wire, start, captured, tag = record
        end = start + captured
        at = start + 14
        kind = _ports(buffer, start + 10)[1]
        vlan: tuple[int, ...] = ()
        if tag:
            wire += 4
            vlan = (tag & 0xFFF,)
        elif kind == _VLAN:
            word, kind = _ports(buffer, at)
            vlan = (word & 0xFFF,)
            at += 4
        if kind == _IPV4:
            version, total, fragment, protocol, key = _four(buffer, at)
            if version != 0x45 or fragment & 0x3FFF or total < 28 or at + total > end:
                return False
            width, end = 4, at + total
            at += 20
        elif kind == _IPV6:
            version, total, protocol, key = _six(buffer, at)
            at += 40
            if version >> 4 != 6 or total < 8 or at + total > end:
                return False
            width, end = 16, at + total
        else:
            return False
        if vlan:
            key += _suffix(vlan)
        if protocol == TCP:
            _, _, sequence, offset, flags = _tcp(buffer, at)
            at += offset >> 2 & 60
            if offset < 0x50 or at > end:
                return False
            half = self._table.tcp.get(key)
            if half is None or end - at > half.quiet or flags & 7 or seconds - half.last >= self._table.surely_alive:
                context = Context(seconds, wire, vlan, 0, buffer[start : start + 12])
                self._segment(half, key, width, seconds, wire, flags, sequence, buffer, at, end, context)
                return True
            half.flags |= flags
        elif protocol == UDP:
            length = _ports(buffer, at + 4)[0]
            if length < 8 or at + length > end:
                return False
            half = self._table.udp.get(key)
            if half is None or half.quiet != NEVER or seconds - half.last >= self._table.surely_alive:
                context = Context(seconds, wire, vlan, 0, buffer[start : start + 12])
                self._datagram(half, key, width, seconds, wire, buffer, at + 8, at + length, context)
                return True
        else:
            return False
        half.packets += 1
        self._beyond = half.packets > self._keeping
        half.bytes += wire
        half.last = seconds
        return True

    def _deliver(
        self, context: Context, protocol: int, source: bytes, destination: bytes, buffer: bytes, at: int, end: int
    ) -> None:
        width = len(source)
        if protocol == TCP:
            if end - at < 20:
                self._counters.note_invalid("tcp: short header")
                return
            _, _, sequence, offset, flags = _tcp(buffer, at)
            size = offset >> 2 & 60
            if size < 20 or at + size > end:
                self._counters.note_invalid("tcp: header does not hold together")
                return
            key = source + destination + buffer[at : at + 4] + context.suffix
            self._segment(
                self._table.tcp.get(key), key, width, context.seconds, context.length, flags, sequence, buffer,
                at + size, end, context,
            )  # fmt: skip
        elif protocol == UDP:
            if end - at < 8:
                self._counters.note_invalid("udp: short header")
                return
            # A length of 0 is a jumbogram or segmentation offload.
            length = _ports(buffer, at + 4)[0] or end - at
            if length < 8 or (at + length > end and not context.cut):
                self._counters.note_invalid("udp: header does not hold together")
                return
            key = source + destination + buffer[at : at + 4] + context.suffix
            self._datagram(
                self._table.udp.get(key), key, width, context.seconds, context.length, buffer, at + 8,
                min(end, at + length), context,
            )  # fmt: skip
        elif protocol in (ICMP, ICMP6):
            self._icmp(context, protocol, source, destination, buffer, at, end)
        else:
            ports = buffer[at : at + 4] if protocol == _SCTP and end - at >= 12 else bytes(4)
            key = source + destination + ports + bytes((protocol,)) + context.suffix
            self._count(key, protocol, width, context)

    def _icmp(
        self, context: Context, protocol: int, source: bytes, destination: bytes, buffer: bytes, at: int, end: int
    ) -> None:
        if end - at < 8:
            self._counters.note_invalid("icmp: short header")
            return
        kind, code = buffer[at], buffer[at + 1]
        if protocol == ICMP and is_error(kind):
            self._icmp_error(context, source, kind, buffer, at + 8, end)
            return
        key = (
            source
            + destination
            + bytes((0, kind, 0, counterpart(protocol, kind)))
            + bytes((protocol,))
            + context.suffix
        )
        half = self._count(key, protocol, len(source), context)
        if half.flow.icmp is None:
            half.flow.icmp = (kind, code)

    def _icmp_error(self, context: Context, source: bytes, kind: int, buffer: bytes, at: int, end: int) -> None:
        """An error counts to the flow whose packet it quotes; one that quotes none of ours makes no flow."""
        found = quoted(buffer, at, end) if kind == 3 else None
        if found is not None:
            protocol, key = found
            table = {TCP: self._table.tcp, UDP: self._table.udp}.get(protocol, self._table.other)
            half = table.get(key + context.suffix)
            if half is not None and not self._table.timed_out(half.flow, context.seconds):
                flow = half.flow
                back = flow.up if flow.up.key[:4] == source else flow.down
                back.packets += 1
                back.bytes += context.length
                back.last = max(back.last, context.seconds)
                flow.errors += 1
                return
        self._counters.note_invalid("icmp: error about a packet of no known flow")

    def _count(self, key: bytes, protocol: int, width: int, context: Context) -> Half:
        half = self._table.other.get(key)
        if half is not None and self._table.timed_out(half.flow, context.seconds):
            self._table.end(half.flow, TIMEOUT)
            half = None
        if half is None:
            half = self._open(self._table.other, key, protocol, width, context.seconds, False, b"", context)
        half.packets += 1
        self._beyond = half.packets > self._keeping
        half.bytes += context.length
        half.last = context.seconds
        return half

    # Flows

    def _open(
        self,
        table: dict[bytes, Half],
        key: bytes,
        protocol: int,
        width: int,
        seconds: float,
        by_server: bool,
        buffer: bytes,
        origin: Context | int,
    ) -> Half:
        """A new flow, begun by the packet of ``key``. Gives the packet's direction of it."""
        ports = 2 * width
        back = key[width:ports] + key[:width] + key[ports + 2 : ports + 4] + key[ports : ports + 2] + key[ports + 4 :]
        if isinstance(origin, int):
            macs: bytes = buffer[origin : origin + 12]
            vlan: tuple[int, ...] = ()
        else:
            macs, vlan = origin.macs, origin.vlan
        if by_server:
            flow = self._table.open(table, back, key, protocol, width, seconds)
        else:
            flow = self._table.open(table, key, back, protocol, width, seconds)
            macs = macs[6:] + macs[:6]
        flow.macs, flow.vlan = macs, vlan
        return flow.down if by_server else flow.up

    def _segment(
        self,
        half: Half | None,
        key: bytes,
        width: int,
        seconds: float,
        length: int,
        flags: int,
        sequence: int,
        buffer: bytes,
        at: int,
        end: int,
        origin: Context | int,
    ) -> None:
        """A TCP segment of which more is needed than to count it."""
        table = self._table
        if half is not None and (
            (seconds - half.last >= table.surely_alive and table.timed_out(half.flow, seconds))
            or (flags & SYN and _begins_anew(half, flags, sequence))
        ):
            table.end(half.flow, TIMEOUT)
            half = None
        if half is None:
            by_server = flags & (SYN | ACK) == SYN | ACK or (not flags & SYN and _from_server(key, width))
            half = self._open(table.tcp, key, TCP, width, seconds, by_server, buffer, origin)
            half.flow.sampled = self._gaps.samples()
        half.packets += 1
        self._beyond = half.packets > self._keeping
        half.bytes += length
        half.flags |= flags
        half.last = seconds
        flow = half.flow
        if flags & _CHANGING or flow.tcp is not ESTABLISHED:
            self._change(flow, half, flags, sequence)
        quiet = half.quiet
        if flow.sampled:
            quiet = _quiet(half)
            self._sample(flow, half, sequence, end - at, flags, seconds, origin)
        if end > at and end - at > quiet:
            self._payload(flow, half, sequence + 1 if flags & SYN else sequence, buffer[at:end], seconds)

    def _sample(
        self, flow: Flow, half: Half, sequence: int, size: int, flags: int, seconds: float, origin: Context | int
    ) -> None:
        """Look for gaps in a connection of the sample, until enough of it has been seen."""
        if not isinstance(origin, int) and origin.cut:
            half.expected = None
            return
        self._gaps.see(half, sequence, max(0, size), flags, seconds)
        if half.packets > DEPTH:
            flow.sampled = False
            self._gaps.close(flow)
            _settle(flow)

    def _change(self, flow: Flow, half: Half, flags: int, sequence: int) -> None:
        state = flow.tcp
        before = FLOW_STATES[state]
        if flags & SYN:
            if half is flow.up:
                flow.initial = sequence
            if half.stream is None:
                half.stream = Stream(self._budget, sequence + 1)
            elif half is flow.down and before is _NEW:
                half.stream.or_begin(sequence + 1)
        after = advance(state, half is flow.up, flags)
        if after is state:
            return
        flow.tcp = after
        if FLOW_STATES[after] is not before:
            self._table.reschedule(flow)
        _settle(flow)

    def _payload(self, flow: Flow, half: Half, sequence: int, payload: bytes, seconds: float) -> None:
        stream = half.stream
        if stream is None:
            stream = half.stream = Stream(self._budget, sequence)
        reading = stream.reading
        if reading is SHUT:
            # Given up by somebody else: from here on the loop is to count it.
            _settle(flow)
            return
        conversation = flow.conversation
        if reading is SEEK:
            if conversation is None or not conversation.begins(half, payload):
                return
            stream.begin(sequence)
        if not stream.push(sequence, payload):
            return
        if conversation is None:
            conversation = self._identify(flow, half, stream)
        if conversation is not None:
            conversation.take(half, stream, seconds)
        _settle(flow)

    def _identify(self, flow: Flow, half: Half, stream: Stream) -> Conversation | None:
        """What is spoken here, by the first bytes of a direction."""
        found = identify(stream.data, _ports(flow.up.key, 2 * flow.width)[1])
        if found is None:
            stream.hold()
            return None
        if flow.application is None:
            flow.application = found.name
        if found.make is None:
            stream.shut()
            return None
        if found.by_server is not None and found.by_server is (half is flow.up):
            flow.swap()
        flow.conversation = found.make(flow, self._events.append)
        return flow.conversation

    def _datagram(
        self,
        half: Half | None,
        key: bytes,
        width: int,
        seconds: float,
        length: int,
        buffer: bytes,
        at: int,
        end: int,
        origin: Context | int,
    ) -> None:
        """A UDP datagram of which more is needed than to count it."""
        table = self._table
        if half is not None and seconds - half.last >= table.surely_alive and table.timed_out(half.flow, seconds):
            table.end(half.flow, TIMEOUT)
            half = None
        if half is None:
            half = self._open(table.udp, key, UDP, width, seconds, _from_server(key, width), buffer, origin)
            half.quiet = half.flow.up.quiet = half.flow.down.quiet = 0
        half.packets += 1
        self._beyond = half.packets > self._keeping
        half.bytes += length
        half.last = seconds
        if end > at and not half.quiet:
            self._message(half.flow, half, buffer[at:end], seconds)

    def _message(self, flow: Flow, half: Half, payload: bytes, seconds: float) -> None:
        if flow.conversation is None:
            flow.conversation = self._converse(flow, half, payload)
        if flow.conversation is not None:
            flow.conversation.datagram(half, payload, seconds)

    def _converse(self, flow: Flow, half: Half, payload: bytes) -> Conversation | None:
        """Who follows a UDP flow, by one of its first datagrams."""
        source, destination = _ports(flow.up.key, 2 * flow.width)
        tunnel = tunnel_of(payload, destination)
        if tunnel is not None:
            return TunnelConversation(flow, tunnel, self._decoder.tunnelled)
        found = identify_datagram(payload, source, destination)
        if found.name is not None:
            flow.application = found.name
        if found.make is not None:
            if found.by_server is not None and found.by_server is (half is flow.up):
                flow.swap()
            return found.make(flow, self._events.append)
        if found.retry and flow.up.packets + flow.down.packets < _TRIES:
            self._counters.note_invalid("dns: cannot be read")
        else:
            flow.up.quiet = flow.down.quiet = NEVER
        return None

    def _ended(self, flow: Flow, reason: Reason) -> None:
        if flow.sampled:
            self._gaps.close(flow)
        if flow.conversation is not None:
            flow.conversation.close(flow)
        for half in (flow.up, flow.down):
            if half.stream is not None:
                half.stream.shut()
        self._events.append(flow_event(flow, reason))


def _settle(flow: Flow) -> None:
    """Say of both directions which segments need more than counting."""
    up, down = flow.up, flow.down
    if flow.sampled or flow.tcp is not ESTABLISHED:
        up.quiet = down.quiet = ALWAYS
    else:
        up.quiet, down.quiet = _quiet(up), _quiet(down)


def _quiet(half: Half) -> int:
    """How large a segment's payload may be that need not be looked at."""
    stream = half.stream
    if half.flow.tcp is not ESTABLISHED:
        return ALWAYS
    if stream is not None and (stream.asleep or stream.reading is SHUT):
        return NEVER
    return 0


def _begins_anew(half: Half, flags: int, sequence: int) -> bool:
    """Whether a SYN begins another connection between the same two ports."""
    flow = half.flow
    if flags & ACK or (half is flow.up and sequence == flow.initial):
        return False
    return flow.tcp >= LAST_ACK or flow.tcp is NONE


@lru_cache(maxsize=8_192)
def _suffix(vlan: tuple[int, ...]) -> bytes:
    return Context(0, 0, vlan).suffix


def _from_server(key: bytes, width: int) -> bool:
    """Whether a packet whose conversation began unseen comes from a server, judged by the ports."""
    source, destination = _ports(key, 2 * width)
    return bool(source < 1024 <= destination) and destination not in _CALLED_FROM_LOW

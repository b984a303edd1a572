"""From a frame to what a flow is made of: link layer, VLAN tags, tunnels, IP, extension headers, fragments.

This is the way for every packet that the engine does not take apart itself (``engine.py``). What is
counted of a packet, and which layers make a flow, follows Suricata: the frame's length at the outside; in a tunnel that
of the inner packet, or of the inner frame where there is one (ERSPAN: with its header; VXLAN: without the frame's). GRE
and IP in IP show only what is in them, VXLAN and Geneve both.

Nothing raises: a packet that does not hold together is counted by its reason and left.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct as Layout
from types import MappingProxyType

from msgspec import Struct

from schoolwacht_agent.sources.packets.flows import ICMP6
from schoolwacht_agent.sources.packets.fragments import Fragments
from schoolwacht_agent.sources.packets.rare import Rare
from schoolwacht_agent.sources.packets.records import TAGGED, Link

_half = Layout(">H").unpack_from
_IPV4, _IPV6, _ARP = 0x0800, 0x86DD, 0x0806
_VLANS = frozenset({0x8100, 0x88A8, 0x9100})
_MPLS = frozenset({0x8847, 0x8848})
_PPPOE, _BRIDGED, _PPP, _ERSPAN = 0x8864, 0x6558, 0x880B, 0x88BE
_LENGTH_MAX = 1536
#: SNAP whose protocol is an ethertype (RFC 1042; IEEE 802.1H).
_SNAPS = (b"\xaa\xaa\x03\x00\x00\x00", b"\xaa\xaa\x03\x00\x00\xf8")
_TAGS_MAX = 4
_DEPTH_MAX = 5
_EXTENSIONS_MAX = 16

_HOP, _IPIP, _IPV6_IN, _ROUTING, _FRAGMENT, _GRE, _AUTHENTICATION, _NONE, _OPTIONS = 0, 4, 41, 43, 44, 47, 51, 59, 60
_EXTENSIONS = frozenset({_HOP, _ROUTING, _OPTIONS, _AUTHENTICATION})


class Context(Struct, frozen=True, gc=False):
    """What is known of a packet outside its network layer.

    ``length`` is what the packet counts for; ``suffix`` what sets its flow's key apart (VLANs, depth of tunnel);
    ``macs`` destination and source, empty if the link has none; ``cut`` that less was captured than was on the wire.
    """

    seconds: float
    length: int
    vlan: tuple[int, ...] = ()
    depth: int = 0
    macs: bytes = b""
    cut: bool = False

    @property
    def suffix(self) -> bytes:
        """Empty at the outside of an untagged frame."""
        if not self.vlan and not self.depth:
            return b""
        return bytes((self.depth,)) + b"".join(tag.to_bytes(2, "big") for tag in self.vlan)

    def inside(self, length: int) -> Context:
        """The same one tunnel deeper."""
        return Context(self.seconds, length, self.vlan, self.depth + 1, self.macs, self.cut)

    def tagged(self, tag: int) -> Context:
        """The same behind one more VLAN tag."""
        return Context(self.seconds, self.length, (*self.vlan, tag), self.depth, self.macs, self.cut)

    def whole(self, length: int) -> Context:
        """The same for a packet made of fragments."""
        return Context(self.seconds, length, self.vlan, self.depth, self.macs, False)


#: Context, protocol number, source and destination address, buffer, where its header and where its payload ends.
Deliver = Callable[[Context, int, bytes, bytes, bytes, int, int], None]
#: Context, buffer, where the ARP packet begins and ends.
DeliverArp = Callable[[Context, bytes, int, int], None]


class Decoder:
    """Takes frames apart.

    Args:
        deliver: gets every transport packet.
        arp: gets every ARP packet.
        fragments: keeps what waits for the rest.
        note: told the reason of every packet that is left.
        rare: tried on link types and ethertypes that are not known here.
    """

    def __init__(
        self,
        deliver: Deliver,
        arp: DeliverArp,
        fragments: Fragments,
        note: Callable[[str], None],
        rare: Rare,
    ) -> None:
        self._deliver = deliver
        self._arp = arp
        self._fragments = fragments
        self._note = note
        self._rare = rare

    def frame(self, link: int, buffer: bytes, record: tuple[float, int, int, int, int]) -> None:
        """Take one record of a batch apart."""
        seconds, wire, start, captured, tci = record
        context = Context(seconds, wire, macs=b"", cut=captured < wire)
        if tci & TAGGED:
            context = Context(seconds, wire + 4, (tci & 0xFFF,), cut=captured < wire)
        self._link(context, link, buffer, start, start + captured)

    def tunnelled(self, context: Context, kind: str, payload: bytes) -> None:
        """Take apart what a datagram of a UDP tunnel carries.

        Args:
            context: of the datagram.
            kind: "vxlan", "geneve" or "l2tp".
            payload: the datagram's.
        """
        end = len(payload)
        if context.depth >= _DEPTH_MAX:
            self._note("tunnel: too deep")
        elif kind == "vxlan":
            if payload[0] & 0x08:
                self._inner_ethernet(context, payload, 8, end, max(0, end - 22))
            else:
                self._note("vxlan: no network identifier")
        elif kind == "geneve":
            skip = 8 + ((payload[0] & 0x3F) << 2)
            if skip >= end:
                self._note("geneve: short header")
            elif (inner := _half(payload, 2)[0]) == _BRIDGED:
                self._inner_ethernet(context, payload, skip, end, end - skip)
            else:
                self._network(context.inside(end - skip), inner, payload, skip, end)
        else:
            found = self._rare.l2tp(context.seconds, payload)
            if found is not None:
                self._network(context.inside(len(found[1])), found[0], found[1], 0, len(found[1]))

    def _link(self, context: Context, link: int, buffer: bytes, at: int, end: int) -> None:
        if link == Link.ETHERNET:
            self._ethernet(context, buffer, at, end)
            return
        entry = _LINKS.get(link)
        if entry is None:
            inner = self._rare.unwrap(context.seconds, link, -1, buffer[at:end])
            if inner is None:
                self._note(f"link type {link}")
            else:
                self._network(context, inner[0], inner[1], 0, len(inner[1]))
            return
        size, kind_of = entry
        if end - at < size:
            self._note("link: short header")
            return
        kind, skip = kind_of(buffer, at)
        self._network(context, kind, buffer, at + skip, end)

    def _ethernet(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        if end - at < 14:
            self._note("ethernet: short header")
            return
        outer = Context(context.seconds, context.length, context.vlan, context.depth, buffer[at : at + 12], context.cut)
        self._network(outer, _half(buffer, at + 12)[0], buffer, at + 14, end)

    def _network(self, context: Context, kind: int, buffer: bytes, at: int, end: int) -> None:
        while kind in _VLANS:
            if end - at < 4:
                self._note("vlan: short header")
                return
            if len(context.vlan) >= _TAGS_MAX:
                self._note("vlan: too many tags")
                return
            tag, kind = _half(buffer, at)[0] & 0xFFF, _half(buffer, at + 2)[0]
            context = context.tagged(tag)
            at += 4
        if kind == _IPV4:
            self._ipv4(context, buffer, at, end)
        elif kind == _IPV6:
            self._ipv6(context, buffer, at, end)
        elif kind == _ARP:
            self._arp(context, buffer, at, end)
        elif kind == _PPPOE:
            if end - at < 8 or buffer[at] != 0x11 or buffer[at + 1]:
                self._note("pppoe: no session data")
            else:
                self._ppp(context, buffer, at + 6, end)
        elif kind == _PPP:
            self._ppp(context, buffer, at, end)
        elif kind in _MPLS:
            self._mpls(context, buffer, at, end)
        else:
            self._unknown(context, kind, buffer, at, end)

    def _unknown(self, context: Context, kind: int, buffer: bytes, at: int, end: int) -> None:
        if kind < _LENGTH_MAX:
            self._logical(context, min(end, at + kind), buffer, at)
            return
        inner = self._rare.unwrap(context.seconds, -1, kind, buffer[at:end]) if context.depth < _DEPTH_MAX else None
        if inner is not None:
            self._network(context.inside(len(inner[1])), inner[0], inner[1], 0, len(inner[1]))
        else:
            self._note(f"ethertype 0x{kind:04x}")

    def _logical(self, context: Context, end: int, buffer: bytes, at: int) -> None:
        """802.2 with its length in the ethertype's place: IP and ARP are behind SNAP (RFC 1042), else something old."""
        if end - at > 8 and buffer[at : at + 6] in _SNAPS and (kind := _half(buffer, at + 6)[0]) >= _LENGTH_MAX:
            self._network(context, kind, buffer, at + 8, end)
        else:
            self._note("ethernet: 802.2 frame")

    def _ppp(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        if buffer[at : at + 2] == b"\xff\x03":
            at += 2
        if end - at < 2:
            self._note("ppp: short header")
            return
        protocol = buffer[at]
        at += 1
        if not protocol & 1:
            protocol = protocol << 8 | buffer[at]
            at += 1
        kind = _PPP_PROTOCOLS.get(protocol)
        if kind is None:
            self._note("ppp: control or unknown protocol")
        else:
            self._network(context, kind, buffer, at, end)

    def _mpls(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        for _ in range(_EXTENSIONS_MAX):
            if end - at < 5:
                break
            bottom = buffer[at + 2] & 1
            at += 4
            if not bottom:
                continue
            nibble = buffer[at] >> 4
            if nibble in (4, 6):
                self._network(context, _IPV4 if nibble == 4 else _IPV6, buffer, at, end)
            else:
                # A pseudo-wire: Ethernet, with (RFC 4448) or without a control word.
                self._inner_ethernet(context, buffer, at + 4 if nibble == 0 else at, end, context.length)
            return
        self._note("mpls: no bottom of the stack")

    def _inner_ethernet(self, context: Context, buffer: bytes, at: int, end: int, length: int) -> None:
        if context.depth >= _DEPTH_MAX:
            self._note("tunnel: too deep")
        else:
            self._ethernet(context.inside(length), buffer, at, end)

    def _ipv4(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        if end - at < 20:
            self._note("ipv4: short header")
            return
        header = (buffer[at] & 15) << 2
        total = _half(buffer, at + 2)[0] or end - at
        if buffer[at] >> 4 != 4 or header < 20 or total < header:
            self._note("ipv4: header does not hold together")
            return
        if at + total > end:
            if not context.cut:
                self._note("ipv4: cut off")
                return
            total = end - at
            if total < header:
                self._note("ipv4: short header")
                return
        end = at + total
        source, destination = buffer[at + 12 : at + 16], buffer[at + 16 : at + 20]
        protocol = buffer[at + 9]
        fragment = _half(buffer, at + 6)[0]
        if not fragment & 0x3FFF:
            self._transport(context, protocol, source, destination, buffer, at + header, end)
            return
        whole = self._fragments.add(
            (source, destination, buffer[at + 4 : at + 6], protocol, context.suffix),
            (fragment & 0x1FFF) << 3,
            not fragment & 0x2000,
            buffer[at : at + header],
            buffer[at + header : end],
            context.seconds,
        )
        if whole is not None:
            payload = whole[1]
            outer = context.whole(len(whole[0]) + len(payload))
            self._transport(outer, protocol, source, destination, payload, 0, len(payload))

    def _ipv6(self, context: Context, buffer: bytes, at: int, end: int) -> None:
        if end - at < 40:
            self._note("ipv6: short header")
            return
        if buffer[at] >> 4 != 6:
            self._note("ipv6: header does not hold together")
            return
        # A length of 0 is a jumbogram or segmentation offload: as long as what is there.
        total = _half(buffer, at + 4)[0] + 40 if _half(buffer, at + 4)[0] else end - at
        if at + total > end and not context.cut:
            self._note("ipv6: cut off")
            return
        end = min(end, at + total)
        source, destination = buffer[at + 8 : at + 24], buffer[at + 24 : at + 40]
        self._extensions(context, buffer[at + 6], source, destination, buffer, at + 40, end)

    def _extensions(
        self, context: Context, protocol: int, source: bytes, destination: bytes, buffer: bytes, at: int, end: int
    ) -> None:
        for _ in range(_EXTENSIONS_MAX):
            if protocol == _NONE:
                self._note("ipv6: no next header")
                return
            if protocol == _FRAGMENT:
                self._fragment6(context, source, destination, buffer, at, end)
                return
            if protocol not in _EXTENSIONS:
                self._transport(context, protocol, source, destination, buffer, at, end)
                return
            if end - at < 8:
                self._note("ipv6: short extension header")
                return
            size = (buffer[at + 1] + 2) << 2 if protocol == _AUTHENTICATION else (buffer[at + 1] + 1) << 3
            protocol = buffer[at]
            at += size
            if at > end:
                self._note("ipv6: short extension header")
                return
        self._note("ipv6: too many extension headers")

    def _fragment6(self, context: Context, source: bytes, destination: bytes, buffer: bytes, at: int, end: int) -> None:
        if end - at < 8:
            self._note("ipv6: short extension header")
            return
        protocol, place = buffer[at], _half(buffer, at + 2)[0]
        if not place & 0xFFF9:
            # An atomic fragment (RFC 6946) is whole.
            self._extensions(context, protocol, source, destination, buffer, at + 8, end)
            return
        whole = self._fragments.add(
            (source, destination, buffer[at + 4 : at + 8], context.suffix),
            place & 0xFFF8,
            not place & 1,
            bytes((protocol,)),
            buffer[at + 8 : end],
            context.seconds,
        )
        if whole is not None:
            payload = whole[1]
            outer = context.whole(40 + len(payload))
            self._extensions(outer, whole[0][0], source, destination, payload, 0, len(payload))

    def _transport(
        self, context: Context, protocol: int, source: bytes, destination: bytes, buffer: bytes, at: int, end: int
    ) -> None:
        if protocol in _TUNNELS:
            if context.depth >= _DEPTH_MAX:
                self._note("tunnel: too deep")
            elif protocol == _GRE:
                self._gre(context, source, destination, buffer, at, end)
            else:
                self._network(context.inside(end - at), _TUNNELS[protocol], buffer, at, end)
            return
        if protocol == ICMP6 and len(source) == 4:
            self._note("ipv4: ICMPv6 inside")
            return
        self._deliver(context, protocol, source, destination, buffer, at, end)

    def _gre(self, context: Context, source: bytes, destination: bytes, buffer: bytes, at: int, end: int) -> None:
        """RFC 2784 and 2890; version 1 is PPTP's (RFC 2637)."""
        if end - at < 4:
            self._note("gre: short header")
            return
        flags, kind = _half(buffer, at)[0], _half(buffer, at + 2)[0]
        inner = at + 4
        if flags & 0x8000:
            inner += 4
        inner += 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
        if flags & 7 == 1 and flags & 0x80:
            inner += 4
        if inner > end:
            self._note("gre: short header")
        elif inner == end:
            # Only an acknowledgement.
            return
        elif kind == _BRIDGED:
            self._inner_ethernet(context, buffer, inner, end, end - inner)
        elif kind == _ERSPAN:
            self._erspan(context, buffer, inner, end, typed=bool(flags & 0x1000))
        elif kind in (_IPV4, _IPV6, _PPP) or kind in _VLANS or kind in _MPLS:
            self._network(context.inside(end - inner), kind, buffer, inner, end)
        else:
            self._deliver(context, _GRE, source, destination, buffer, at, end)

    def _erspan(self, context: Context, buffer: bytes, at: int, end: int, *, typed: bool) -> None:
        """A mirrored frame. Type II has a header that names its VLAN, and is told by GRE's sequence number."""
        if not typed:
            self._inner_ethernet(context, buffer, at, end, end - at)
        elif end - at < 8:
            self._note("erspan: short header")
        else:
            tag = _half(buffer, at)[0] & 0xFFF
            self._inner_ethernet(context.tagged(tag) if tag else context, buffer, at + 8, end, end - at)


_TUNNELS = MappingProxyType({_IPIP: _IPV4, _IPV6_IN: _IPV6, _GRE: 0})
_PPP_PROTOCOLS = MappingProxyType({0x21: _IPV4, 0x57: _IPV6, 0x281: 0x8847, 0x283: 0x8848})
# Families of loopback captures: AF_INET, and AF_INET6 of NetBSD/OpenBSD, FreeBSD, macOS and Linux.
_FAMILIES = MappingProxyType({2: _IPV4, 24: _IPV6, 28: _IPV6, 30: _IPV6, 10: _IPV6})


def _family(buffer: bytes, at: int) -> tuple[int, int]:
    # In the byte order of the machine that captured: the small number tells which.
    family = int.from_bytes(buffer[at : at + 4], "little")
    return _FAMILIES.get(family if family < 256 else int.from_bytes(buffer[at : at + 4], "big"), 0), 4


def _bare(buffer: bytes, at: int) -> tuple[int, int]:
    return (_IPV6 if buffer[at] >> 4 == 6 else _IPV4), 0


#: Link type → shortest header, and a function that gives the ethertype and how much to skip.
_LINKS: MappingProxyType[int, tuple[int, Callable[[bytes, int], tuple[int, int]]]] = MappingProxyType(
    {
        Link.NULL: (4, _family),
        Link.LOOP: (4, _family),
        Link.RAW: (1, _bare),
        Link.RAW_BSD: (1, _bare),
        Link.RAW_OPENBSD: (1, _bare),
        Link.IPV4: (1, lambda _buffer, _at: (_IPV4, 0)),
        Link.IPV6: (1, lambda _buffer, _at: (_IPV6, 0)),
        Link.LINUX_SLL: (16, lambda buffer, at: (_half(buffer, at + 14)[0], 16)),
        Link.LINUX_SLL2: (20, lambda buffer, at: (_half(buffer, at)[0], 20)),
        Link.PPP: (2, lambda _buffer, _at: (_PPP, 0)),
        Link.PPP_HDLC: (4, lambda _buffer, _at: (_PPP, 0)),
    }
)

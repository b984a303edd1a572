"""Flows as events, and what every event of a flow has in common: its two ends, VLAN tags and link addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import NamedTuple

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.sources.community import community_id
from schoolwacht_agent.sources.packets.flows import TCP, Flow, Reason
from schoolwacht_agent.sources.transports import TRANSPORTS

_ports = Struct(">HH").unpack_from
_moment = datetime.fromtimestamp
#: The last moment that a datetime can hold; a damaged capture may claim any.
_SECONDS_MAX = 253_402_300_799.0

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_FLOW = Dataset.FLOW
MODULE = "packets"


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as UTC, to the microsecond; what lies outside the calendar is put on its edge."""
    if not 0 <= seconds <= _SECONDS_MAX:
        seconds = min(max(seconds, 0.0), _SECONDS_MAX)
    return _moment(seconds, UTC)


@lru_cache(maxsize=16_384)
def address(raw: bytes) -> str:
    """4 or 16 bytes as text (RFC 5952)."""
    return inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)


@lru_cache(maxsize=4_096)
def mac(raw: bytes) -> str | None:
    """A link address as ECS writes it (RFC 7042); None if there is none."""
    return raw.hex("-").upper() if len(raw) == 6 else None


class Ends(NamedTuple):
    """The two ends of a conversation; the source is the client. Ports of ICMP are type and code."""

    source_ip: str
    source_port: int
    destination_ip: str
    destination_port: int
    protocol: int

    def turned(self) -> Ends:
        """The same seen from the other end."""
        return Ends(self.destination_ip, self.destination_port, self.source_ip, self.source_port, self.protocol)


def ends_of(flow: Flow) -> Ends:
    """The ends of a flow, as text."""
    return _ends(flow.up.key, flow.width, flow.protocol, flow.icmp)


@lru_cache(maxsize=4_096)
def _ends(key: bytes, width: int, protocol: int, icmp: tuple[int, int] | None) -> Ends:
    source, destination = icmp if icmp is not None else _ports(key, 2 * width)
    return Ends(address(key[:width]), source, address(key[width : 2 * width]), destination, protocol)


#: Protocols whose ports a flow shows.
_WITH_PORTS = frozenset({6, 17, 132})


def set_vlan(event: Event, tags: tuple[int, ...]) -> None:
    """The two outermost VLAN tags."""
    if tags:
        event.network_vlan_id = str(tags[0])
        if len(tags) > 1:
            event.network_inner_vlan_id = str(tags[1])


def with_link(event: Event, flow: Flow, *, turned: bool = False) -> Event:
    """Add VLAN tags and link addresses to an event of a flow.

    Args:
        event: its source is the flow's, or, if it is ``turned``, the flow's destination.
        flow: the flow.
        turned: see ``event``.
    """
    set_vlan(event, flow.vlan)
    if flow.macs:
        source, destination = mac(flow.macs[:6]), mac(flow.macs[6:])
        event.source_mac, event.destination_mac = (destination, source) if turned else (source, destination)
    return event


def begin_event(flow: Flow, dataset: Dataset, seconds: float) -> Event:
    """What an event of any protocol says of its flow."""
    ends = ends_of(flow)
    event = Event(
        timestamp=moment(seconds),
        event_dataset=dataset,
        event_module=MODULE,
        source_ip=ends.source_ip,
        destination_ip=ends.destination_ip,
        network_transport=TRANSPORTS.get(flow.protocol) or str(flow.protocol),
        network_type="ipv4" if flow.width == 4 else "ipv6",
        network_community_id=community_id(
            ends.source_ip, ends.destination_ip, ends.source_port, ends.destination_port, flow.protocol
        ),
    )
    if flow.icmp is None and flow.protocol in _WITH_PORTS:
        event.source_port, event.destination_port = ends.source_port, ends.destination_port
    return with_link(event, flow)


def flow_event(flow: Flow, reason: Reason) -> Event:
    """A flow that has ended, or the part of it that has."""
    up, down, last = flow.up, flow.down, flow.last
    event = begin_event(flow, _FLOW, last)
    event.event_start = moment(flow.start)
    event.event_end = event.timestamp
    event.event_duration = max(0, round((last - flow.start) * 1e6)) * 1000
    event.source_bytes, event.source_packets = up.bytes, up.packets
    event.destination_bytes, event.destination_packets = down.bytes, down.packets
    event.network_bytes, event.network_packets = up.bytes + down.bytes, up.packets + down.packets
    event.network_protocol = flow.application
    event.nsm_flow_state, event.nsm_flow_reason = flow.state, reason
    if flow.icmp is not None:
        event.nsm_icmp_type, event.nsm_icmp_code = flow.icmp
    if flow.protocol == TCP:
        event.nsm_flow_source_tcp_flags = f"{up.flags:02x}"
        event.nsm_flow_destination_tcp_flags = f"{down.flags:02x}"
    return event

"""What several detectors ask of a flow event: did it start here, was it answered, was it short."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from schoolwacht.event import Event

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
_SECOND = 1_000_000_000
_EPHEMERAL = 1024


def started(event: Event) -> float:
    """When the flow began, seconds since 1970."""
    return (event.event_start or event.timestamp).timestamp()


def opened_by_source(event: Event) -> bool:
    """Whether the source really opened it: not the tail of a conversation whose beginning nobody saw."""
    if event.network_transport == "tcp":
        return bool(_flags(event.nsm_flow_source_tcp_flags) & _SYN)
    return (event.source_port or 0) >= _EPHEMERAL or (event.destination_port or 0) < _EPHEMERAL


def unanswered(event: Event) -> bool:
    """Whether the destination did not take part: silent, or refused with a reset."""
    if not event.destination_packets:
        return True
    if event.network_transport != "tcp":
        return False
    flags = _flags(event.nsm_flow_destination_tcp_flags)
    return not flags & _SYN and bool(flags & _RST)


def asked_for(event: Event) -> bool:
    """Whether a conversation that seems to come from outside is the tail of one that was opened from inside.

    A TCP conversation without its first packet in which both sides take part, or an answered datagram from a service's
    port to a client's.
    """
    if not event.destination_packets:
        return False
    if event.network_transport == "tcp":
        flags = _flags(event.nsm_flow_source_tcp_flags) | _flags(event.nsm_flow_destination_tcp_flags)
        return not flags & _SYN and not unanswered(event)
    return (event.source_port or 0) < _EPHEMERAL <= (event.destination_port or 0)


def short_exchange(event: Event, *, seconds: int, most_bytes: int) -> bool:
    """Whether both sides spoke, for a short time and few bytes: how a failed log-in looks from outside."""
    duration = event.event_duration or 0
    return (
        bool(event.destination_packets)
        and not unanswered(event)
        and duration <= seconds * _SECOND
        and (event.source_bytes or 0) + (event.destination_bytes or 0) <= most_bytes
    )


@lru_cache(maxsize=16_384)
def is_group(address: str) -> bool:
    """Whether an address is multicast, broadcast or unspecified: nobody scans those."""
    parsed = ip_address(address)
    return parsed.is_multicast or parsed.is_unspecified or address.endswith(".255")


@lru_cache(maxsize=1_024)
def _flags(text: str | None) -> int:
    return int(text, 16) if text else 0

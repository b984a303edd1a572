"""What every event has in common: times, ends, link layer; and the small forms that all mappings share.

Source is the client, in every dataset. Suricata writes most records in the direction of the flow, some in that of the
packet (``eve.py`` says which); a mapping passes ``turned=True`` to :func:`begin` for a record that the server wrote.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from socket import AF_INET6, inet_ntop, inet_pton
from types import MappingProxyType
from typing import Any

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.sources.community import community_id
from schoolwacht_agent.sources.suricata.record import Eve
from schoolwacht_agent.sources.transports import NUMBERS

MODULE = "suricata"

#: ``app_proto`` → ``network.protocol``. What is not here keeps its name; None: Suricata did not recognise it.
_PROTOCOLS: MappingProxyType[str, str | None] = MappingProxyType(
    {"failed": None, "unknown": None, "http1": "http", "http2": "http", "doh2": "http", "krb5_tcp": "krb5"}
)

#: Transports of which Suricata's Community ID is the standard's, unless an address talks to itself.
_ORDINARY = frozenset({"tcp", "udp", "sctp"})
_ICMP = frozenset({"icmp", "ipv6-icmp"})


def moment(text: str) -> datetime:
    """``2026-11-24T08:41:40.123456+0000`` as aware UTC time. Raises ValueError if it is none or off the calendar."""
    when = datetime.fromisoformat(text)
    return when if when.tzinfo is UTC else _in_utc(when)


def _in_utc(when: datetime) -> datetime:
    # A time without a zone (certificates) is meant in UTC.
    if when.tzinfo is None:
        return when.replace(tzinfo=UTC)
    try:
        return when.astimezone(UTC)
    except OverflowError as error:
        # The first or the last hours of the calendar, with an offset that leads out of it.
        raise ValueError(f"{when} is off the calendar in UTC") from error


def moment_or_none(text: str | None) -> datetime | None:
    """Like :func:`moment`; None for what is absent, no time, or beyond what a datetime holds."""
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def address(text: str | None) -> str | None:
    """An address in the shortest form (RFC 5952): Suricata writes IPv6 in full. None for what is absent or none.

    An IPv4 address is taken as it stands if it looks like one: the collector checks it.
    """
    if not text:
        return None
    if ":" not in text:
        return text if 7 <= len(text) <= 15 and text.count(".") == 3 else None
    try:
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=16_384)
def mac(text: str | None) -> str | None:
    """A link address as ECS writes it (RFC 7042): ``00-00-5E-00-53-23``."""
    return clip(text.replace(":", "-").upper()) if text else None


def host(text: str | None) -> str | None:
    """A name as it stands in events: lower-case, without trailing dot, at most 256 characters."""
    if not text:
        return None
    text = text.lower().rstrip(".")
    return (text if len(text) <= KEYWORD_MAX else text[:KEYWORD_MAX]) or None


def word(text: str | int | None) -> str | None:
    """Text of a keyword field, cut; None for absent, empty, ``<empty>`` and ``<none>``."""
    if text is None:
        return None
    if not isinstance(text, str):
        text = str(text)
    if not text or (text[0] == "<" and text in {"<empty>", "<none>"}):
        return None
    return text if len(text) <= KEYWORD_MAX else text[:KEYWORD_MAX]


def prose(text: str | None) -> str | None:
    """Text of a text field, cut; None if empty."""
    return clip(text, TEXT_MAX) if text else None


def words(values: Iterable[str] | None) -> list[str] | None:
    """A list of keywords, cut to what a field holds; None if empty."""
    if values is None:
        return None
    return [clip(value) for value in values if value][:LIST_MAX] or None


def count(value: int | None) -> int | None:
    """A number for a field that holds none below zero or beyond 63 bits."""
    return value if value is not None and 0 <= value < 1 << 63 else None


def protocol(name: str | None) -> str | None:
    """``network.protocol`` of an ``app_proto``."""
    return None if name is None else _PROTOCOLS.get(name, name)


def detail(values: dict[str, Any]) -> dict[str, str] | None:
    """The flattened field, of text, numbers, flags or lists of text by dotted name; absent and empty ones left out."""
    made: dict[str, str] = {}
    for name, value in values.items():
        if value is None or value == "":
            continue
        if isinstance(value, str):
            text = value
        elif isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int):
            text = str(value)
        else:
            text = ", ".join(value)
        if text:
            made[name] = text if len(text) <= TEXT_MAX else text[:TEXT_MAX]
    return made or None


def begin(eve: Eve, dataset: Dataset, name: str | None = None, *, turned: bool = False) -> Event:
    """The event of a record, with what all have in common.

    Args:
        eve: the record.
        dataset: what the event is about.
        name: ``network.protocol``.
        turned: the record's source is the server, so both ends change places.

    Raises ValueError if the record has no usable time.
    """
    when = datetime.fromisoformat(eve.timestamp)
    if when.tzinfo is not UTC:
        when = _in_utc(when)
    ether = eve.ether
    if ether is None:
        first = last = None
    else:
        first = ether.src_mac or (ether.src_macs[0] if ether.src_macs else None)
        last = ether.dest_mac or (ether.dest_macs[0] if ether.dest_macs else None)
    source, destination, transport, family, source_mac, destination_mac = _ends(
        eve.src_ip, eve.dest_ip, eve.proto, first, last
    )
    event = Event(when, dataset, MODULE)
    if turned:
        event.source_ip, event.source_port, event.source_mac = destination, eve.dest_port, destination_mac
        event.destination_ip, event.destination_port, event.destination_mac = source, eve.src_port, source_mac
    else:
        event.source_ip, event.source_port, event.source_mac = source, eve.src_port, source_mac
        event.destination_ip, event.destination_port, event.destination_mac = (
            destination,
            eve.dest_port,
            destination_mac,
        )
    event.network_transport, event.network_type = transport, family
    if name is not None:
        event.network_protocol = name
    if source != destination and transport in _ORDINARY:
        event.network_community_id = eve.community_id
    elif eve.community_id is not None:
        event.network_community_id = _standard_id(eve, transport)
    if eve.vlan:
        event.network_vlan_id = str(eve.vlan[0])
        if len(eve.vlan) > 1:
            event.network_inner_vlan_id = str(eve.vlan[1])
    if eve.icmp_type is not None:
        event.nsm_icmp_type, event.nsm_icmp_code = eve.icmp_type, eve.icmp_code
    return event


@lru_cache(maxsize=16_384)
def _ends(
    first: str | None, last: str | None, proto: str | None, first_mac: str | None, last_mac: str | None
) -> tuple[str | None, str | None, str | None, str | None, str | None, str | None]:
    """Both addresses, transport, type and both link addresses, as events have them: one look-up in place of five."""
    source, destination = address(first), address(last)
    one = source or destination
    family = None if one is None else "ipv6" if ":" in one else "ipv4"
    return source, destination, clip(proto.lower()) if proto else None, family, mac(first_mac), mac(last_mac)


def _standard_id(eve: Eve, transport: str | None) -> str | None:
    """The Community ID as the standard has it, where Suricata's (7 and 8) may be another: ``docs/decisions/0011``.

    Of the record's own direction, to which an ICMP type belongs. Suricata's, where the record does not name all of
    which the standard's is made.
    """
    source, destination, number = address(eve.src_ip), address(eve.dest_ip), NUMBERS.get(transport or "")
    if transport in _ORDINARY:
        first, second = eve.src_port, eve.dest_port
    elif transport in _ICMP:
        first, second = eve.icmp_type, eve.icmp_code
    else:
        first = second = 0
    if source is None or destination is None or number is None or first is None or second is None:
        return eve.community_id
    try:
        return community_id(source, destination, first, second, number)
    except (OSError, struct.error):
        # Text that only looks like an address, or a type that is no octet's.
        return eve.community_id

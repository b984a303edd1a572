"""Sums of a minute instead of the events: by client, service, registrable domain and server on the board's list.

The service is the protocol, or transport and port where that is not known. Attempts that nobody answered are one sum of
a client, whatever they tried, and one of all clients outside.

Promise: nothing is lost in them. Over all sums of a key, events, flows, failures, bytes and packets add up to those
of the events, and the first (``event.start``, if it is another) and last moment (``@timestamp``) are theirs, to the
second, whatever order they came in. The same events give the same sums.

A minute is one of the events' own time as far as it has come: an event that comes late counts in the minute in which it
came. Bounded: at the greatest number of keys all go out early, which is counted.

Limit: up to a minute of sums is in memory only; a process that is killed loses it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import unanswered
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms

MODULE = "minimise"
#: Ports above belong to clients, not to services.
_SERVICE_PORTS = 32_768
_INSIDE = frozenset({Direction.INTERNAL, Direction.INBOUND})
_FROM_INSIDE = frozenset({Direction.INTERNAL, Direction.OUTBOUND})
#: Of these the destination says nothing: whoever is asked for, or everyone.
_WITHOUT_SERVER = frozenset({Dataset.ARP, Dataset.DHCP, Dataset.ANOMALY})
#: Where a dataset keeps the name that it is about.
_NAME_FIELD = {
    Dataset.DNS: "dns_question_name",
    Dataset.TLS: "tls_client_server_name",
    Dataset.QUIC: "tls_client_server_name",
    Dataset.HTTP: "url_domain",
    Dataset.FILE: "url_domain",
}

#: Period, school, zone, direction, client, server, transport, protocol, port, field of the name, name.
Key: TypeAlias = tuple[
    str, str | None, str | None, Direction | None, str | None, str | None, str | None, str | None, int | None,
    str | None, str | None,
]  # fmt: skip


class _Sum:
    __slots__ = ("down_bytes", "down_packets", "events", "failures", "first", "flows", "last", "up_bytes", "up_packets")

    def __init__(self, moment: datetime) -> None:
        self.events = self.flows = self.failures = 0
        self.up_bytes = self.up_packets = self.down_bytes = self.down_packets = 0
        self.first = self.last = moment


class Sums:
    """The sums of the minute that runs.

    Args:
        size: keys held at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: dict[Key, _Sum] = {}
        #: How often all sums went out early for want of room.
        self.early = 0

    def add(self, event: Event, pseudonyms: Pseudonyms, hosts: Hosts) -> list[Event]:
        """Count an event in; the sums that have to go out for it, most often none."""
        key = _key_of(event, pseudonyms, hosts)
        held = self._held
        moment = event.timestamp
        found = held.get(key)
        gone: list[Event] = []
        if found is None:
            if len(held) >= self._size:
                self.early += 1
                gone = self.take()
            found = self._held[key] = _Sum(moment)
        elif moment > found.last:
            found.last = moment
        elif moment < found.first:
            found.first = moment
        found.events += 1
        if event.event_dataset is Dataset.FLOW:
            found.flows += 1
            found.up_bytes += event.source_bytes or 0
            found.up_packets += event.source_packets or 0
            found.down_bytes += event.destination_bytes or 0
            found.down_packets += event.destination_packets or 0
            found.failures += unanswered(event)
        elif event.event_outcome == "failure" or (event.dns_response_code or "NOERROR") != "NOERROR":
            found.failures += 1
        return gone

    def take(self) -> list[Event]:
        """All sums as events; the next begin at nothing."""
        held, self._held = self._held, {}
        # What a client did stands together: that packs better.
        return [_event(key, held[key]) for key in sorted(held, key=_order)]

    def __len__(self) -> int:
        return len(self._held)


def _key_of(event: Event, pseudonyms: Pseudonyms, hosts: Hosts) -> Key:
    source, destination = event.source_ip, event.destination_ip
    addresses, dataset = pseudonyms.addresses, event.event_dataset
    protocol, transport, port = event.network_protocol, event.network_transport, event.destination_port
    server = None
    if protocol is not None:
        transport = port = None
    elif dataset is Dataset.FLOW and unanswered(event):
        port = destination = None
        if event.network_direction not in _FROM_INSIDE:
            source = None
    elif port is not None and port >= _SERVICE_PORTS:
        port = None
    if destination is not None and event.network_direction in _INSIDE and dataset not in _WITHOUT_SERVER:
        shown = addresses.young.get(destination) or addresses.of(destination)
        server = shown if shown == destination else None
    field = _NAME_FIELD.get(dataset)
    name = None if field is None else domain_of(getattr(event, field), hosts)
    return (
        pseudonyms.period,
        event.school_location,
        event.school_zone,
        event.network_direction,
        None if source is None else addresses.young.get(source) or addresses.of(source),
        server,
        transport,
        protocol,
        port,
        None if name is None else field,
        name,
    )


def _whole(moment: datetime) -> datetime:
    """To the second: what lies below it would tie a sum to a packet that others also saw, and packs badly."""
    return moment.replace(microsecond=0)


def _order(key: Key) -> tuple[str, ...]:
    return tuple("" if part is None else str(part) for part in (key[4], *key))


def domain_of(name: str | None, hosts: Hosts) -> str | None:
    """What a sum says of a name: the registrable domain, the zone of a reverse look-up, a local name as it is shown."""
    if not name:
        return None
    if name.endswith(".arpa"):
        return ".".join(name.rsplit(".", 2)[-2:])
    shown = hosts.names.young.get(name) or hosts.of(name)
    if shown != name:
        return shown
    return split(name)[0] or name


def _event(key: Key, found: _Sum) -> Event:
    period, school, zone, direction, client, server, transport, protocol, port, field, name = key
    event = Event(_whole(found.last), Dataset.SUMMARY, MODULE)
    if (first := _whole(found.first)) != event.timestamp:
        event.event_start = first
    event.pseudonym_epoch = period
    event.school_location, event.school_zone = school, zone
    event.network_direction, event.source_ip, event.destination_ip = direction, client, server
    event.network_transport, event.network_protocol, event.destination_port = transport, protocol, port
    if field is not None:
        setattr(event, field, name)
    event.summary_events = found.events
    event.summary_failures = found.failures or None
    if found.flows:
        event.summary_flows = found.flows
        event.source_bytes, event.source_packets = found.up_bytes, found.up_packets
        event.destination_bytes, event.destination_packets = found.down_bytes, found.down_packets
    return event

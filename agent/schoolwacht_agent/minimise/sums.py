"""Sums of a minute instead of the events: by client, service, registrable domain and server on the board's list.

The service is the protocol, or transport and port where that is not known. Attempts that nobody answered are one sum of
a client, whatever they tried, and one of all clients outside. Traffic of which neither end is the school's is a sum
of the service alone: nobody there is the school's, and if ``agent.home`` leaves somebody out, that must not tell of
him. What machines say to all of their network (ARP, DHCP, multicast, broadcast) has no client either: every one does,
all the time.

Promise: nothing is lost in them. Over all sums of a key, events, flows, failures, bytes and packets add up to those
of the events, and the first (``event.start``, if it is another) and last moment (``@timestamp``) are theirs, to the
second, whatever order they came in. The same events give the same sums.

A minute is one of the events' own time as far as it has come: an event that comes late counts in the minute in which it
came. Bounded: at the greatest number of keys all go out early, which is counted. What has not gone out stands in the
journal (``journal.py``), so that a process that is killed loses nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import unanswered
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms

#: Ports above belong to clients, not to services.
_SERVICE_PORTS = 32_768
_INSIDE = frozenset({Direction.INTERNAL, Direction.INBOUND})
_FROM_INSIDE = frozenset({Direction.INTERNAL, Direction.OUTBOUND})
#: What machines say to all of their network: by dataset, or by how the destination begins (class D and up, ff00::/8).
_TO_ALL = frozenset({Dataset.ARP, Dataset.DHCP})
_TO_ALL_BEGIN = ("22", "23", "24", "25", "ff")
_BELOW_CLASS_D = ("220.", "221.", "222.", "223.", "22.", "23.", "24.", "25.")
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


#: A sum as the journal keeps it: its key, its figures, its first and last moment.
Row: TypeAlias = tuple[Key, tuple[int, int, int, int, int, int, int], datetime, datetime]


class SumChanges(NamedTuple):
    """What has changed since the last call: whether all went out, and each sum that was touched, as it stands."""

    reset: bool
    rows: list[Row]


class _Sum:
    __slots__ = (
        "down_bytes", "down_packets", "events", "failures", "first", "flows", "last", "touched", "up_bytes",
        "up_packets",
    )  # fmt: skip

    def __init__(self, moment: datetime) -> None:
        self.events = self.flows = self.failures = 0
        self.up_bytes = self.up_packets = self.down_bytes = self.down_packets = 0
        self.first = self.last = moment
        self.touched = False


class Sums:
    """The sums of the minute that runs.

    Args:
        size: keys held at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: dict[Key, _Sum] = {}
        self._touched: list[tuple[Key, _Sum]] = []
        self._reset = False
        #: How often all sums went out early for want of room.
        self.early = 0
        #: Events in the sums that have not gone out.
        self.events = 0

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
        if not found.touched:
            found.touched = True
            self._touched.append((key, found))
        found.events += 1
        self.events += 1
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
        self._touched, self._reset, self.events = [], True, 0
        # What has the same fields stands together: that packs better.
        return sorted((_event(*each) for each in held.items()), key=_order)

    def changes(self) -> SumChanges:
        """What the journal has to keep."""
        touched, self._touched = self._touched, []
        reset, self._reset = self._reset, False
        for _, found in touched:
            found.touched = False
        return SumChanges(reset, [_row(*each) for each in touched])

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on from what a journal kept; called before the first event."""
        for key, figures, first, last in rows:
            found = self._held[key] = _Sum(first)
            found.events, found.flows, found.failures = figures[:3]
            found.up_bytes, found.up_packets, found.down_bytes, found.down_packets = figures[3:]
            found.last = last
            self.events += found.events
        self.touch_all()

    def touch_all(self) -> None:
        """Let the next :meth:`changes` be everything there is."""
        self._reset, self._touched = True, list(self._held.items())
        for _, found in self._touched:
            found.touched = True

    def __len__(self) -> int:
        return len(self._held)


def _key_of(event: Event, pseudonyms: Pseudonyms, hosts: Hosts) -> Key:
    source, destination = event.source_ip, event.destination_ip
    addresses, dataset = pseudonyms.addresses, event.event_dataset
    protocol, transport, port = event.network_protocol, event.network_transport, event.destination_port
    server = None
    is_foreign = event.network_direction is Direction.EXTERNAL
    if is_foreign or dataset in _TO_ALL or _is_to_all(destination):
        source = None
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
    field = None if is_foreign else _NAME_FIELD.get(dataset)
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


def _is_to_all(address: str | None) -> bool:
    return address is not None and address.startswith(_TO_ALL_BEGIN) and not address.startswith(_BELOW_CLASS_D)


def _row(key: Key, found: _Sum) -> Row:
    figures = (
        found.events, found.flows, found.failures, found.up_bytes, found.up_packets, found.down_bytes,
        found.down_packets,
    )  # fmt: skip
    return key, figures, found.first, found.last


def _whole(moment: datetime) -> datetime:
    """To the second: what lies below it would tie a sum to a packet that others also saw, and packs badly."""
    return moment.replace(microsecond=0)


def _order(event: Event) -> tuple[object, ...]:
    # First what decides which fields a sum has, then what many share, last what tells them apart.
    name = event.dns_question_name or event.tls_client_server_name or event.url_domain or ""
    client, server, port = event.source_ip or "", event.destination_ip or "", event.destination_port or 0
    return (
        event.school_location or "", event.school_zone or "",
        not client, event.network_transport or "", not server, not port, event.destination_packets is None,
        event.summary_flows is None, event.source_packets is None, event.summary_failures is None,
        event.network_protocol or "", event.network_direction or "", not name, event.event_start is None,
        event.summary_events == 1, client, name, server, port, event.pseudonym_epoch or "",
    )  # fmt: skip


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
    event = Event(_whole(found.last), Dataset.SUMMARY)
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
        # What ``derive`` fills in need not travel: all events flows, all flows without an answer.
        if found.flows != found.events:
            event.summary_flows = found.flows
        if not found.down_packets and found.failures == found.flows:
            event.summary_failures = None
        event.source_bytes, event.source_packets = found.up_bytes, found.up_packets
        # Nothing is said by leaving out: most of what fails has no answer.
        event.destination_bytes, event.destination_packets = found.down_bytes or None, found.down_packets or None
    return event

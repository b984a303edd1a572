"""Sightings: which domains, addresses, fingerprints and programs were seen, how often, and by whom: nobody.

A value goes out within a minute of its first appearance on a day (UTC, the events' own), and once an hour after that
with what was counted since; its times are whole minutes. Over all sightings of a value the counts add up to the
events that had it.

A sighting also stands in the field that it comes from (``destination.ip``) if events had it of which nothing else
goes out with that value: so that the indicators of the collector find it at every level, and find it once. Where the
agent itself has made a signal of a value, that signal goes out with it.

Bounded: at the greatest number of values all go out and are forgotten, which is counted. Limits: local names and the
school's own addresses are not sighted. Of traffic from outside only addresses that got an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType

from schoolwacht.domains import split
from schoolwacht.event import KEYWORD_MAX, Dataset, Direction, Event
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.settings import Level
from schoolwacht_agent.minimise.sums import MODULE

DOMAIN, ADDRESS, JA3, JA4, CERTIFICATE, USER_AGENT = "domain", "address", "ja3", "ja4", "certificate", "user-agent"
#: The field in which a kind of value is found again. SHA-1 is what both engines state of a certificate.
FIELD = MappingProxyType(
    {
        DOMAIN: "dns_question_name",
        ADDRESS: "destination_ip",
        JA3: "tls_client_ja3",
        JA4: "nsm_tls_ja4",
        CERTIFICATE: "tls_server_hash_sha1",
        USER_AGENT: "user_agent_original",
    }
)
#: Datasets that have values to sight.
SIGHTED = frozenset({Dataset.FLOW, Dataset.DNS, Dataset.TLS, Dataset.QUIC, Dataset.HTTP})


class _Seen:
    __slots__ = ("count", "first", "hidden", "last")

    def __init__(self, moment: datetime) -> None:
        self.count = 0
        self.first = self.last = moment
        self.hidden = False


class Sightings:
    """What was sighted at the schools of an agent.

    Args:
        size: values held at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._number = 0
        #: School → kind → value.
        self._held: dict[str | None, dict[str, dict[str, _Seen]]] = {}
        self._fresh: list[tuple[str | None, str, str, _Seen]] = []
        self._hour = -1
        #: How often all values went out early for want of room.
        self.early = 0
        #: Whether signals of the agent's own indicators go out with a value.
        self.told: Callable[[str], bool] = lambda _: False

    def see(self, event: Event, level: Level, pseudonyms: Pseudonyms, hosts: Hosts) -> None:
        """Count the values of an event of :data:`SIGHTED` in, as the source made it (untreated)."""
        dataset = event.event_dataset
        if dataset is Dataset.FLOW:
            address = None
            if event.network_direction is Direction.OUTBOUND:
                address = event.destination_ip
            elif event.network_direction is Direction.INBOUND and event.destination_packets:
                address = event.source_ip
            # On a path of many schools the outside of one may be the inside of another.
            if (
                address is not None
                and (pseudonyms.addresses.young.get(address) or pseudonyms.address(address)) == address
            ):
                self._note(event, ADDRESS, address, hidden=level is not Level.FULL)
            return
        if dataset is Dataset.DNS:
            if event.dns_type == "query":
                self._domain(event, event.dns_question_name, level, hosts)
            return
        hidden = level is not Level.FULL
        if dataset is Dataset.HTTP:
            self._domain(event, event.url_domain, level, hosts)
            self._note(event, USER_AGENT, event.user_agent_original, hidden=hidden)
            return
        self._domain(event, event.tls_client_server_name, level, hosts)
        self._note(event, JA4, event.nsm_tls_ja4, hidden=hidden)
        self._note(event, JA3, event.tls_client_ja3, hidden=hidden)
        self._note(event, CERTIFICATE, event.tls_server_hash_sha1, hidden=hidden)

    def _domain(self, event: Event, name: str | None, level: Level, hosts: Hosts) -> None:
        if name and (hosts.names.young.get(name) or hosts.of(name)) == name:
            self._note(event, DOMAIN, split(name)[0], hidden=level is Level.ALERTS)

    def _note(self, event: Event, kind: str, value: str | None, *, hidden: bool) -> None:
        if value is None:
            return
        moment = event.timestamp
        kinds = self._held.get(event.school_location)
        if kinds is None:
            kinds = self._held[event.school_location] = {each: {} for each in FIELD}
        seen = kinds[kind].get(value)
        if seen is None:
            seen = kinds[kind][value] = _Seen(moment)
            self._number += 1
            self._fresh.append((event.school_location, kind, value, seen))
        elif not seen.count:
            seen.first = seen.last = moment
        elif moment > seen.last:
            seen.last = moment
        elif moment < seen.first:
            seen.first = moment
        seen.count += 1
        if hidden and not self.told(value):
            seen.hidden = True

    def minute(self, now: datetime) -> list[Event]:
        """The sightings that are due at the end of a minute; ``now`` is in the next."""
        hour = now.toordinal() * 24 + now.hour
        if self._hour < 0:
            self._hour = hour
        new_day = hour // 24 != self._hour // 24
        if hour != self._hour or self._number > self._size:
            full = self._number > self._size
            self.early += full
            self._hour = hour
            return self.take(forget=new_day or full)
        fresh, self._fresh = self._fresh, []
        return [_event(*each) for each in sorted(fresh, key=_order) if each[3].count]

    def full(self) -> bool:
        """Whether :meth:`take` is due for want of room."""
        return self._number > self._size

    def take(self, *, forget: bool = False) -> list[Event]:
        """Everything that was counted since it last went out."""
        self._fresh = []
        gone = [
            _event(school, kind, value, seen)
            for school, kinds in self._held.items()
            for kind, values in kinds.items()
            for value, seen in values.items()
            if seen.count
        ]
        if forget:
            self._held, self._number = {}, 0
        return gone

    def __len__(self) -> int:
        return self._number


def _order(each: tuple[str | None, str, str, _Seen]) -> tuple[str, str, str]:
    # Values of a kind stand together: that packs better.
    return each[0] or "", each[1], each[2]


def _event(school: str | None, kind: str, value: str, seen: _Seen) -> Event:
    event = Event(seen.last.replace(second=0, microsecond=0), Dataset.SIGHTING, MODULE)
    if (first := seen.first.replace(second=0, microsecond=0)) != event.timestamp:
        event.event_start = first
    event.school_location = school
    event.sighting_kind, event.sighting_value, event.sighting_count = kind, value[:KEYWORD_MAX], seen.count
    if seen.hidden:
        setattr(event, FIELD[kind], value)
    seen.count, seen.hidden = 0, False
    return event

"""Sightings: which domains, addresses, fingerprints and programs were seen, how often, and by whom: nobody.

A value goes out within a minute of its first appearance on a day (UTC, the events' own), and once an hour after that
with what was counted since; its times are whole minutes. Over all sightings of a value the counts add up to the
events that had it.

A sighting stands in the field that it comes from (``destination.ip``), and from there in ``sighting.value``, if events
had it of which nothing else goes out with that value: so that the indicators of the collector find it at every level,
and find it once. Where the agent itself has made a signal of a value, that signal goes out with it.

What was counted and has not gone out stands in the journal (``journal.py``): who is killed loses nothing of it.

Bounded: at the greatest number of values all go out and are forgotten, which is counted. Limits: local names and the
school's own addresses are not sighted. Of traffic from outside only addresses that got an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from schoolwacht.derive import SIGHTED as SIGHTED_FIELD
from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event, clip
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.settings import Level

DOMAIN, ADDRESS, JA3, JA4, CERTIFICATE, USER_AGENT = "domain", "address", "ja3", "ja4", "certificate", "user-agent"
#: The field in which a kind of value is found again. SHA-1 is what both engines state of a certificate.
FIELD = SIGHTED_FIELD
#: Datasets that have values to sight.
SIGHTED = frozenset({Dataset.FLOW, Dataset.DNS, Dataset.TLS, Dataset.QUIC, Dataset.HTTP})


#: A value as the journal keeps it: school, kind, value, count, first and last moment, whether nothing else tells it.
Row: TypeAlias = tuple[str | None, str, str, int, datetime, datetime, bool]


class SightingChanges(NamedTuple):
    """What has changed since the last call: whether all went out, and every value that was touched, as it stands."""

    reset: bool
    rows: list[Row]


class _Seen:
    __slots__ = ("count", "first", "hidden", "last", "touched")

    def __init__(self, moment: datetime) -> None:
        self.count = 0
        self.first = self.last = moment
        self.hidden = self.touched = False


_Sighted: TypeAlias = tuple[str | None, str, str, _Seen]


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
        self._fresh: list[_Sighted] = []
        self._touched: list[_Sighted] = []
        self._reset = False
        self._hour = -1
        #: How often all values went out early for want of room.
        self.early = 0
        #: Counted and not gone out.
        self.counts = 0
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
        self.counts += 1
        if not seen.touched:
            seen.touched = True
            self._touched.append((event.school_location, kind, value, seen))
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
        told = sorted((each for each in fresh if each[3].count), key=_order)
        for each in told:
            self.counts -= each[3].count
            self._touch(each)
        return [_event(*each) for each in told]

    def full(self) -> bool:
        """Whether :meth:`take` is due for want of room."""
        return self._number > self._size

    def take(self, *, forget: bool = False) -> list[Event]:
        """Everything that was counted since it last went out."""
        self._fresh = []
        for *_, seen in self._touched:
            seen.touched = False
        self._touched, self._reset, self.counts = [], True, 0
        gone = [
            (school, kind, value, seen)
            for school, kinds in self._held.items()
            for kind, values in kinds.items()
            for value, seen in values.items()
            if seen.count
        ]
        if forget:
            self._held, self._number = {}, 0
        return [_event(*each) for each in sorted(gone, key=_order)]

    def changes(self) -> SightingChanges:
        """What the journal has to keep."""
        touched, self._touched = self._touched, []
        reset, self._reset = self._reset, False
        for *_, seen in touched:
            seen.touched = False
        return SightingChanges(reset, [_row(*each) for each in touched])

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on from what a journal kept; called before the first event."""
        for school, kind, value, count, first, last, hidden in rows:
            if not count or kind not in FIELD:
                continue
            kinds = self._held.setdefault(school, {each: {} for each in FIELD})
            seen = kinds[kind][value] = _Seen(first)
            seen.count, seen.last, seen.hidden = count, last, hidden
            self._number += 1
            self.counts += count
            self._fresh.append((school, kind, value, seen))
        self.touch_all()

    def touch_all(self) -> None:
        """Let the next :meth:`changes` be everything there is."""
        self._reset = True
        for *_, seen in self._touched:
            seen.touched = False
        self._touched = []
        for school, kinds in self._held.items():
            for kind, values in kinds.items():
                for value, seen in values.items():
                    if seen.count:
                        self._touch((school, kind, value, seen))

    def _touch(self, each: _Sighted) -> None:
        if not each[3].touched:
            each[3].touched = True
            self._touched.append(each)

    def __len__(self) -> int:
        return self._number


def _row(school: str | None, kind: str, value: str, seen: _Seen) -> Row:
    return school, kind, value, seen.count, seen.first, seen.last, seen.hidden


def _order(each: _Sighted) -> tuple[str, str, bool, datetime, int, str]:
    # Values of a kind stand together, and those alike in the rest: that packs better.
    school, kind, value, seen = each
    return school or "", kind, seen.first != seen.last, _minute(seen.last), seen.count, value


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _event(school: str | None, kind: str, value: str, seen: _Seen) -> Event:
    event = Event(_minute(seen.last), Dataset.SIGHTING)
    if (first := _minute(seen.first)) != event.timestamp:
        event.event_start = first
    event.school_location = school
    event.sighting_count = seen.count
    if seen.hidden:
        # ``derive`` tells the kind by the field and copies the value into ``sighting.value``: neither need travel.
        setattr(event, FIELD[kind], value)
    else:
        event.sighting_kind, event.sighting_value = kind, clip(value)
    seen.count, seen.hidden = 0, False
    return event

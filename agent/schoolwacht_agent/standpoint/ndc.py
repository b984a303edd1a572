"""The agent on a path of many schools: whose an event is follows from its ends and its VLAN, by a mapping.

An end belongs to the school that the mapping says. Where only the VLAN says it, an end is the school's if agent.home
holds it. Of an event between two schools each gets one: the source's school an outbound, the destination's an inbound
one; behaviour sees it once. Traffic of no known school is counted and goes no further. Answers are kept for the 65,536
pairs of address and VLAN asked last, and forgotten when the mapping changes.

Limit: behaviour tells hosts apart by address. Two schools that use the same private addresses on different VLANs are
two in what is stored, and one to a detector.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.direction import CACHED, Homes, is_for_all, number_of
from schoolwacht_agent.health import Finding
from schoolwacht_agent.standpoint.follow import Mapping
from schoolwacht_agent.standpoint.table import Place, Table


class NdcPath:
    """Many schools (see ``port.py``).

    Args:
        homes: what is a school's own where only the VLAN says whose it is.
        mapping: which network or VLAN is whose.
    """

    def __init__(self, homes: Homes, mapping: Mapping) -> None:
        self._homes = homes
        self._mapping = mapping
        self._unknown = self._unknown_flows = self._unknown_bytes = 0
        #: Whether the last list had an event between two schools, which is rare.
        self._between = False
        self._use(mapping.table)

    def is_home(self, address: str | None, vlan: str | None = None) -> bool:
        """See the port."""
        return self._place_of(address, vlan) is not None

    def place(self, events: list[Event]) -> list[Event]:
        """See the port."""
        known = []
        self._between = False
        for event in events:
            if event.event_dataset is Dataset.HEALTH:
                known.append(event)
                continue
            source, destination = self._ends(event)
            if source is None and destination is None:
                self._count_unknown(event)
                continue
            if event.source_ip is not None and event.destination_ip is not None:
                event.network_direction = self._direction(event, source, destination)
            own = source or destination
            assert own is not None
            event.school_location, event.school_zone = own
            known.append(event)
        return known

    def settle(self, events: list[Event]) -> list[Event]:
        """See the port."""
        if not self._between:
            return events
        settled = []
        for event in events:
            settled.append(event)
            if event.network_direction is not Direction.OUTBOUND:
                continue
            destination = self._ends(event)[1]
            if destination is not None and destination.school != event.school_location:
                settled.append(
                    msgspec.structs.replace(
                        event,
                        network_direction=Direction.INBOUND,
                        school_location=destination.school,
                        school_zone=destination.zone,
                    )
                )
        return settled

    def attend(self) -> list[Finding]:
        """See the port: takes in a mapping that has changed."""
        told = self._mapping.look()
        if self._mapping.table is not self._table:
            self._use(self._mapping.table)
        return told

    def troubles(self) -> list[Finding]:
        """See the port."""
        return self._mapping.troubles()

    def reload(self) -> None:
        """See the port."""
        self._mapping.ask()

    def figures(self) -> dict[str, int]:
        """Lines of the mapping, and the traffic of no known school."""
        return {
            "mapping.lines": self._table.size,
            "mapping.schools": self._mapping.schools,
            "unknown.events": self._unknown,
            "unknown.flows": self._unknown_flows,
            "unknown.bytes": self._unknown_bytes,
        }

    def _use(self, table: Table) -> None:
        self._table = table
        self._place_of = lru_cache(maxsize=CACHED)(self._look_up)

    def _ends(self, event: Event) -> tuple[Place | None, Place | None]:
        vlan = event.network_vlan_id
        if vlan is not None and self._table.has_pairs and event.network_inner_vlan_id is not None:
            vlan = f"{vlan}.{event.network_inner_vlan_id}"
        if event.source_ip is None and event.destination_ip is None:
            return self._place_of(None, vlan), None
        source = None if event.source_ip is None else self._place_of(event.source_ip, vlan)
        destination = None if event.destination_ip is None else self._place_of(event.destination_ip, vlan)
        return source, destination

    def _direction(self, event: Event, source: Place | None, destination: Place | None) -> Direction:
        if source is None:
            return Direction.INBOUND
        if destination is None:
            number = number_of(event.destination_ip)
            return Direction.INTERNAL if number is not None and is_for_all(number) else Direction.OUTBOUND
        if source.school == destination.school:
            return Direction.INTERNAL
        self._between = True
        return Direction.OUTBOUND

    def _look_up(self, address: str | None, vlan: str | None) -> Place | None:
        found = self._table.find(number_of(address), vlan)
        if found is None or (found.length == 0 and address is not None and not self._homes.is_home(address)):
            return None
        return found.place

    def _count_unknown(self, event: Event) -> None:
        self._unknown += 1
        if event.event_dataset is Dataset.FLOW:
            self._unknown_flows += 1
            self._unknown_bytes += event.network_bytes or 0

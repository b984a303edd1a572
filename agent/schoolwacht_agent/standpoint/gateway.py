"""The agent at the gateway of one school: direction by the school's networks, zone by network or VLAN.

The zone of an event is that of the school's own end: of the source, and of an inbound event the destination's. Answers
are kept for the 65,536 pairs of address and VLAN asked last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_network

from schoolwacht.event import Direction, Event
from schoolwacht_agent.direction import CACHED, Homes, number_of
from schoolwacht_agent.health import Finding
from schoolwacht_agent.standpoint.settings import ZoneTable
from schoolwacht_agent.standpoint.table import Entry, Network, Place, Table


class Gateway:
    """One school (see ``port.py``).

    Args:
        homes: its networks.
        zones: parts of them, checked (``check_zones``).
    """

    def __init__(self, homes: Homes, zones: Sequence[ZoneTable] = ()) -> None:
        self._homes = homes
        self._zoned = bool(zones)
        self._table = Table(_entries(zones))
        self.zone_of = lru_cache(maxsize=CACHED)(self._zone_of)

    def is_home(self, address: str | None, vlan: str | None = None) -> bool:
        """See the port."""
        del vlan
        return self._homes.is_home(address)

    def place(self, events: list[Event]) -> list[Event]:
        """See the port."""
        direct, zone_of = self._homes.direct, self.zone_of
        for event in events:
            direct(event)
            if self._zoned and event.network_direction is not Direction.EXTERNAL:
                inbound = event.network_direction is Direction.INBOUND
                event.school_zone = zone_of(event.destination_ip if inbound else event.source_ip, event.network_vlan_id)
        return events

    def settle(self, events: list[Event]) -> list[Event]:
        """See the port; one school has one view."""
        return events

    def attend(self) -> list[Finding]:
        """Nothing: zones are settings, and those are read once."""
        return []

    def troubles(self) -> list[Finding]:
        """None."""
        return []

    def reload(self) -> None:
        """Nothing, see :meth:`attend`."""

    def figures(self) -> dict[str, int]:
        """None."""
        return {}

    def _zone_of(self, address: str | None, vlan: str | None) -> str | None:
        found = self._table.find(number_of(address), vlan)
        return None if found is None else found.place.zone


def _entries(zones: Sequence[ZoneTable]) -> Iterator[Entry]:
    for zone in zones:
        networks: list[Network | None] = [ip_network(text) for text in zone.networks]
        for network in networks or [None]:
            for vlan in zone.vlans or (None,):
                yield Entry(network, None if vlan is None else str(vlan), Place(None, zone.name))

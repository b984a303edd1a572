"""The step ``direct``: which way a conversation goes, seen from the school (``network.direction``).

Source: ECS ``network.direction`` for perimeter monitoring: inbound, outbound, internal, external. The source of an
event is its client, so an outbound event was opened from inside, whoever sends more.

Limits: answers are kept for the 65,536 addresses asked last. An address with a zone (``fe80::1%eth0``) is taken
without it, an IPv4-mapped IPv6 address as IPv4. Text that is no address is never home. A multicast or broadcast
destination belongs to the network of its sender.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from schoolwacht.event import Direction, Event
from schoolwacht_agent.config import DEFAULT_HOME

CACHED = 65_536


class Homes:
    """The networks of the school.

    Args:
        networks: CIDR text of both families; host bits must be zero. Raises ValueError otherwise.
    """

    def __init__(self, networks: Iterable[str] = DEFAULT_HOME) -> None:
        parsed = [ip_network(network) for network in networks]
        # (network as number, mask as number) of each family, so that a test is one AND and one comparison.
        self._pairs = {4: _pairs(parsed, IPv4Network), 6: _pairs(parsed, IPv6Network)}
        self._is_local = lru_cache(maxsize=CACHED)(self._look_up)

    def is_home(self, address: str | None) -> bool:
        """Whether the address (text, either family) lies in one of the networks."""
        return address is not None and self._is_local(address) is True

    def direct(self, event: Event) -> None:
        """Set ``network.direction`` of an event that has both addresses; an event without them is left alone."""
        source, destination = event.source_ip, event.destination_ip
        if source is None or destination is None:
            return
        inside, target = self._is_local(source) is True, self._is_local(destination)
        # None: multicast or broadcast, which never leaves the network of its sender.
        reaches_inside = inside if target is None else target
        if inside:
            event.network_direction = Direction.INTERNAL if reaches_inside else Direction.OUTBOUND
        else:
            event.network_direction = Direction.INBOUND if reaches_inside else Direction.EXTERNAL

    def _look_up(self, text: str) -> bool | None:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number = int(address)
        if any(number & mask == network for network, mask in self._pairs[address.version]):
            return True
        if address.is_multicast or str(address) == "255.255.255.255":
            return None
        # A DHCP client that has no address yet is at home.
        return address.is_unspecified


def _pairs(
    networks: list[IPv4Network | IPv6Network], family: type[IPv4Network | IPv6Network]
) -> tuple[tuple[int, int], ...]:
    chosen = [network for network in networks if isinstance(network, family)]
    return tuple((int(network.network_address), int(network.netmask)) for network in chosen)

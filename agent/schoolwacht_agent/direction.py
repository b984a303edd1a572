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
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton

from schoolwacht.event import Direction, Event
from schoolwacht_agent.config import DEFAULT_HOME

CACHED = 65_536
#: Version and value of an address.
Number = tuple[int, int]
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_INTERNAL, _OUTBOUND = Direction.INTERNAL, Direction.OUTBOUND
_INBOUND, _EXTERNAL = Direction.INBOUND, Direction.EXTERNAL
_MAPPED = bytes(10) + b"\xff\xff"


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
            event.network_direction = _INTERNAL if reaches_inside else _OUTBOUND
        else:
            event.network_direction = _INBOUND if reaches_inside else _EXTERNAL

    def _look_up(self, text: str) -> bool | None:
        number = number_of(text)
        if number is None:
            return False
        version, value = number
        if any(value & mask == network for network, mask in self._pairs[version]):
            return True
        if is_for_all(number):
            return None
        # A DHCP client that has no address yet is at home.
        return value == 0


def number_of(text: str | None) -> Number | None:
    """An address as version and number, without zone (``%eth0``), a mapped IPv4 address as IPv4. None if it is none.

    By the C library and not :mod:`ipaddress`, which takes ten times as long: a scan asks for addresses never seen.
    """
    if text is None:
        return None
    try:
        if ":" not in text:
            return 4, int.from_bytes(inet_pton(AF_INET, text), "big")
        raw = inet_pton(AF_INET6, text.partition("%")[0])
    except (OSError, ValueError):
        return None
    if raw.startswith(_MAPPED):
        return 4, int.from_bytes(raw[12:], "big")
    return 6, int.from_bytes(raw, "big")


def is_for_all(number: Number) -> bool:
    """Whether an address is multicast or IPv4's broadcast, which do not leave the network of their sender."""
    version, value = number
    return value >> 28 == 0xE or value == 0xFFFFFFFF if version == 4 else value >> 120 == 0xFF


def _pairs(
    networks: list[IPv4Network | IPv6Network], family: type[IPv4Network | IPv6Network]
) -> tuple[tuple[int, int], ...]:
    chosen = [network for network in networks if isinstance(network, family)]
    return tuple((int(network.network_address), int(network.netmask)) for network in chosen)

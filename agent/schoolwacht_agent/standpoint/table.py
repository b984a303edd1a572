"""Which school and zone an address belongs to: longest prefix, and VLAN where the same address is in use twice.

An entry holds a network, a VLAN or both (then both must fit). Of all that fit an address the longest network wins; of
two equally long ones the one that also names the VLAN. An entry that names only a VLAN is the shortest of all.

One look-up costs a dictionary for each length of prefix that occurs (about ten in a real mapping), each an integer
shift and a hash, so that it does not depend on how many prefixes there are: 20,000 cost what 10 of the same lengths
do. Plain dictionaries and not a radix tree from C, because the answers are kept by the caller anyway and the agent's
box has no compiler.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from schoolwacht_agent.direction import Number

Network = IPv4Network | IPv6Network
_BITS = {4: 32, 6: 128}


class Place(NamedTuple):
    """A school and a part of its network. At a gateway ``school`` is None: the collector knows it."""

    school: str | None
    zone: str | None


class Entry(NamedTuple):
    """One line of a mapping. ``vlan`` is the outer tag ("20") or, with QinQ, both ("20.5"); None: any."""

    network: Network | None
    vlan: str | None
    place: Place


class Found(NamedTuple):
    """The place of an address, and the length of the prefix that said so: 0 if only the VLAN did."""

    place: Place
    length: int


class Table:
    """A mapping, ready for look-up. Of two entries with the same network and VLAN the later one holds."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.size = 0
        #: VLAN → version → length → network as number → what holds there.
        held: dict[str | None, dict[int, dict[int, dict[int, Found]]]] = {}
        self._whole: dict[str, Found] = {}
        for network, vlan, place in entries:
            self.size += 1
            if network is None:
                if vlan is not None:
                    self._whole[vlan] = Found(place, 0)
                continue
            length = network.prefixlen
            lengths = held.setdefault(vlan, {}).setdefault(network.version, {})
            lengths.setdefault(length, {})[int(network.network_address) >> (_BITS[network.version] - length)] = Found(
                place, length
            )
        # Longest first: the first that is found is the answer.
        self._tries = {
            vlan: {
                version: tuple((_BITS[version] - length, lengths[length]) for length in sorted(lengths, reverse=True))
                for version, lengths in versions.items()
            }
            for vlan, versions in held.items()
        }
        #: Whether both tags of a doubly tagged frame matter.
        self.has_pairs = any(vlan is not None and "." in vlan for vlan in [*self._tries, *self._whole])

    def find(self, number: Number | None, vlan: str | None) -> Found | None:
        """What holds for an address (of ``direction.number_of``, or none) on a VLAN ("20", "20.5" or none)."""
        found = None if number is None else self._longest(None, number)
        if vlan is None:
            return found
        outer = vlan.partition(".")[0]
        for tag in (outer,) if outer == vlan else (outer, vlan):
            tagged = (None if number is None else self._longest(tag, number)) or self._whole.get(tag)
            if tagged is not None and (found is None or tagged.length >= found.length):
                found = tagged
        return found

    def _longest(self, vlan: str | None, number: Number) -> Found | None:
        version, value = number
        versions = self._tries.get(vlan)
        if versions is None:
            return None
        for shift, networks in versions.get(version, ()):
            found = networks.get(value >> shift)
            if found is not None:
                return found
        return None

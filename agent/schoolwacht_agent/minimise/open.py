"""How the step is made from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

from schoolwacht_agent.config import DEFAULT_HOME
from schoolwacht_agent.direction import Homes, number_of
from schoolwacht_agent.minimise.keys import open_keys
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.settings import Level, MinimiseTable
from schoolwacht_agent.minimise.step import Minimise, Policy
from schoolwacht_agent.standpoint.port import Standpoint
from schoolwacht_agent.standpoint.settings import ZoneKind, ZoneTable
from schoolwacht_agent.standpoint.table import Entry, Place, Table

#: What is told of a zone that does not say so itself.
LEVEL_OF_KIND: MappingProxyType[ZoneKind, Level] = MappingProxyType(
    {
        ZoneKind.STAFF: Level.FULL,
        ZoneKind.SERVER: Level.FULL,
        ZoneKind.PUPIL: Level.SUMMARY,
        ZoneKind.GUEST: Level.SUMMARY,
    }
)


def open_minimise(
    table: MinimiseTable, zones: Sequence[ZoneTable], homes: Homes, standpoint: Standpoint, state: Path
) -> Minimise | None:
    """The configured step, None if it is switched off.

    Args:
        table: ``[minimise]``, checked.
        zones: ``[[zones]]``, checked.
        homes: ``agent.home``.
        standpoint: says which other addresses are a school's.
        state: the agent's state directory.

    Raises ConfigError if the key cannot be used.
    """
    if not table.enabled:
        return None
    keys = open_keys(key_file(table, state), table.period, make=not table.key_file)
    register = Register(
        register_directory(state), keys.register, max_bytes=table.register_mib << 20, keep=table.register_periods
    )
    return Minimise(policy_of(table, zones, homes, standpoint), keys, register)


def policy_of(table: MinimiseTable, zones: Sequence[ZoneTable], homes: Homes, standpoint: Standpoint) -> Policy:
    """What the settings say of addresses, names and levels."""
    readable = Table(
        Entry(ip_network(network), None, Place(None, None))
        for network in [
            *table.readable,
            *(network for zone in zones if zone.kind is ZoneKind.SERVER for network in zone.networks),
        ]
    )
    by_network = Table(_entries(zones))

    private = Homes(DEFAULT_HOME)

    def is_own(address: str, vlan: str | None) -> bool:
        # A private address is never the world's, whatever agent.home leaves out: one slip there must tell of nobody.
        if not private.is_home(address) and not homes.is_home(address) and not standpoint.is_home(address, vlan):
            return False
        return readable.find(number_of(address), None) is None

    def zone_of(address: str) -> str | None:
        found = by_network.find(number_of(address), None)
        return None if found is None else found.place.zone

    return Policy(
        levels={zone.name: zone.detail or LEVEL_OF_KIND[zone.kind] for zone in zones},
        default=table.detail,
        is_own=is_own,
        zone_of=zone_of,
        readable_names=table.readable_names,
        internal_domains=table.internal_domains,
        sums=table.sums,
        sightings=table.sightings,
    )


def register_directory(state: Path) -> Path:
    """Where the registers are."""
    return state / "register"


def audit_file(registers: Path) -> Path:
    """Where unmasking is put on record."""
    return registers / "unmask.jsonl"


def key_file(table: MinimiseTable, state: Path) -> Path:
    """The key file of the board."""
    return Path(table.key_file) if table.key_file else state / "board.key"


def _entries(zones: Iterable[ZoneTable]) -> Iterable[Entry]:
    for zone in zones:
        for network in zone.networks:
            yield Entry(ip_network(network), None, Place(None, zone.name))

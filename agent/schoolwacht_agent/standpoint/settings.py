"""``[standpoint]`` and ``[[zones]]`` of agent.toml."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht.errors import ConfigError
from schoolwacht_agent.minimise.settings import Level

#: As the collector takes it (``school.zone``).
ZONE_PATTERN = r"^\w[\w .-]{0,62}$"
VLAN_MAX = 4094


class StandpointKind(StrEnum):
    """Where the agent stands."""

    GATEWAY = "gateway"
    NDC = "ndc"


class ZoneKind(StrEnum):
    """Who is in a zone. What is kept of a zone's traffic follows from it."""

    STAFF = "staff"
    PUPIL = "pupil"
    GUEST = "guest"
    SERVER = "server"


class StandpointTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[standpoint]``: where the agent stands."""

    kind: Annotated[
        StandpointKind,
        Meta(description="gateway: one school's; ndc: a path that carries many schools, told apart by a mapping."),
    ] = StandpointKind.GATEWAY
    mapping: Annotated[
        str, Meta(description="CSV file of the schools on the path: columns network, vlan, school and zone.")
    ] = ""


class ZoneTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[zones]]``: a part of the school's network."""

    name: Annotated[
        str, Meta(pattern=ZONE_PATTERN, description="Name of the zone, as it stands in events (school.zone).")
    ]
    kind: Annotated[ZoneKind, Meta(description="Who is in it: staff, pupil, guest or server.")]
    networks: Annotated[
        tuple[str, ...],
        Meta(description="Its networks; of several that hold an address, the longest prefix wins."),
    ] = ()
    vlans: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=VLAN_MAX)], ...],
        Meta(description="Its VLANs; with networks, an address must lie in one of those on one of these."),
    ] = ()
    detail: Annotated[
        Level | None,
        Meta(
            description="What is told of its traffic; empty: full of staff and servers, summary of pupils and guests."
        ),
    ] = None


def check_zones(zones: Sequence[ZoneTable], standpoint: StandpointTable) -> None:
    """What the types cannot say of both tables. Raises ConfigError naming the setting."""
    if standpoint.kind is StandpointKind.NDC and not standpoint.mapping:
        raise ConfigError(
            'is required where standpoint.kind is "ndc": a CSV file that says which network is which school\'s',
            field="standpoint.mapping",
        )
    if standpoint.kind is StandpointKind.GATEWAY and standpoint.mapping:
        raise ConfigError('goes with standpoint.kind = "ndc"; a gateway has one school', field="standpoint.mapping")
    names: set[str] = set()
    taken: dict[tuple[IPv4Network | IPv6Network | None, int | None], str] = {}
    for place, zone in enumerate(zones):
        if zone.name in names:
            raise ConfigError(f"there are two zones {zone.name!r}", field=f"zones[{place}].name")
        names.add(zone.name)
        if standpoint.kind is StandpointKind.NDC:
            if zone.networks or zone.vlans:
                raise ConfigError(
                    "on a path of many schools the mapping says which network is in which zone; take these out",
                    field=f"zones[{place}].networks" if zone.networks else f"zones[{place}].vlans",
                )
            continue
        _check_zone(zone, place, taken)


def _check_zone(
    zone: ZoneTable, place: int, taken: dict[tuple[IPv4Network | IPv6Network | None, int | None], str]
) -> None:
    if not zone.networks and not zone.vlans:
        raise ConfigError("needs networks, vlans or both: nothing would be in it", field=f"zones[{place}]")
    networks: list[IPv4Network | IPv6Network | None] = []
    for number, text in enumerate(zone.networks):
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ConfigError(f"no network: {error}", field=f"zones[{place}].networks[{number}]") from error
    for network in networks or [None]:
        for vlan in zone.vlans or (None,):
            other = taken.setdefault((network, vlan), zone.name)
            if other != zone.name:
                what = " on ".join(
                    text for text in (str(network or ""), f"VLAN {vlan}" if vlan is not None else "") if text
                )
                raise ConfigError(f"{what} is in zone {other!r} already", field=f"zones[{place}]")

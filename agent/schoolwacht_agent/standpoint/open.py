"""The one table of standpoints, and how each is made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from schoolwacht_agent.direction import Homes
from schoolwacht_agent.standpoint.follow import Mapping
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.standpoint.ndc import NdcPath
from schoolwacht_agent.standpoint.port import Standpoint
from schoolwacht_agent.standpoint.settings import StandpointKind, StandpointTable, ZoneTable


def _gateway(homes: Homes, _: StandpointTable, zones: Sequence[ZoneTable], __: Path | None) -> Standpoint:
    return Gateway(homes, zones)


def _ndc(homes: Homes, table: StandpointTable, zones: Sequence[ZoneTable], state: Path | None) -> Standpoint:
    kept = None if state is None else state / "standpoint" / "mapping.csv"
    return NdcPath(homes, Mapping(Path(table.mapping), kept, frozenset(zone.name for zone in zones)))


STANDPOINTS: MappingProxyType[
    StandpointKind, Callable[[Homes, StandpointTable, Sequence[ZoneTable], Path | None], Standpoint]
] = MappingProxyType({StandpointKind.GATEWAY: _gateway, StandpointKind.NDC: _ndc})


def open_standpoint(
    homes: Homes, table: StandpointTable, zones: Sequence[ZoneTable], *, state: Path | None = None
) -> Standpoint:
    """The configured standpoint.

    Args:
        homes: ``agent.home``.
        table: ``[standpoint]``.
        zones: ``[[zones]]``, checked.
        state: the agent's state directory; None keeps nothing there (replay).

    Raises ConfigError if the mapping cannot be used.
    """
    return STANDPOINTS[table.kind](homes, table, zones, state)

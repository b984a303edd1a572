"""``[minimise]`` of agent.toml: what may leave the school, and in what form."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht.errors import ConfigError
from schoolwacht_agent.minimise.period import Period


class Level(StrEnum):
    """How much is told of a zone's traffic. Signals, sightings and health go out at every level."""

    #: Nothing more.
    ALERTS = "alerts"
    #: And sums a minute by client, service and registrable domain.
    SUMMARY = "summary"
    #: And every event.
    FULL = "full"


class MinimiseTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[minimise]``: privacy, before anything is kept or sent."""

    enabled: Annotated[
        bool, Meta(description="Minimise what is kept and sent; off only where everything stays on one's own machine.")
    ] = True
    detail: Annotated[
        Level, Meta(description="What is told of traffic that lies in no zone; a zone has a setting of its own.")
    ] = Level.SUMMARY
    key_file: Annotated[
        str,
        Meta(description="Key file of the board, mode 600, as `key create` makes it; empty: the agent makes its own."),
    ] = ""
    period: Annotated[Period, Meta(description="How long a pseudonym holds before the next key gives another.")] = (
        Period.MONTH
    )
    readable: Annotated[
        tuple[str, ...], Meta(description="Home networks whose addresses stay readable, besides zones of servers.")
    ] = ()
    readable_names: Annotated[
        tuple[str, ...],
        Meta(description="Local names that stay readable, with all below them, such as dc1.school.lan."),
    ] = ()
    internal_domains: Annotated[
        tuple[str, ...],
        Meta(description="Domains whose names are machines of the school: what stands before them is pseudonymised."),
    ] = ()
    register_mib: Annotated[
        int,
        Meta(ge=1, le=4096, description="Size of the sealed register of one period, from which `unmask` works, MiB."),
    ] = 16
    register_periods: Annotated[
        int, Meta(ge=1, le=1200, description="Periods for which sealed registers are kept; older ones are erased.")
    ] = 24
    sums: Annotated[
        int, Meta(ge=100, le=10_000_000, description="Sums held at once, about 400 bytes each; beyond it all go out.")
    ] = 20_000
    sightings: Annotated[
        int, Meta(ge=100, le=10_000_000, description="Values sighted in a day that are held, about 200 bytes each.")
    ] = 50_000


def check_minimise(table: MinimiseTable) -> None:
    """What the types cannot say. Raises ConfigError naming the setting."""
    for place, network in enumerate(table.readable):
        try:
            ip_network(network)
        except ValueError as error:
            raise ConfigError(f"no network: {error}", field=f"minimise.readable[{place}]") from error
    for name in ("readable_names", "internal_domains"):
        for place, value in enumerate(getattr(table, name)):
            if not value.strip(".") or value != value.strip():
                raise ConfigError("is no name", field=f"minimise.{name}[{place}]")

"""``[indicators]``: what keeps a wrong indicator from the agents, and how far back a new one is looked for."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class IndicatorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[indicators]``."""

    own_domains: Annotated[
        tuple[str, ...],
        Meta(
            description="Domains of the schools and their suppliers; none of them, nor what is below, is taken as bad."
        ),
    ] = ()
    own_networks: Annotated[
        tuple[str, ...], Meta(description="Public networks of the schools and their suppliers, likewise.")
    ] = ()
    warning_lists: Annotated[
        bool, Meta(description="Whether lists of well-known good values (MISP) speak against an indicator.")
    ] = True
    prevalence_share: Annotated[
        float,
        Meta(
            gt=0, le=1, description="An indicator seen at more than this share of schools in the last day is refused."
        ),
    ] = 0.05
    prevalence_schools: Annotated[
        int, Meta(ge=1, description="The share counts only above this number of schools.")
    ] = 5
    hunt_days: Annotated[
        int, Meta(ge=0, le=3650, description="Days of kept events in which a new indicator is looked for; 0: none.")
    ] = 14
    hunt_events: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Events that a look back takes in for one group of indicators, at most."),
    ] = 5000

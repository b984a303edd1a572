"""What an indicator must pass before it is matched by anybody: own names, warning lists, prevalence.

Promise: no indicator that speaks of a school's own domain or network, that a warning list holds, or that would have
matched at too many schools in the last day reaches the store, and so an agent, unless a person forces it with a
reason; then who, why and what spoke against it are kept with it and in the audit. Limits: prevalence is asked of the
stored events, so it knows what the schools' level of detail lets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from msgspec.structs import replace

from schoolwacht.errors import ConfigError, IndicatorError
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector import audit
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.indicators import warning
from schoolwacht_collector.indicators.seen import connected, widespread
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.match.values import normalise
from schoolwacht_collector.query.ast import OneOf
from schoolwacht_collector.records import Indicator

DAY = timedelta(days=1)
_AT_ONCE = 500


class Own(NamedTuple):
    """The schools' own domains and networks."""

    domains: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def of(cls, settings: IndicatorSettings) -> Own:
        """Those of ``[indicators]``. Raises ConfigError for one that is none."""
        return cls(
            tuple(_own_domain(each, place) for place, each in enumerate(settings.own_domains)),
            tuple(_own_network(each, place) for place, each in enumerate(settings.own_networks)),
        )


class Gate:
    """Checks indicators and keeps those that pass.

    Args:
        store: where indicators, events and agents are.
        settings: ``[indicators]``.
        clock: system time in UTC.

    Raises ConfigError for an own domain or network that is none.
    """

    def __init__(
        self,
        store: Store,
        settings: IndicatorSettings | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._settings = settings or IndicatorSettings()
        self._clock = clock
        self._own_names = Own.of(self._settings)

    def exchange(self, settings: IndicatorSettings, own: Own) -> None:
        """Other settings from the next check on; ``own`` is made of them."""
        self._settings = settings
        self._own_names = own

    async def keep(
        self, indicators: Sequence[Indicator], *, forced_by: str | None = None, why: str = ""
    ) -> tuple[list[Indicator], dict[str, str]]:
        """Keep those that pass, or all if ``forced_by`` says so; those kept, and why the others (by id) were refused.

        Raises StoreError.
        """
        doubts = await self.doubts(indicators)
        now = self._clock()
        added = await self._added([each.id for each in indicators])
        kept: list[Indicator] = []
        for each in indicators:
            doubt = doubts.get(each.id)
            if doubt is not None and forced_by is None:
                continue
            one = replace(each, added=added.get(each.id) or now)
            if doubt is not None:
                one = replace(one, forced_by=forced_by, forced_why=why, doubt=doubt)
            kept.append(one)
        forced = [each for each in kept if each.forced_by is not None]
        for each in forced:
            what = f"{each.type.value} {each.value}"
            await audit.note(
                self._store,
                "indicator.forced",
                what,
                by=each.forced_by or "",
                reason=why,
                detail=each.doubt or "",
                now=now,
            )
        await self._store.put_many(Kind.INDICATOR, kept)
        return kept, {} if forced_by is not None else doubts

    async def doubts(self, indicators: Sequence[Indicator]) -> dict[str, str]:
        """What speaks against each (by id), in words; those without are fine. Raises StoreError."""
        lists = await asyncio.to_thread(warning.load) if self._settings.warning_lists else None
        found: dict[str, str] = {}
        for each in indicators:
            own = self._own(each)
            held = None if own or lists is None else lists.holds(each)
            if own:
                found[each.id] = own
            elif held:
                found[each.id] = f"the warning list {held} knows it as good or as nobody's in particular"
        since = self._clock() - DAY
        schools = await connected(self._store, since)
        above = max(self._settings.prevalence_schools, int(self._settings.prevalence_share * schools))
        if schools > self._settings.prevalence_schools:
            asked = [each for each in indicators if each.id not in found]
            for name, number in (await widespread(self._store, asked, since=since, above=above)).items():
                found[name] = (
                    f"it was seen at {number:,} of {schools:,} schools in the last day, more than {above:,}: "
                    "most likely nothing bad"
                )
        return found

    def _own(self, indicator: Indicator) -> str | None:
        kind, value = indicator.type, indicator.value
        if kind in {IndicatorType.ADDRESS, IndicatorType.NETWORK}:
            network = ip_network(value)
            own = next(
                (
                    each
                    for each in self._own_names.networks
                    if each.version == network.version and each.overlaps(network)
                ),
                None,
            )
            return f"it lies in {own}, a network of the schools (indicators.own_networks)" if own else None
        if kind in {IndicatorType.DOMAIN, IndicatorType.CERTIFICATE_NAME, IndicatorType.URL}:
            name = value.removeprefix("*.").partition("/")[0].partition(":")[0]
            for domain in self._own_names.domains:
                below, above = name == domain or name.endswith(f".{domain}"), domain.endswith(f".{name}")
                if below or (above and kind is not IndicatorType.URL):
                    return f"it belongs to {domain}, a domain of the schools (indicators.own_domains)"
        return None

    async def _added(self, ids: Sequence[str]) -> dict[str, datetime]:
        """When those that are kept already were first given."""
        found: dict[str, datetime] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = tuple(ids[start : start + _AT_ONCE])
            page = await self._store.search(Search(Kind.INDICATOR, OneOf("id", some), SECTOR, limit=_AT_ONCE))
            found |= {
                row["id"]: datetime.fromisoformat(row.get("indicator.added") or row["@timestamp"]) for row in page.rows
            }
        return found


def _own_domain(text: str, place: int) -> str:
    try:
        return normalise(IndicatorType.DOMAIN, text)
    except IndicatorError as error:
        raise ConfigError(error.message, field=f"indicators.own_domains[{place}]") from error


def _own_network(text: str, place: int) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no network: {error}", field=f"indicators.own_networks[{place}]") from error

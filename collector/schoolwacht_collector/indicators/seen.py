"""Indicators as questions to a store: which kept events hold one, at how many schools, and what its signals say.

A question finds the events that :class:`schoolwacht.match.IndicatorSet` would hit, with one exception: names below a
domain are looked for in DNS alone, for a pattern over every name would read through all that is kept. It may find more
(texts of certificates, paths of URLs); who needs to be exact matches the rows again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from ipaddress import ip_network
from types import MappingProxyType

import msgspec

from schoolwacht.domains import split
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.query.ast import All, And, Contains, Equals, Matches, Node, OneOf, Or, Within
from schoolwacht_collector.records import Agent, Indicator

#: Indicators of one type that one question asks for together: patterns are tried one by one, values are looked up.
PATTERNS, VALUES = 50, 200
_SCHOOLS = 20_000


class Sightings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an indicator's signals say: how many, at how many schools and boards, first and last (of the traffic)."""

    count: int = 0
    schools: int = 0
    boards: int = 0
    first: datetime | None = None
    last: datetime | None = None


def _any(fields: Sequence[str]) -> Callable[[Sequence[str]], Node]:
    return lambda values: Or(tuple(OneOf(field, tuple(values)) for field in fields))


def _networks(values: Sequence[str]) -> Node:
    fields = ("source.ip", "destination.ip", "dns.resolved_ip")
    return Or(tuple(Within(field, ip_network(value)) for value in values for field in fields))


def _domains(values: Sequence[str]) -> Node:
    registered = {value: split(value)[0] or value for value in values}
    whole = tuple(value for value in values if registered[value] == value)
    parts = tuple(value for value in values if registered[value] != value)
    nodes: list[Node] = [OneOf("related.hosts", tuple(values))]
    if whole:
        nodes.append(OneOf("dns.question.registered_domain", whole))
    if parts:
        # The cheap question first: patterns are tried on the names of these few domains only.
        near = OneOf("dns.question.registered_domain", tuple({registered[value] for value in parts}))
        nodes.append(And((near, Or(tuple(Matches("dns.question.name", f"*.{value}") for value in parts)))))
    return Or(tuple(nodes))


def _names(values: Sequence[str]) -> Node:
    fields = ("tls.server.subject", "tls.server.x509.alternative_names")
    return Or(tuple(Contains(fields, value.removeprefix("*.")) for value in values))


def _urls(values: Sequence[str]) -> Node:
    found: list[Node] = []
    for value in values:
        where, _, rest = value.partition("/")
        host = where.partition("]")[0] + "]" if where.startswith("[") else where.partition(":")[0]
        path = Equals("url.path", f"/{rest.partition('?')[0]}")
        found.append(And((OneOf("url.domain", (host, host.strip("[]"))), path)))
    return Or(tuple(found))


_QUESTIONS: MappingProxyType[IndicatorType, tuple[int, Callable[[Sequence[str]], Node]]] = MappingProxyType(
    {
        IndicatorType.ADDRESS: (VALUES // 2, _any(("related.ip",))),
        IndicatorType.NETWORK: (PATTERNS, _networks),
        IndicatorType.DOMAIN: (VALUES, _domains),
        IndicatorType.JA3: (VALUES, _any(("tls.client.ja3", "tls.server.ja3s"))),
        IndicatorType.JA4: (VALUES, _any(("nsm.tls.ja4",))),
        IndicatorType.CERTIFICATE_SHA1: (VALUES, _any(("related.hash", "tls.server.hash.sha1"))),
        IndicatorType.CERTIFICATE_SHA256: (VALUES, _any(("related.hash", "tls.server.hash.sha256"))),
        IndicatorType.CERTIFICATE_NAME: (PATTERNS, _names),
        IndicatorType.URL: (PATTERNS, _urls),
        IndicatorType.FILE_MD5: (VALUES, _any(("related.hash",))),
        IndicatorType.FILE_SHA1: (VALUES, _any(("related.hash",))),
        IndicatorType.FILE_SHA256: (VALUES, _any(("related.hash",))),
    }
)


def question(indicators: Sequence[Indicator]) -> Node:
    """The events that hold one of some indicators of one type."""
    return _QUESTIONS[indicators[0].type][1]([each.value for each in indicators])


def groups(indicators: Iterable[Indicator]) -> Iterator[list[Indicator]]:
    """The indicators in groups that one :func:`question` can ask for."""
    waiting: dict[IndicatorType, list[Indicator]] = {}
    for each in indicators:
        group = waiting.setdefault(each.type, [])
        group.append(each)
        if len(group) == _QUESTIONS[each.type][0]:
            yield waiting.pop(each.type)
    yield from waiting.values()


async def connected(store: Store, since: datetime) -> int:
    """How many schools have an agent that delivered since then. Raises StoreError."""
    schools: set[str] = set()
    search = Search(Kind.AGENT, All(), SECTOR, limit=1000)
    async for row in rows(store, search):
        agent = msgspec.convert(row, Agent)
        if agent.enabled and agent.last_seen is not None and agent.last_seen >= since:
            schools.update(school.location for school in agent.schools)
    return len(schools)


async def widespread(store: Store, indicators: Iterable[Indicator], *, since: datetime, above: int) -> dict[str, int]:
    """Those (by id) that stored events show at more than ``above`` schools since then, and at how many.

    A group that is not seen at so many as a whole needs one question; else its halves are asked for. Raises StoreError.
    """
    found: dict[str, int] = {}
    waiting = list(groups(indicators))
    while waiting:
        group = waiting.pop()
        search = Search(Kind.EVENT, question(group), SECTOR, since=since)
        number = len(await store.tally(search, "school.location", top=_SCHOOLS if len(group) == 1 else above + 1))
        if number <= above:
            continue
        if len(group) == 1:
            found[group[0].id] = number
        else:
            half = len(group) // 2
            waiting += [group[:half], group[half:]]
    return found


async def sightings_of(store: Store, ids: Sequence[str]) -> dict[str, Sightings]:
    """What the kept signals of indicators say, by indicator; nothing for those without any. Raises StoreError."""
    found: dict[str, Sightings] = {}
    if not ids:
        return found
    search = Search(Kind.SIGNAL, OneOf("threat.indicator.id", tuple(ids)), SECTOR)
    for name, tally in (await store.tally(search, "threat.indicator.id", top=len(ids))).items():
        mine = search._replace(where=Equals("threat.indicator.id", name))
        schools = await store.tally(mine, "school.location", top=_SCHOOLS)
        boards = await store.tally(mine, "organization.id", top=_SCHOOLS)
        found[name] = Sightings(tally.number, len(schools), len(boards), tally.first, tally.last)
    return found


class AtSchool(msgspec.Struct, frozen=True):
    """An indicator's signals at one school."""

    school: str
    count: int
    first: datetime
    last: datetime


async def at_schools(store: Store, name: str) -> list[AtSchool]:
    """The schools at which an indicator was seen, most signals first, a hundred at most. Raises StoreError."""
    search = Search(Kind.SIGNAL, Equals("threat.indicator.id", name), SECTOR)
    tallies = await store.tally(search, "school.location", top=100)
    return [AtSchool(school, each.number, each.first, each.last) for school, each in tallies.items()]

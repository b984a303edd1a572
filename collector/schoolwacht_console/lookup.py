"""What pages and API ask of the store: lists of alerts, the story of one alert, searches, agents, counts.

Every question carries a scope. Nothing here knows HTTP or HTML, and nothing is kept between two calls save the names
of schools (:class:`Directory`), which may be a minute old.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import NamedTuple

import msgspec

from schoolwacht.errors import QueryError
from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import Kind, Page, Row, Scope, Search, Store
from schoolwacht_collector.prevalence.ask import Answer, ask, ask_all, for_boards
from schoolwacht_collector.query.ast import All, And, Equals, Node, Not, OneOf, Or
from schoolwacht_collector.query.parse import parse
from schoolwacht_collector.records import Agent, Alert, AlertState, School, Severity
from schoolwacht_console.moments import EVER, Window

PAGE = 50
MAX_PAGE = 1000
#: Around an alert's first and last signal, this much of the same host's traffic belongs to its story.
AROUND = timedelta(minutes=5)
AROUND_ROWS = 100
SIGNAL_ROWS = 50
#: Pieces of evidence that an alert shows.
EVIDENCE_ROWS = 10
_EVIDENCE = Equals("event.dataset", Dataset.EVIDENCE.value)
#: Who has an address belongs to no connection.
_ARP = Equals("event.dataset", Dataset.ARP.value)
#: A community id is put into one query at most this often; an alert of more connections shows its latest.
_MAX_CONNECTIONS = 50
_DIRECTORY_SECONDS = 60.0
#: What people can search: agents have a list of their own, and the rest is the system's.
SEARCHABLE = (Kind.EVENT, Kind.SIGNAL, Kind.ALERT, Kind.INDICATOR)


class AlertFilter(NamedTuple):
    """Which alerts. ``school`` is a location or part of a school's name; ``window`` bounds the last change."""

    state: AlertState | None = None
    severity: Severity | None = None
    school: str = ""
    board: str = ""
    query: str = ""
    window: Window = EVER


class AlertPage(NamedTuple):
    """A page of alerts; ``next`` is None on the last."""

    alerts: list[Alert]
    next: str | None


class Story(NamedTuple):
    """An alert, its signals (latest arrival first), and the traffic around it.

    ``connections`` are other events of the same connections (Community ID; of a signal over many connections, which
    carries none: the same two addresses, and the same port if it names one), ``host`` other events of the same entity
    from a little before the first signal to a little after the last; both oldest first and bounded.
    """

    alert: Alert
    signals: list[Row]
    connections: list[Row]
    host: list[Row]
    window: Window


class Directory:
    """School names by location, from the agents' registrations; refreshed once a minute."""

    def __init__(self, store: Store, scope: Scope) -> None:
        self._store = store
        self._scope = scope
        self._schools: dict[str, School] = {}
        self._read_at: float | None = None

    async def schools(self) -> Mapping[str, School]:
        """Every school that an agent speaks for. Raises StoreError."""
        if self._read_at is None or time.monotonic() - self._read_at > _DIRECTORY_SECONDS:
            found: dict[str, School] = {}
            after: str | None = None
            while True:
                page = await agents(self._store, self._scope, limit=MAX_PAGE, after=after)
                found.update({school.location: school for agent in page.agents for school in agent.schools})
                if (after := page.next) is None:
                    break
            self._schools, self._read_at = found, time.monotonic()
        return self._schools

    async def locations(self, text: str) -> tuple[str, ...]:
        """The locations meant by ``text``: the one of that code, else those whose name contains it."""
        schools = await self.schools()
        wanted = text.strip().casefold()
        if wanted.upper() in schools:
            return (wanted.upper(),)
        return tuple(place for place, school in schools.items() if wanted in school.name.casefold()) or (text.strip(),)


class AgentPage(NamedTuple):
    """A page of agents, latest change first; ``next`` is None on the last."""

    agents: list[Agent]
    next: str | None


async def agents(
    store: Store, scope: Scope, *, query: str = "", limit: int = PAGE, after: str | None = None
) -> AgentPage:
    """Agents and their counters. Raises QueryError, StoreError."""
    page = await store.search(Search(Kind.AGENT, where(query), scope, limit=limit, after=after))
    return AgentPage([msgspec.convert(row, Agent) for row in page.rows], page.next)


async def find(
    store: Store,
    scope: Scope,
    kind: Kind,
    query: str,
    window: Window,
    *,
    limit: int = PAGE,
    after: str | None = None,
) -> Page:
    """Rows of ``kind`` that match a query in Lucene syntax, newest first. Raises QueryError, StoreError."""
    return await store.search(
        Search(kind, where(query), scope, since=window.since, until=window.until, limit=limit, after=after)
    )


async def seen(store: Store, scope: Scope, value: str, kind: str | None = None) -> list[Answer]:
    """Since when and at how many schools a value is known; to some boards no school is named. Raises StoreError."""
    found = await ask_all(store, value) if kind is None else [await ask(store, kind, value)]
    known = [answer for answer in found if answer is not None]
    return known if scope.boards is None else [for_boards(answer) for answer in known]


def where(query: str) -> Node:
    """The AST of a query; everything if it is blank. Raises QueryError."""
    return parse(query) if query.strip() else All()


async def alerts(
    store: Store,
    scope: Scope,
    directory: Directory,
    wanted: AlertFilter,
    *,
    by_severity: bool = True,
    limit: int = PAGE,
    after: str | None = None,
) -> AlertPage:
    """Alerts, gravest first and within a severity latest change first; or simply latest change first.

    The cursor of the first order names the severity that it stands in. Raises QueryError, StoreError.
    """
    node = await _alert_node(directory, wanted)
    if not by_severity:
        page = await store.search(_search(scope, node, wanted.window, limit=limit, after=after))
        return AlertPage(_alerts(page.rows), page.next)
    found: list[Row] = []
    severities, cursor = _resume(wanted.severity, after)
    for place, severity in enumerate(severities):
        room = limit - len(found)
        if room == 0:
            return AlertPage(_alerts(found), f"{severity.value}~")
        here = And((node, Equals("alert.severity", severity.value)))
        page = await store.search(_search(scope, here, wanted.window, limit=room, after=cursor if place == 0 else None))
        found.extend(page.rows)
        if page.next is not None:
            return AlertPage(_alerts(found), f"{severity.value}~{page.next}")
    return AlertPage(_alerts(found), None)


async def count_alerts(
    store: Store, scope: Scope, directory: Directory, wanted: AlertFilter, *, by: str
) -> dict[str, int]:
    """How many alerts have each value of ``by`` (``alert.state``, ``alert.severity``, …)."""
    node = await _alert_node(directory, wanted)
    search = Search(Kind.ALERT, node, scope, since=wanted.window.since, until=wanted.window.until)
    return {value: tally.number for value, tally in (await store.tally(search, by)).items()}


async def alert(store: Store, scope: Scope, id: str) -> Alert | None:  # noqa: A002 - the field's name everywhere
    """One alert, if it exists and lies within the scope. Raises StoreError."""
    found = await store.get(Kind.ALERT, id)
    if found is None or not isinstance(found.record, Alert):
        return None
    if scope.boards is not None and found.record.board not in scope.boards:
        return None
    return found.record


async def story(store: Store, scope: Scope, of: Alert) -> Story:
    """The alert with its signals and the traffic around it. Raises StoreError."""
    signals = await store.search(
        Search(
            Kind.SIGNAL,
            And((Equals("signal.key", of.key), Equals("school.location", of.school))),
            scope,
            # An alert covers its key's signals by arrival. A store may keep milliseconds only.
            since=of.since,
            until=of.arrived + timedelta(milliseconds=1),
            limit=SIGNAL_ROWS,
            time_field="event.ingested",
        )
    )
    window = Window(of.first - AROUND, of.last + AROUND)
    connections = await _connections(store, scope, of, signals.rows, window)
    host = await _host(store, scope, of, window)
    shown = {str(row.get("event.id")) for row in connections}
    return Story(of, signals.rows, connections, [row for row in host if str(row.get("event.id")) not in shown], window)


async def evidence(store: Store, scope: Scope, of: Alert, signals: Iterable[Row]) -> list[Row]:
    """The evidence of an alert's signals: of the same rules, and of their connections or its entity.

    An agent sends it some seconds after the signal, under the signal's time. Raises StoreError.
    """
    rows = list(signals)
    rules = tuple(dict.fromkeys(str(row["rule.id"]) for row in rows if row.get("rule.id"))) or (of.rule_id,)
    ids = tuple(dict.fromkeys(str(row["network.community_id"]) for row in rows if row.get("network.community_id")))
    same: list[Node] = [OneOf("network.community_id", ids[:_MAX_CONNECTIONS])] if ids else []
    if _is_address(of.entity):
        same += [Equals("source.ip", of.entity), Equals("destination.ip", of.entity)]
    if not same:
        return []
    node = And((_EVIDENCE, Equals("school.location", of.school), OneOf("rule.id", rules), Or(tuple(same))))
    page = await store.search(
        Search(
            Kind.EVENT,
            node,
            scope,
            since=of.first,
            until=of.last + timedelta(milliseconds=1),
            limit=EVIDENCE_ROWS,
            oldest_first=True,
        )
    )
    return page.rows


async def _connections(store: Store, scope: Scope, of: Alert, signals: Iterable[Row], window: Window) -> list[Row]:
    rows = list(signals)
    ids = dict.fromkeys(str(row["network.community_id"]) for row in rows if row.get("network.community_id"))
    pairs = dict.fromkeys(_pair(row) for row in rows if not row.get("network.community_id") and _has_both_ends(row))
    same: list[Node] = [OneOf("network.community_id", tuple(ids)[:_MAX_CONNECTIONS])] if ids else []
    same += [And((*pair, Not(_ARP))) for pair in list(pairs)[:_MAX_CONNECTIONS]]
    if not same:
        return []
    # Behaviour is a signal at its end only: what it is made of began before the first signal's time.
    began = [datetime.fromisoformat(str(row["event.start"])) for row in rows if row.get("event.start")]
    since = min([moment for moment in (window.since, *began) if moment is not None], default=None)
    return await _around(store, scope, of, Or(tuple(same)), Window(since, window.until))


def _has_both_ends(row: Row) -> bool:
    return bool(row.get("source.ip") and row.get("destination.ip"))


def _pair(row: Row) -> tuple[Equals, ...]:
    fields = ("source.ip", "destination.ip", *(("destination.port",) if row.get("destination.port") else ()))
    return tuple(Equals(field, row[field]) for field in fields)


async def _host(store: Store, scope: Scope, of: Alert, window: Window) -> list[Row]:
    if not _is_address(of.entity):
        return []
    same = Or((Equals("source.ip", of.entity), Equals("destination.ip", of.entity)))
    return await _around(store, scope, of, same, window)


async def _around(store: Store, scope: Scope, of: Alert, same: Node, window: Window) -> list[Row]:
    node = And((same, Equals("school.location", of.school), Not(_EVIDENCE)))
    page = await store.search(
        Search(Kind.EVENT, node, scope, since=window.since, until=window.until, limit=AROUND_ROWS, oldest_first=True)
    )
    return page.rows


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


async def _alert_node(directory: Directory, wanted: AlertFilter) -> Node:
    nodes: list[Node] = [where(wanted.query)]
    if wanted.state is not None:
        nodes.append(Equals("alert.state", wanted.state.value))
    if wanted.severity is not None:
        nodes.append(Equals("alert.severity", wanted.severity.value))
    if wanted.board.strip():
        nodes.append(Equals("organization.id", wanted.board.strip()))
    if wanted.school.strip():
        nodes.append(OneOf("school.location", await directory.locations(wanted.school)))
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _search(scope: Scope, node: Node, window: Window, *, limit: int, after: str | None) -> Search:
    return Search(Kind.ALERT, node, scope, since=window.since, until=window.until, limit=limit, after=after)


def _alerts(rows: Iterable[Row]) -> list[Alert]:
    return [msgspec.convert(row, Alert) for row in rows]


def _resume(only: Severity | None, after: str | None) -> tuple[list[Severity], str | None]:
    severities = list(Severity) if only is None else [only]
    if after is None:
        return severities, None
    name, _, cursor = after.partition("~")
    if name not in {severity.value for severity in severities}:
        raise QueryError("is no page of this list; start from its first page", field="after")
    return severities[severities.index(Severity(name)) :], cursor or None

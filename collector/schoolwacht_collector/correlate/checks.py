"""What is asked of the store before a group is raised: prevalence, health of agents, what is usual, events around.

Only groups that have filled a window come here, so a check may cost some calls. Each answers with a :class:`Verdict`;
WAIT says that what is missing may still come.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from ipaddress import ip_address
from statistics import median
from typing import NamedTuple

from schoolwacht.event import Dataset
from schoolwacht_collector.correlate.engine import Match, text_of
from schoolwacht_collector.correlate.rule import Around, CorrelationRule
from schoolwacht_collector.correlate.window import Need
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.prevalence.ask import KINDS, OF_INDICATOR, Answer, ask, normal
from schoolwacht_collector.query.ast import And, Equals, Node, Not, Or

#: Longer than an event takes from the school to the store, most often: so long a check waits for one that is missing.
ARRIVES = timedelta(minutes=10)
#: As the kind of a sighting: the one that an indicator's type says.
BY_INDICATOR = "by-indicator"
_SPANS = 7
_MANY = 20_000
_ILL = And((Equals("event.dataset", Dataset.HEALTH.value), Not(Equals("health.condition", "ok"))))


class Verdict(Enum):
    """What becomes of a match."""

    RAISE = auto()
    WAIT = auto()
    DROP = auto()


class Judged(NamedTuple):
    """A verdict, why, and what the checks found that bears on the signal."""

    verdict: Verdict
    why: str = ""
    match: Match | None = None
    severity: str | None = None
    prevalence: float | None = None
    known_for: timedelta | None = None


class Checks:
    """Judges matches.

    Args:
        store: what is asked.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def judge(self, match: Match, need: Need, *, connected: int, now: datetime) -> Judged:
        """Whether a match is raised. Raises StoreError."""
        rule = match.rule
        judged = Judged(Verdict.RAISE, match=match, severity=_low(match))
        if rule.healthy is not None:
            judged = await self._healthy(judged, need, rule.healthy)
        if judged.verdict is Verdict.RAISE and rule.common is not None:
            judged = await self._common(judged, connected, now)
        if judged.verdict is Verdict.RAISE and rule.new is not None:
            judged = await self._new(judged, connected, now)
        if judged.verdict is Verdict.RAISE and rule.usual:
            judged = await self._usual(judged)
        for around in rule.around:
            if judged.verdict is Verdict.RAISE:
                judged = await self._around(judged, around, now)
        return judged

    async def _healthy(self, judged: Judged, need: Need, within: timedelta) -> Judged:
        """Without the schools whose agent was not well: a flood after an outage is the outage's."""
        match = _of(judged)
        window = match.window
        search = Search(
            Kind.EVENT,
            _ILL,
            SECTOR,
            since=datetime.fromtimestamp(window.start, UTC) - within,
            until=datetime.fromtimestamp(window.end, UTC) + timedelta(seconds=1),
        )
        ill = await self._store.tally(search, "observer.name", top=_MANY)
        left = tuple(member for member in window.members if member.agent not in ill)
        schools = tuple(dict.fromkeys(member.school for member in left))
        boards = tuple(dict.fromkeys(member.board for member in left))
        if len(schools) < need.schools or len(boards) < need.boards:
            return Judged(Verdict.DROP, f"{len(ill)} agents were not well")
        return judged._replace(match=match._replace(window=window._replace(schools=schools, boards=boards)))

    async def _common(self, judged: Judged, connected: int, now: datetime) -> Judged:
        common = _of(judged).rule.common
        assert common is not None
        known = await self._known(_of(judged), common.kind, common.field)
        if known is None or known.schools is None or not connected:
            return judged
        share = known.schools / connected
        if share >= common.share and now - known.first >= common.age:
            return Judged(Verdict.DROP, f"{known.value} is seen at {share:.0%} of the schools since {known.first:%F}")
        return judged._replace(prevalence=share)

    async def _new(self, judged: Judged, connected: int, now: datetime) -> Judged:
        new = _of(judged).rule.new
        assert new is not None
        known = await self._known(_of(judged), new.kind, new.field)
        if known is None:
            return judged._replace(known_for=timedelta())
        if now - known.since > new.within:
            return Judged(Verdict.DROP, f"{known.value} is known since {known.since:%F}")
        share = known.schools / connected if known.schools is not None and connected else None
        return judged._replace(known_for=now - known.since, prevalence=share)

    async def _known(self, match: Match, kind: str, field: str) -> Answer | None:
        value = _value(match, field)
        if kind == BY_INDICATOR:
            kind = OF_INDICATOR.get(match.row.get("threat.indicator.type", ""), "")
        if value is None or kind not in KINDS or normal(kind, value) != value:
            return None  # of a name below a domain that many use nothing is known
        return await ask(self._store, kind, value)

    async def _usual(self, judged: Judged) -> Judged:
        """Whether there are many more schools than in the spans before."""
        match = _of(judged)
        rule, window = match.rule, match.window
        end = datetime.fromtimestamp(window.start, UTC)
        numbers = []
        for _ in range(_SPANS):
            search = Search(Kind.SIGNAL, _where(rule, match), SECTOR, since=end - rule.span, until=end)
            numbers.append(len(await self._store.tally(search, "school.location", top=_MANY)))
            end -= rule.span
        if len(window.schools) < rule.usual * median(numbers):
            return Judged(Verdict.DROP, f"{median(numbers):.0f} schools in such a span are usual")
        return judged

    async def _around(self, judged: Judged, around: Around, now: datetime) -> Judged:
        match = _of(judged)
        moment = datetime.fromtimestamp(match.window.end, UTC)
        parts: list[Node] = [around.where]
        for ours, theirs in around.same:
            value = _value(match, theirs)
            if value is None:
                return Judged(Verdict.DROP, f"the signal has no {theirs}")
            parts.append(Equals(ours, value))
        search = Search(
            Kind.EVENT,
            And(tuple(parts)),
            SECTOR,
            since=moment - around.before,
            until=moment + around.after + timedelta(microseconds=1),
            limit=1,
        )
        if (await self._store.search(search)).rows:
            return judged
        if now < moment + around.after + ARRIVES:
            return Judged(Verdict.WAIT, "what belongs to it is not there yet", match)
        return Judged(Verdict.DROP, "what belongs to it did not come")


def _of(judged: Judged) -> Match:
    assert judged.match is not None
    return judged.match


def _value(match: Match, name: str) -> str | None:
    if name in match.rule.group_by:
        # A school's groups begin with its board and location.
        place = match.rule.group_by.index(name) + len(match.group) - len(match.rule.group_by)
        return match.group[place]
    return text_of(match.row, name)


def _where(rule: CorrelationRule, match: Match) -> Node:
    """The signals of a group."""
    same = [Equals(name, value) for name, value in zip(rule.group_by, match.group, strict=True)]
    return And((Or(tuple(selection.where for selection in rule.selections)), *same))


def _low(match: Match) -> str | None:
    low = match.rule.low
    value = None if low is None else _value(match, low.field)
    if low is None or value is None:
        return None
    try:
        address = ip_address(value)
    except ValueError:
        return None
    known = any(address.version == network.version and address in network for network in low.networks)
    return "Informational" if known else None

"""All rules over all signals: groups, what was raised of them, and bounds on both. Pure.

:meth:`Engine.take` is given signals in whatever order they arrive and answers with what they completed. What a group
was raised for is one *episode* as long as its windows follow each other within a span; an episode is told again when
it has grown by a step (:func:`.window.step`), which another leader that saw the same finds told already
(:meth:`Engine.told`).

Bounded: a group is forgotten when its newest member is older than span and lateness; an agent alone (with no other in
the group) holds :data:`ALONE` groups of a rule at most, and a rule :data:`GROUPS`. Beyond, the oldest of its own go,
and are counted in :attr:`Engine.dropped`: an agent that invents values can drive out its own only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import ceil
from typing import Any, NamedTuple, TypeAlias

from schoolwacht.identity import identify
from schoolwacht_collector.correlate.rule import CorrelationRule, Form, Level
from schoolwacht_collector.correlate.window import Filled, Group, Member, Need, step
from schoolwacht_collector.query.evaluate import Predicate, predicate

Row: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, ...]

#: Groups of one rule that one agent alone has brought, and of one rule.
ALONE = 500
GROUPS = 200_000
_EPISODES = 8
#: What is kept of a group's latest signal, for the one that is made of the group.
_SAMPLE = (
    "threat.indicator.id", "threat.indicator.type", "threat.indicator.name", "threat.indicator.provider",
    "threat.indicator.confidence", "threat.indicator.marking.tlp",
)  # fmt: skip
_SCHOOL_SAMPLE = (
    *_SAMPLE,
    "school.location", "school.brin", "school.sector", "school.region", "school.zone", "organization.id",
    "observer.name", "signal.entity", "source.ip", "source.mac", "destination.ip", "destination.port",
    "network.direction", "network.transport", "pseudonym.epoch", "rule.name", "nsm.krb5.sname", "dns.question.name",
    "dns.question.registered_domain", "tls.client.server_name", "url.domain", "nsm.detail",
)  # fmt: skip


class Match(NamedTuple):
    """A group that has filled a window.

    ``anchor`` names the episode: the end of the window that began it, seconds since 1970. ``row`` is the latest signal
    of the group in the store's form; ``member`` the one that completed the window, in arrival.
    """

    rule: CorrelationRule
    group: Key
    anchor: float
    step: int
    window: Filled
    row: Row

    @property
    def id(self) -> str:
        """From rule, group, episode and step: what the same signals give again."""
        return identify("correlation", self.rule.id, *self.group, f"{self.anchor:.3f}", str(self.step))


class _Episode:
    __slots__ = ("anchor", "first", "last", "step")

    def __init__(self, anchor: float, size: int) -> None:
        self.anchor = self.first = self.last = anchor
        self.step = size


class _Held:
    """A group with what was raised of it, and its latest signal."""

    __slots__ = ("at", "episodes", "group", "row")

    def __init__(self) -> None:
        self.group = Group()
        self.episodes: list[_Episode] = []
        self.row: Row = {}
        self.at = 0.0

    def episode(self, end: float, span: float) -> _Episode | None:
        return next((one for one in self.episodes if one.first - span < end < one.last + span), None)

    @property
    def newest(self) -> float:
        """The own time of what is newest here, seen or raised."""
        return max([self.group.newest, *(one.last for one in self.episodes)])


class _Ruled:
    """One rule at work."""

    __slots__ = ("_alone", "groups", "rule", "tests")

    def __init__(self, rule: CorrelationRule) -> None:
        self.rule = rule
        self.tests: list[Predicate] = [predicate(selection.where) for selection in rule.selections]
        self.groups: OrderedDict[Key, _Held] = OrderedDict()
        self._alone: dict[str, OrderedDict[Key, None]] = {}

    def held(self, key: Key, agent: str | None) -> tuple[_Held, int]:
        """The group of that key, and how many others had to go for it. ``agent`` is the one that a bound holds for."""
        found = self.groups.get(key)
        gone = 0
        if found is None:
            found = self.groups[key] = _Held()
            if agent is not None:
                mine = self._alone.setdefault(agent, OrderedDict())
                mine[key] = None
                if len(mine) > ALONE:
                    self.forget(next(iter(mine)))
                    gone += 1
            if len(self.groups) > GROUPS:
                self.forget(next(iter(self.groups)))
                gone += 1
        else:
            self.groups.move_to_end(key)
            if len(found.group.agents) == 1:
                (other,) = found.group.agents
                if other != agent and other in self._alone:
                    self._alone[other].pop(key, None)
        return found, gone

    def forget(self, key: Key) -> None:
        """Forget a group, and that it was an agent's."""
        for agent in self.groups.pop(key).group.agents:
            if (mine := self._alone.get(agent)) is not None:
                mine.pop(key, None)
                if not mine:
                    del self._alone[agent]

    def expire(self, horizon: float) -> None:
        """Forget groups in which nothing is newer."""
        for key in [key for key, held in self.groups.items() if held.newest <= horizon]:
            self.forget(key)


class Engine:
    """Takes signals, gives matches.

    Args:
        rules: all of them.
    """

    def __init__(self, rules: Iterable[CorrelationRule]) -> None:
        self._ruled = [_Ruled(rule) for rule in rules]
        self.connected = 0
        #: Agents whose weight is not capped: sensors of the operator on a path of many schools.
        self.free: frozenset[str] = frozenset()
        self.dropped = 0

    @property
    def rules(self) -> list[CorrelationRule]:
        """The rules at work."""
        return [ruled.rule for ruled in self._ruled]

    @property
    def groups(self) -> int:
        """How many groups are held."""
        return sum(len(ruled.groups) for ruled in self._ruled)

    def take(self, row: Row) -> list[Match]:
        """The matches that a signal (in the store's form) completes."""
        found: list[Match] = []
        for ruled in self._ruled:
            for slot, test in enumerate(ruled.tests):
                if test(row):
                    match = self._joined(ruled, slot, row)
                    if match is not None:
                        found.append(match)
                    break
        return found

    def told(self, rule_id: str, group: Sequence[str], anchor: float, size: int) -> None:
        """A stored signal says that this was raised: it is not raised again."""
        for ruled in self._ruled:
            if ruled.rule.id == rule_id:
                held, gone = ruled.held(tuple(group), None)
                self.dropped += gone
                episode = held.episode(anchor, ruled.rule.span.total_seconds())
                if episode is None:
                    held.episodes.append(_Episode(anchor, size))
                else:
                    episode.step = max(episode.step, size)

    def expire(self, now: datetime) -> None:
        """Forget what can fill no window any more."""
        moment = now.timestamp()
        for ruled in self._ruled:
            ruled.expire(moment - (ruled.rule.span + ruled.rule.late).total_seconds())

    def _joined(self, ruled: _Ruled, slot: int, row: Row) -> Match | None:
        rule = ruled.rule
        key = _key(rule, row)
        made = None if key is None else _member(rule, slot, row)
        if key is None or made is None:
            return None
        held, gone = ruled.held(key, None if made.agent in self.free else made.agent)
        self.dropped += gone
        arrived = datetime.fromisoformat(row["event.ingested"]).timestamp()
        held.group.expire(arrived - (rule.span + rule.late).total_seconds())
        if made.time >= held.at:
            names = _SAMPLE if rule.level is Level.SECTOR else _SCHOOL_SAMPLE
            held.at, held.row = made.time, {name: row[name] for name in names if name in row}
        if not held.group.add(made, rule):
            return None
        window = held.group.filled(made, rule, self.need(rule), self.free)
        return None if window is None else _grown(rule, key, held, window)

    def need(self, rule: CorrelationRule) -> Need:
        """What a window of the rule must hold, given how many schools are connected."""
        least = rule.least
        if rule.form in {Form.TEMPORAL, Form.TEMPORAL_ORDERED}:
            least = len(rule.selections)
        return Need(least, max(rule.schools, ceil(rule.share * self.connected)), rule.boards)


def _grown(rule: CorrelationRule, key: Key, held: _Held, window: Filled) -> Match | None:
    """The match, unless that much of its episode was raised before."""
    size = step(len(window.schools) if rule.level is Level.SECTOR else window.size)
    span = rule.span.total_seconds()
    episode = held.episode(window.end, span)
    if episode is None:
        episode = _Episode(window.end, size)
        held.episodes.append(episode)
        del held.episodes[:-_EPISODES]
    else:
        episode.first, episode.last = min(episode.first, window.end), max(episode.last, window.end)
        if size <= episode.step:
            return None
        episode.step = size
    return Match(rule, key, episode.anchor, size, window, held.row)


def _key(rule: CorrelationRule, row: Row) -> Key | None:
    parts = []
    if rule.level is Level.SCHOOL:
        parts = [str(row.get("organization.id", "")), str(row.get("school.location", ""))]
    for name in rule.group_by:
        value = text_of(row, name)
        if value is None:
            return None
        parts.append(value)
    return tuple(parts)


def _member(rule: CorrelationRule, slot: int, row: Row) -> Member | None:
    value: str | None = row["event.id"]
    if rule.form is Form.VALUE_COUNT:
        value = text_of(row, rule.counted or "")
    elif rule.form is not Form.EVENT_COUNT:
        value = ""
    if value is None:
        return None
    return Member(
        datetime.fromisoformat(row["@timestamp"]).timestamp(),
        row["event.id"],
        slot,
        value,
        row.get("school.location", ""),
        row.get("organization.id", ""),
        row.get("observer.name", ""),
    )


def text_of(row: Row, name: str) -> str | None:
    """The value of a field of a row as text; of a list its first; ``nsm.detail.<key>`` too."""
    value = row.get(name)
    if value is None and name.startswith("nsm.detail."):
        value = (row.get("nsm.detail") or {}).get(name.removeprefix("nsm.detail."))
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value)

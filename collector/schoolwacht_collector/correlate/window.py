"""One group of a rule: its members by their own time, and the windows that they fill. Pure.

A window ends at a member and reaches back over the rule's span: ``(end - span, end]``. When a member comes in, the
windows that hold it are looked at, and no others; so whatever the order of arrival, every window has been looked at
with all its members once the last of them is in (a property test holds this against looking at every window of all
members).

Kept small without changing any answer: where only different values count, a member that stands between two of the
same identity (selection, value, school, agent) not more than a span apart adds to no window that one of them is not
in.

Limits: at most :data:`MEMBERS` members a group, and :data:`IDENTITIES` identities of one agent in it; more are not
counted, oldest and newest respectively.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from typing import NamedTuple

from schoolwacht_collector.correlate.rule import CorrelationRule, Form

#: Members a group holds, and different identities of one agent in it.
MEMBERS = 50_000
IDENTITIES = 64
#: Told again at these sizes, and at each ten times as large.
_STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 70)


class Member(NamedTuple):
    """A signal as a group sees it. ``time`` is its own, in seconds since 1970."""

    time: float
    id: str
    slot: int
    value: str
    school: str
    board: str
    agent: str


class Filled(NamedTuple):
    """A window that satisfies its rule: ``size`` is what the condition counts, the members oldest first."""

    start: float
    end: float
    size: int
    schools: tuple[str, ...]
    boards: tuple[str, ...]
    members: tuple[Member, ...]


class Need(NamedTuple):
    """What a window must hold now: the rule's numbers, with the share of the connected schools worked out."""

    least: int
    schools: int
    boards: int


class Group:
    """The members of one group. ``bound`` says whether an agent's weight is capped."""

    __slots__ = ("_identities", "_members", "_times")

    def __init__(self) -> None:
        self._members: list[Member] = []
        #: Identity → times of its members, ascending.
        self._times: dict[tuple[int, str, str, str], list[float]] = {}
        self._identities: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._members)

    @property
    def newest(self) -> float:
        """The own time of the newest member."""
        return self._members[-1].time if self._members else 0.0

    @property
    def agents(self) -> Counter[str]:
        """How many identities each agent has here."""
        return self._identities

    def add(self, member: Member, rule: CorrelationRule) -> bool:
        """Take a member in. Whether a window may be filled by it that was not before."""
        span = rule.span.total_seconds()
        identity = (member.slot, member.value, member.school, member.agent)
        times = self._times.get(identity)
        if times is None:
            if self._identities[member.agent] >= IDENTITIES * max(1, rule.weight) and rule.form is not Form.EVENT_COUNT:
                return False
            self._identities[member.agent] += 1
            self._times[identity] = [member.time]
            insort(self._members, member)
            self._cut()
            return True
        place = bisect_right(times, member.time)
        before = times[place - 1] if place else None
        after = times[place] if place < len(times) else None
        ordered = rule.form is Form.TEMPORAL_ORDERED
        if before is not None and (
            before == member.time or (not ordered and after is not None and after - before <= span)
        ):
            return False
        newest = member.time >= self.newest
        times.insert(place, member.time)
        insort(self._members, member)
        if not ordered:
            self._thin(times, place, span, identity)
        self._cut()
        return ordered or not newest or before is None or member.time - before >= span

    def _thin(self, times: list[float], place: int, span: float, identity: tuple[int, str, str, str]) -> None:
        """Take out neighbours that the new time made superfluous."""
        for middle in (place + 1, place - 1):
            if 0 < middle < len(times) - 1 and times[middle + 1] - times[middle - 1] <= span:
                gone = times.pop(middle)
                start = bisect_right(self._members, (gone,))
                for index in range(start, len(self._members)):
                    found = self._members[index]
                    if found.time != gone:
                        break
                    if (found.slot, found.value, found.school, found.agent) == identity:
                        del self._members[index]
                        break

    def _cut(self) -> None:
        if len(self._members) > MEMBERS:
            self._drop(self._members[: len(self._members) - MEMBERS])
            del self._members[: len(self._members) - MEMBERS]

    def expire(self, horizon: float) -> None:
        """Forget members of before ``horizon``."""
        place = bisect_right(self._members, (horizon,))
        if place:
            self._drop(self._members[:place])
            del self._members[:place]

    def _drop(self, gone: list[Member]) -> None:
        for member in gone:
            identity = (member.slot, member.value, member.school, member.agent)
            times = self._times[identity]
            times.remove(member.time)
            if not times:
                del self._times[identity]
                self._identities[member.agent] -= 1
                if not self._identities[member.agent]:
                    del self._identities[member.agent]

    def filled(self, member: Member, rule: CorrelationRule, need: Need, free: frozenset[str]) -> Filled | None:
        """The fullest of the windows that hold this member and satisfy the rule; the earliest of equals.

        ``free`` are the agents whose weight is not capped.
        """
        span = rule.span.total_seconds()
        best: Filled | None = None
        first = bisect_right(self._members, (member.time,))
        while first > 0 and self._members[first - 1].time == member.time:
            first -= 1
        place = first
        while place < len(self._members) and (end := self._members[place].time) < member.time + span:
            while place + 1 < len(self._members) and self._members[place + 1].time == end:
                place += 1
            found = _judged(self._window(end, span, place + 1), rule, need, free)
            if found is not None and (best is None or _weight(found) > _weight(best)):
                best = found
            place += 1
        return best

    def _window(self, end: float, span: float, stop: int) -> list[Member]:
        start = bisect_right(self._members, (end - span, chr(0x10FFFF)))
        return self._members[start:stop]


def _weight(window: Filled) -> tuple[int, int]:
    return len(window.schools), window.size


def _judged(members: list[Member], rule: CorrelationRule, need: Need, free: frozenset[str]) -> Filled | None:
    """The window of these members if it satisfies the rule."""
    counted = weighed(members, rule, free)
    schools = dict.fromkeys(member.school for member in counted)
    boards = dict.fromkeys(member.board for member in counted)
    if len(schools) < need.schools or len(boards) < need.boards:
        return None
    match rule.form:
        case Form.EVENT_COUNT:
            size = len(counted)
        case Form.VALUE_COUNT:
            size = len({member.value for member in counted})
        case Form.TEMPORAL:
            size = len({member.slot for member in counted})
        case Form.TEMPORAL_ORDERED:
            size = _in_order(counted)
    if size < need.least:
        return None
    return Filled(members[0].time, members[-1].time, size, tuple(schools), tuple(boards), tuple(counted))


def weighed(members: list[Member], rule: CorrelationRule, free: frozenset[str]) -> list[Member]:
    """The members that count: of each agent no more than its weight, oldest first."""
    if rule.form in {Form.TEMPORAL, Form.TEMPORAL_ORDERED}:
        return members
    taken: dict[str, set[str]] = {}
    counted: list[Member] = []
    for member in members:
        if member.agent not in free:
            held = taken.setdefault(member.agent, set())
            if member.value not in held:
                if len(held) >= rule.weight:
                    continue
                held.add(member.value)
        counted.append(member)
    return counted


def _in_order(members: list[Member]) -> int:
    """How many selections follow each other, from the first on."""
    slot = 0
    for member in members:
        if member.slot == slot:
            slot += 1
    return slot


def step(size: int) -> int:
    """The size at which a group of this size was told last: 1, 2, 3, 4, 5, 6, 8, 10, 15, 20 and so on."""
    scale = 1
    while size >= 100 * scale:
        scale *= 10
    return scale * max(each for each in _STEPS if each * scale <= size)

"""The leader's job: reads signals as they arrive, raises what the rules say, stores it as signals.

Promise: each signal is looked at within seconds of its arrival (Elasticsearch shows it after about one). One that
becomes visible up to :data:`OVERLAP` after its arrival is still found. A new leader reads the signals of the rules'
longest span and lateness again, and what was raised in that time, from the store: it begins where the last one stood,
misses nothing and raises nothing twice (the ids of what it raises follow from rule, group, episode and size).

Cost: one search a look, of what is new; every :data:`WHOLE` seconds one over the whole overlap. What the checks ask
comes on top, for groups that have filled a window only.

Limits: a signal that arrives later than others by more than its rule's ``late`` finds none of them any more. Times
are the signals' own as the collector took them: a claimed time out of bounds is replaced by that of arrival.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from schoolwacht.errors import StoreError
from schoolwacht.event import Event
from schoolwacht_collector.correlate import fresh
from schoolwacht_collector.correlate.checks import Checks, Judged, Verdict
from schoolwacht_collector.correlate.engine import Engine, Match
from schoolwacht_collector.correlate.rule import CorrelationRule
from schoolwacht_collector.correlate.signal import RULESET, signal_of
from schoolwacht_collector.correlate.silence import Silence
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.index.through import pages, rows
from schoolwacht_collector.prevalence.ask import Answer
from schoolwacht_collector.query.ast import All, Equals, Not
from schoolwacht_collector.records import Agent, Standpoint

OVERLAP = timedelta(minutes=2)
NEAR = timedelta(seconds=5)
#: Seconds between looks, at least and at most; between looks over the whole overlap; between looks at the agents.
PACE, IDLE, WHOLE, AGENTS = 0.5, 2.0, 30.0, 15.0
#: Schools whose agent delivered within this time count as connected.
CONNECTED = timedelta(days=1)
_PAGE = 2000
_WAITING = 10_000
_OTHERS = Not(Equals("rule.ruleset", RULESET))
log = logging.getLogger(__name__)


class Correlator:
    """Correlates. One runs at a time, at the leader.

    Args:
        store: where signals are, and go.
        rules: all correlation rules.
        on_raised: called after signals were stored (the folder's nudge).
        clock: system time in UTC.
        counting_since: since when sightings are counted; None while that is not known.
    """

    def __init__(
        self,
        store: Store,
        rules: Iterable[CorrelationRule],
        *,
        on_raised: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        counting_since: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._store = store
        self._rules = tuple(rules)
        self._on_raised = on_raised
        self._clock = clock
        self._counting_since = counting_since
        self._checks = Checks(store)
        self._wake = asyncio.Event()
        self._fresh: dict[tuple[str, str], Answer] = {}
        #: Signals that were raised and matches that a check dropped, since the start.
        self.raised = self.dropped = 0
        self._waiting: list[Match] = []
        self._silent: list[Event] = []
        self._forget()

    @property
    def groups(self) -> int:
        """Groups held in memory."""
        return self.engine.groups

    def nudge(self) -> None:
        """Signals were stored: look soon. Cheap; from the loop's thread."""
        self._wake.set()

    def seen(self, answers: Sequence[Answer]) -> None:
        """Values whose prevalence changed (the counter's ``on_change``); looked at with the next look."""
        now = self._clock()
        kinds = {rule.sightings: rule for rule in self._rules if rule.sightings}
        for answer in answers:
            rule = kinds.get(answer.kind)
            if rule is not None and now - answer.since <= rule.span + rule.late:
                self._fresh[answer.kind, answer.value] = answer

    async def run(self) -> None:
        """Correlate until cancelled. A store that fails is tried again, ever more slowly up to 30 s."""
        self._forget()
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self.look()
                failures = 0
            except StoreError as error:
                failures += 1
                log.warning("correlation waits for the store: %s", error)
            breath = max(PACE, time.monotonic() - began) if not failures else min(30.0, PACE * 2**failures)
            await asyncio.sleep(breath)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), IDLE)
            except TimeoutError:
                continue

    async def look(self) -> int:
        """Look at what is new, once; how many signals were raised. Raises StoreError."""
        now = self._clock()
        if self._agents_at is None or (now - self._agents_at).total_seconds() >= AGENTS:
            await self._read_agents(now)
        if self._read is None:
            await self._resume(now)
        # Kept until they are judged: a store that fails meanwhile must not lose them.
        async for some in self._new(now):
            for row in some:
                self._waiting += self._taken(row)
        judged = [one for match in self._waiting if (one := await self._judged(match, now)) is not None]
        self._waiting = []
        signals = self._signals(judged, now) + await self._of_sightings(now) + self._silent
        self._silent = []
        await self._store_all(signals)
        return len(signals)

    def _taken(self, row: Row) -> list[Match]:
        """What a signal completes. One that breaks a step costs nobody else a detection."""
        try:
            return list(self.engine.take(row))
        except Exception:
            log.exception("the signal %s cannot be correlated", row.get("event.id"))
            return []

    async def _judged(self, match: Match, now: datetime) -> Judged | None:
        try:
            return await self._checks.judge(
                match, self.engine.need(match.rule), connected=self.engine.connected, now=now
            )
        except StoreError:
            raise
        except Exception:  # as above: one that breaks a check ends alone
            log.exception("a match of %s cannot be judged", match.rule.id)
            return None

    def _forget(self) -> None:
        """Begin anew from what the store knows: while another led, it went on."""
        self.engine = Engine(rule for rule in self._rules if rule.selections)
        self._silence = Silence(self._store, clock=self._clock)
        self._silent = []
        self._waiting = []
        self._read: datetime | None = None
        self._whole = self._expired = self._clock()
        self._agents_at: datetime | None = None
        #: Ids read in the overlap, with their arrival.
        self._known: dict[str, datetime] = {}
        self._told_fresh: set[str] = set()

    async def _resume(self, now: datetime) -> None:
        """What was raised before, and from when on signals are to be read."""
        longest = max((rule.span + rule.late for rule in self._rules), default=timedelta())
        search = Search(
            Kind.SIGNAL, Equals("rule.ruleset", RULESET), SECTOR,
            since=now - 2 * longest, limit=_PAGE, oldest_first=True, time_field="event.ingested",
        )  # fmt: skip
        async for row in rows(self._store, search):
            detail = row.get("nsm.detail") or {}
            if "anchor" in detail and "group" in detail:
                try:
                    group = msgspec.json.decode(detail["group"], type=tuple[str, ...])
                    self.engine.told(row["rule.id"], group, float(detail["anchor"]), int(detail["step"]))
                except (msgspec.MsgspecError, ValueError, KeyError) as error:
                    log.warning("the signal %s cannot be read again: %s", row.get("event.id"), error)
        self._read = now - longest

    async def _new(self, now: datetime) -> AsyncIterator[list[Row]]:
        """Signals that were not read before, by arrival, page by page."""
        assert self._read is not None
        whole = (now - self._whole).total_seconds() >= WHOLE
        since = min(self._read, now - OVERLAP) if whole else self._read - NEAR
        horizon = now - 2 * OVERLAP
        search = Search(
            Kind.SIGNAL, _OTHERS, SECTOR, since=since, limit=_PAGE, oldest_first=True, time_field="event.ingested"
        )
        async for found in pages(self._store, search):
            yield [row for row in found if row["event.id"] not in self._known]
            for row in found:
                arrived = datetime.fromisoformat(row["event.ingested"])
                if arrived >= horizon:
                    self._known[row["event.id"]] = arrived
                self._read = max(self._read, arrived)
        if whole:
            self._whole = now
            self._known = {name: at for name, at in self._known.items() if at >= horizon}
        if (now - self._expired).total_seconds() >= 60:
            self._expired = now
            self.engine.expire(now)

    async def _read_agents(self, now: datetime) -> None:
        """How many schools are connected, whose weight is not capped, and who is silent."""
        search = Search(Kind.AGENT, All(), SECTOR, limit=_PAGE)
        agents = [msgspec.convert(row, Agent) async for row in rows(self._store, search)]
        self.engine.connected = len(
            {
                school.location
                for agent in agents
                if agent.enabled and agent.last_seen is not None and now - agent.last_seen < CONNECTED
                for school in agent.schools
            }
        )
        self.engine.free = frozenset(agent.id for agent in agents if agent.standpoint is Standpoint.NDC)
        self._silent += await self._silence.look(agents)
        self._agents_at = now

    async def _of_sightings(self, now: datetime) -> list[Event]:
        """Signals of values that are new to the sector."""
        since = self._counting_since()
        if not self._fresh or since is None:
            return []
        answers, self._fresh = list(self._fresh.values()), {}
        judged = []
        for answer in answers:
            for rule in self._rules:
                if rule.sightings != answer.kind or answer.since - since < rule.learn:
                    continue
                match = fresh.match_of(rule, answer, self.engine.need(rule), self.engine.free)
                if match is None or match.id in self._told_fresh:
                    continue
                verdict = await fresh.judge(self._store, match, answer, connected=self.engine.connected)
                judged.append(verdict)
                if verdict.verdict is Verdict.RAISE:
                    self._told_fresh.add(match.id)
        return self._signals(judged, now)

    def _signals(self, judged: Iterable[Judged], now: datetime) -> list[Event]:
        signals = []
        for one in judged:
            match = one.match
            if one.verdict is Verdict.RAISE and match is not None:
                signals.append(
                    signal_of(
                        match, now=now, connected=self.engine.connected, severity=one.severity,
                        prevalence=one.prevalence, known_for=one.known_for,
                    )
                )  # fmt: skip
            elif one.verdict is Verdict.WAIT and match is not None and len(self._waiting) < _WAITING:
                self._waiting.append(match)
            else:
                self.dropped += 1
                log.info("a match is not raised: %s", one.why)
        return signals

    async def _store_all(self, signals: Sequence[Event]) -> None:
        """Store them; what the store does not take now is tried until it does."""
        left = list(signals)
        while left:
            outcomes = await self._store.create(left)
            self.raised += sum(outcome.created for outcome in outcomes)
            again = [one for one, outcome in zip(left, outcomes, strict=True) if outcome.verdict.name == "RETRY"]
            for one, outcome in zip(left, outcomes, strict=True):
                if outcome.verdict.name == "REJECTED":
                    log.error("a correlated signal of %s is refused: %s", one.rule_id, outcome.reason)
            if len(again) < len(left):
                self._on_raised()
            if again:
                await asyncio.sleep(PACE)
            left = again

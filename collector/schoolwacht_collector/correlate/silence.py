"""X8: an agent that is silent, or that sees no traffic; and several of one board at once, which is their path.

Heard of is when an agent last delivered, as its registration says; a quiet school sends health every minute, in
holidays too. The time is measured against the collector's own clock only once this leader has been at work for as long
as the rule waits; before, against the last delivery of *any* agent, so that an outage of the centre itself raises
nobody.

Nothing is kept: the ids of the signals follow from the agent and the moment at which it fell silent, so they are stored
once however often one looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Event
from schoolwacht.identity import identify
from schoolwacht_collector.correlate.rule import CorrelationRule, Form, Level
from schoolwacht_collector.correlate.signal import RULESET, event_id, sector_signal
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import And, Equals, OneOf
from schoolwacht_collector.records import Agent, Standpoint
from schoolwacht_collector.score import score
from schoolwacht_collector.signals import complete_signal

ONE = timedelta(minutes=10)
TOGETHER = timedelta(minutes=5)
AGENTS = 3
#: An agent that was silent for longer is not told again: it was, when it fell silent.
LONG = timedelta(days=2)
#: Health events that say for ten minutes that nothing is seen: one comes a minute.
BLIND_EVENTS = 5
_BLIND = And(
    (Equals("event.dataset", Dataset.HEALTH.value), OneOf("health.condition", ("silent", "interface", "blind")))
)
SILENT = CorrelationRule(
    id="X8",
    uuid="5f0f2c0a-2f0d-5a57-9a0c-5d2f8a6d8f08",
    title="Agent silent",
    level=Level.SECTOR,
    severity="Minor",
    confidence="High",
    form=Form.VALUE_COUNT,
    selections=(),
    group_by=(),
    span=TOGETHER,
)


class Silence:
    """Looks for silent agents.

    Args:
        store: where health is.
        clock: system time in UTC.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._began = clock()
        self._told: set[str] = set()

    async def look(self, agents: Sequence[Agent]) -> list[Event]:
        """The signals of agents that are silent or blind now. Raises StoreError."""
        now = self._clock()
        signals = [*self._silent(agents, now), *await self._blind(agents, now)]
        fresh = [signal for signal in signals if signal.event_id not in self._told]
        if len(self._told) > 100_000:
            self._told.clear()
        self._told.update(signal.event_id or "" for signal in fresh)
        return fresh

    def _silent(self, agents: Iterable[Agent], now: datetime) -> list[Event]:
        heard = {
            agent.id: (agent, agent.last_seen)
            for agent in agents
            if agent.enabled and agent.last_seen is not None and now - agent.last_seen < LONG
        }
        newest = max((moment for _, moment in heard.values()), default=now)
        until = now if now - self._began >= ONE else min(now, newest)
        by_board: dict[str, list[tuple[datetime, Agent]]] = defaultdict(list)
        for agent, moment in heard.values():
            if until - moment >= TOGETHER:
                by_board[agent.board].append((moment, agent))
        signals: list[Event] = []
        for board, found in by_board.items():
            for cluster in _clusters(sorted(found, key=lambda each: (each[0], each[1].id))):
                if len(cluster) >= AGENTS:
                    signals.append(_path(board, cluster, now))
                else:
                    signals += [_one(agent, moment, now) for moment, agent in cluster if until - moment >= ONE]
        return signals

    async def _blind(self, agents: Iterable[Agent], now: datetime) -> list[Event]:
        """Agents that have said for ten minutes that no packet comes."""
        search = Search(Kind.EVENT, _BLIND, SECTOR, since=now - ONE, until=now)
        found = await self._store.tally(search, "observer.name", top=20_000)
        blind = {name for name, tally in found.items() if tally.number >= BLIND_EVENTS}
        hour = now.replace(minute=0, second=0, microsecond=0)
        return [
            _of_agent(agent, hour, now, "Agent sees no traffic", "it runs and delivers, but no packet comes")
            for agent in agents
            if agent.id in blind
        ]


def _clusters(found: Sequence[tuple[datetime, Agent]]) -> list[list[tuple[datetime, Agent]]]:
    """Those that fell silent together: within :data:`TOGETHER` of the first of them."""
    clusters: list[list[tuple[datetime, Agent]]] = []
    for each in found:
        if clusters and each[0] - clusters[-1][0][0] <= TOGETHER:
            clusters[-1].append(each)
        else:
            clusters.append([each])
    return clusters


def _path(board: str, cluster: Sequence[tuple[datetime, Agent]], now: datetime) -> Event:
    schools = [school.location for _, agent in cluster for school in agent.schools]
    start = cluster[0][0]
    signal = sector_signal(
        SILENT,
        f"board {board}",
        start=start,
        end=start + TOGETHER,
        schools=schools,
        boards=sorted({school.board for _, agent in cluster for school in agent.schools}),
        connected=0,
        detail={"agents": str(len(cluster))},
    )
    signal.rule_name = "Agents of one board silent together"
    signal.message = f"{signal.rule_name}: {len(cluster)} of board {board}, since {start:%F %H:%M} UTC"
    signal.signal_severity = "Major"
    return _finished(signal, identify("X8", board, start.isoformat(), str(len(cluster))), now)


def _one(agent: Agent, moment: datetime, now: datetime) -> Event:
    return _of_agent(agent, moment + ONE, now, "Agent silent", f"nothing came since {moment:%F %H:%M} UTC")


def _of_agent(agent: Agent, moment: datetime, now: datetime, name: str, what: str) -> Event:
    """A signal about one agent, at its school; one on a path is its operator's."""
    signal = Event(
        timestamp=moment,
        event_dataset=Dataset.SIGNAL,
        event_module="correlate",
        message=f"{name}: {agent.id}, {what}",
        rule_id=SILENT.id,
        rule_name=name,
        rule_ruleset=RULESET,
        signal_detection=SILENT.id,
        signal_severity=SILENT.severity,
        signal_confidence=SILENT.confidence,
        organization_id=agent.board,
        observer_name=agent.id,
    )
    if agent.standpoint is Standpoint.GATEWAY and len(agent.schools) == 1:
        signal.school_location = agent.schools[0].location
        signal.school_brin = agent.schools[0].location[:4]
    derive(signal)
    complete_signal(signal)
    return _finished(signal, identify("X8", name, agent.id, moment.isoformat()), now)


def _finished(signal: Event, identity: str, now: datetime) -> Event:
    signal.event_id = event_id(signal.timestamp, identity)
    signal.event_ingested = now
    signal.signal_score = score(severity=signal.signal_severity, priority=None, confidence=signal.signal_confidence)
    return signal

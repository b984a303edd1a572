"""The leader's job: alerts follow the tuning rules, snoozes end, and what has healed closes by itself.

Promise: a rule that is added, ended or expires changes the open alerts within :data:`PERIOD` seconds and a look; no
alert that people have taken up (acknowledged) is closed, and a signal that comes while one is closed opens a new one.
Each closing says who (``schoolwacht``) and why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from schoolwacht.errors import Conflict, StoreError
from schoolwacht.event import Dataset
from schoolwacht_collector.alerts import AlertClosed, change_state
from schoolwacht_collector.fold import QUIET
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.query.ast import And, Between, Equals, Node, OneOf
from schoolwacht_collector.records import Agent, Alert, AlertState
from schoolwacht_collector.score import at_least
from schoolwacht_collector.tuning.judge import Judge
from schoolwacht_collector.tuning.settings import TriageSettings

PERIOD = 5.0
#: Seconds between two looks for what has healed.
HEALING = 60.0
WHO = "schoolwacht"
#: An agent that delivered within this is there.
PRESENT = timedelta(minutes=5)
FLOODS = frozenset({"D31", "X3"})
AGENTS = frozenset({"X8"})
_PAGE = 500
_ILL = ("silent", "interface", "blind")
_logger = logging.getLogger(__name__)


class Care:
    """Looks after open alerts.

    Args:
        store: where alerts are.
        judge: the folder's, or one of its own.
        settings: ``[triage]``.
        on_change: called when alerts changed (the outbox's nudge).
        clock: system time in UTC.
    """

    def __init__(
        self,
        store: Store,
        judge: Judge,
        settings: TriageSettings | None = None,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._judge = judge
        #: May be exchanged; the next look takes them up.
        self.settings = settings or TriageSettings()
        self._on_change = on_change
        self._clock = clock
        self._state: frozenset[tuple[str, datetime]] | None = None
        self._again = False

    async def run(self) -> None:
        """Look after them for ever. A store that fails is asked again."""
        self._state = None
        loop = asyncio.get_running_loop()
        healing = loop.time()
        while True:
            try:
                changed = await self.look()
                if loop.time() >= healing:
                    changed += await self.heal()
                    healing = loop.time() + HEALING
                if changed:
                    self._on_change()
            except StoreError as error:
                _logger.warning("open alerts wait for the store: %s", error)
            await asyncio.sleep(PERIOD)

    async def look(self) -> int:
        """Let alerts follow the rules, and end snoozes that are over; how many changed. Raises StoreError."""
        changed = await self._wake()
        await self._judge.refresh()
        if self._judge.state == self._state:
            return changed
        state = self._judge.state
        self._again = False
        async for alert in self._open(OneOf("alert.state", (AlertState.OPEN.value, AlertState.ACKNOWLEDGED.value))):
            changed += await self._change(alert.id, self._judge.judged)
        self._state = None if self._again else state
        return changed

    async def heal(self) -> int:
        """Close what has healed or is long quiet; how many. Raises StoreError."""
        closed = 0
        async for alert in self._open(Equals("alert.state", AlertState.OPEN.value)):
            why = await self._healed(alert)
            if why is None:
                continue
            try:
                now = self._clock()
                await change_state(self._store, alert.id, AlertState.CLOSED, by=WHO, reason=why, now=now)
            except (AlertClosed, Conflict):
                continue
            closed += 1
        return closed

    async def _healed(self, alert: Alert) -> str | None:
        """Why an open alert can be closed, or None."""
        settings, now = self.settings, self._clock()
        quiet = now - alert.arrived
        if alert.suppressed_by is not None and quiet > QUIET:
            return f"hidden by tuning rule {alert.suppressed_by}, and quiet for a day"
        if alert.test is not None and quiet > QUIET:
            return f"made by the registered test {alert.test}, and quiet for a day"
        if alert.detection in FLOODS and 0 < settings.close_flood_minutes < quiet / timedelta(minutes=1):
            return f"the flood has ended: no signal for {settings.close_flood_minutes} minutes"
        if alert.detection in AGENTS and alert.agent and settings.close_healed_minutes:
            return await self._recovered(alert, timedelta(minutes=settings.close_healed_minutes))
        if at_least(
            settings.close_quiet_severity, alert.severity
        ) and 0 < settings.close_quiet_days < quiet / timedelta(days=1):
            return f"{alert.severity.value}, and quiet for {settings.close_quiet_days} days"
        return None

    async def _recovered(self, alert: Alert, term: timedelta) -> str | None:
        """Whether the agent of an alert has been well for a while: it delivers, and says of itself nothing bad."""
        now = self._clock()
        found = await self._store.get(Kind.AGENT, alert.agent)
        agent = found.record if found is not None else None
        if not isinstance(agent, Agent) or agent.last_seen is None:
            return None
        if now - agent.last_seen > PRESENT or now - alert.arrived < term or agent.last_seen - alert.last < term:
            return None
        ill = And(
            (
                Equals("event.dataset", Dataset.HEALTH.value),
                Equals("observer.name", alert.agent),
                OneOf("health.condition", _ILL),
            )
        )
        if (await self._store.search(Search(Kind.EVENT, ill, SECTOR, since=now - term, limit=1))).rows:
            return None
        return f"agent {alert.agent} delivers again and has been well for {term // timedelta(minutes=1)} minutes"

    async def _wake(self) -> int:
        changed = 0
        async for alert in self._open(Between("alert.snoozed_until", None, self._clock())):
            changed += await self._change(alert.id, self._woken)
        return changed

    async def _woken(self, alert: Alert) -> Alert:
        over = alert.snoozed_until is not None and alert.snoozed_until <= self._clock()
        return replace(alert, snoozed_until=None) if over else alert

    async def _change(self, name: str, change: Callable[[Alert], Awaitable[Alert]]) -> int:
        """Change an alert as it is now; 1 if that changed it. One that others change meanwhile is left for later."""
        found = await self._store.get(Kind.ALERT, name)
        if found is None or not isinstance(found.record, Alert):
            return 0
        alert = found.record
        changed = await change(alert)
        if changed == alert:
            return 0
        try:
            await self._store.put(
                Kind.ALERT, replace(changed, timestamp=max(self._clock(), alert.timestamp)), found.version
            )
        except Conflict:
            self._again = True
            return 0
        return 1

    async def _open(self, where: Node) -> AsyncIterator[Alert]:
        search = Search(Kind.ALERT, where, SECTOR, limit=_PAGE, oldest_first=True, time_field="alert.opened")
        async for row in rows(self._store, search):
            yield msgspec.convert(row, Alert)

"""From alerts to deliveries: which notifications there must be, and making those that are missing.

Promise: what must be there follows from the alert as it is stored, and a delivery's id from what it tells; so planning
again, after a crash or beside another leader, makes nothing twice and misses nothing. Each pass looks at the alerts
that changed in a window of the last minutes; how far the window has moved on is kept in the store.

Which alerts suit a target: severity and TLP as it asks, and opened less than a day before the target was first seen
here, or later, so that a new target is not told of years. Limits: an alert that rises through several powers of ten
between two passes is told once, with the last of them.

Nobody is told of an alert that a tuning rule hides, that a registered test made, or that is snoozed, as long as it is
so. Alerts that only a look back made are told once for each indicator and target, whatever number they are. An alert
that is open and still gets signals is told again after the ``remind`` interval, unless its growth was told meanwhile.
One of the sector is told again when it is at more schools (correlation raises that in steps), its count with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from schoolwacht.errors import Conflict
from schoolwacht.identity import identify
from schoolwacht_collector import progress, tlp
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.notify.body import Reason, body_of, count_in, schools_in
from schoolwacht_collector.notify.port import Notifier
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Alert, AlertState, Delivery, DeliveryState, Severity
from schoolwacht_collector.score import at_least

OVERLAP = timedelta(minutes=2)
STEP = timedelta(minutes=1)
#: How long before a target was first seen an alert may have been opened and still be told to it.
HISTORY = timedelta(days=1)
_PAGE = 500
_JOB = "outbox"


class Planner:
    """Keeps the deliveries in step with the alerts. See :class:`.outbox.Outbox` for the arguments."""

    def __init__(
        self,
        store: Store,
        notifiers: Sequence[Notifier],
        *,
        console_url: str | None,
        clock: Callable[[], datetime],
        overlap: timedelta = OVERLAP,
        remind: timedelta | None = None,
    ) -> None:
        self._store = store
        self._notifiers = notifiers
        self._console_url = console_url
        self._clock = clock
        self._overlap = overlap
        self._remind = remind
        self._window: datetime | None = None
        self._since: dict[str, datetime] | None = None
        self._planned: dict[str, tuple[int, Severity, bool, int, int]] = {}

    def forget(self) -> None:
        """Begin anew from what the store knows."""
        self._since = None
        self._planned = {}

    async def plan(self) -> int:
        """Make the deliveries that are missing; how many. Raises StoreError."""
        now = self._clock()
        if self._since is None:
            self._window, self._since = await self._resume(now)
        made = 0
        async for alert in self._changed():
            if is_silent(alert, now):
                continue
            state = (power(alert.count), alert.severity, alert.retro, self._intervals(alert), alert.school_count)
            if self._planned.get(alert.id) == state:
                continue
            for notifier in self._notifiers:
                if suits(alert, notifier, self._since[notifier.name]):
                    made += await self._ensure(alert, notifier)
            self._planned[alert.id] = state
        await self._move_on(now)
        return made

    async def _ensure(self, alert: Alert, notifier: Notifier) -> bool:
        """Make the delivery that this alert lacks for this target, if one is lacking."""
        name = retro_id(alert, notifier.name) if alert.retro else delivery_id(alert, notifier.name, Reason.OPENED)
        opened = await self._store.get(Kind.DELIVERY, name)
        if opened is None:
            return await self._make(alert, notifier, Reason.OPENED, name)
        if alert.retro:
            return False
        assert isinstance(opened.record, Delivery)
        told = opened.record.timestamp
        if alert.school_count > schools_in(opened.record.body):
            name = delivery_id(alert, notifier.name, Reason.SPREAD)
            spread = await self._store.get(Kind.DELIVERY, name)
            if spread is None:
                return await self._make(alert, notifier, Reason.SPREAD, name)
            assert isinstance(spread.record, Delivery)
            told = max(told, spread.record.timestamp)
        if power(alert.count) > power(count_in(opened.record.body)):
            name = delivery_id(alert, notifier.name, Reason.GREW)
            grew = await self._store.get(Kind.DELIVERY, name)
            if grew is None:
                return await self._make(alert, notifier, Reason.GREW, name)
            assert isinstance(grew.record, Delivery)
            told = max(told, grew.record.timestamp)
        return await self._remind_of(alert, notifier, told)

    async def _remind_of(self, alert: Alert, notifier: Notifier, told: datetime) -> bool:
        """Tell again of an alert that nobody has taken up and that goes on."""
        intervals = self._intervals(alert)
        if not intervals or self._remind is None or self._clock() - told < self._remind:
            return False
        name = delivery_id(alert, notifier.name, Reason.REMINDER, intervals)
        if await self._store.get(Kind.DELIVERY, name) is not None:
            return False
        return await self._make(alert, notifier, Reason.REMINDER, name)

    def _intervals(self, alert: Alert) -> int:
        """How many intervals an open alert has gone on for; 0 where nobody is reminded."""
        if self._remind is None or alert.state is not AlertState.OPEN:
            return 0
        return max(0, (alert.arrived - alert.opened) // self._remind)

    async def _make(self, alert: Alert, notifier: Notifier, reason: Reason, name: str) -> bool:
        now = self._clock()
        link = None if self._console_url is None else f"{self._console_url}/alerts/{alert.id}"
        delivery = Delivery(
            id=name,
            timestamp=now,
            state=DeliveryState.PENDING,
            target=notifier.name,
            alert_id=alert.id,
            reason=reason.value,
            body=body_of(alert, reason, link=link, now=now),
            board=alert.board,
            due=now,
        )
        try:
            await self._store.put(Kind.DELIVERY, delivery, None)
        except Conflict:
            return False  # another leader made it
        return True

    async def _changed(self) -> AsyncIterator[Alert]:
        search = Search(Kind.ALERT, All(), SECTOR, since=self._window, limit=_PAGE, oldest_first=True)
        async for row in rows(self._store, search):
            yield msgspec.convert(row, Alert)

    async def _resume(self, now: datetime) -> tuple[datetime | None, dict[str, datetime]]:
        """Where the last leader stood, and from when on each target is told of alerts."""
        window = await progress.reached(self._store, _JOB)
        since: dict[str, datetime] = {}
        for notifier in self._notifiers:
            begun = await progress.reached(self._store, _target(notifier))
            since[notifier.name] = now - HISTORY if begun is None else begun
            if begun is None and window is not None:
                window = min(window, now - HISTORY)  # nobody has told it of what earlier windows held
        return window, since

    async def _move_on(self, now: datetime) -> None:
        start = now - self._overlap
        if self._window is not None and start - self._window < STEP:
            return
        # A target counts as known only now that a whole pass has told it what it should hear.
        for notifier in self._notifiers:
            await progress.advance(self._store, _target(notifier), (self._since or {})[notifier.name], now=now)
        await progress.advance(self._store, _JOB, start, now=now)
        self._window = start
        self._planned = {}


def suits(alert: Alert, notifier: Notifier, since: datetime) -> bool:
    """Whether a target is told of an alert at all."""
    return (
        alert.opened >= since
        and at_least(alert.severity, notifier.min_severity)
        and tlp.allows(notifier.max_tlp, alert.tlp)
    )


def is_silent(alert: Alert, now: datetime) -> bool:
    """Whether nobody is told of an alert now, however grave it is."""
    snoozed = alert.snoozed_until is not None and alert.snoozed_until > now
    return snoozed or alert.suppressed_by is not None or alert.test is not None


def retro_id(alert: Alert, target: str) -> str:
    """The id of the one delivery that tells a target what a look back for an indicator found."""
    return f"msg_{identify('delivery', 'retro', alert.indicator_id or alert.id, target)}"


def delivery_id(alert: Alert, target: str, reason: Reason, intervals: int = 0) -> str:
    """The id of a delivery, which is also what the receiver sees: from the alert, the target and what it tells."""
    told = {
        Reason.GREW: str(power(alert.count)),
        Reason.REMINDER: str(intervals),
        Reason.SPREAD: str(alert.school_count),
    }.get(reason, "")
    return f"msg_{identify('delivery', alert.id, target, reason.value, told)}"


def power(count: int) -> int:
    """The power of ten that a count has reached: 0 for 1 to 9, 1 for 10 to 99, and so on."""
    return len(str(count)) - 1


def _target(notifier: Notifier) -> str:
    return f"target:{notifier.name}"

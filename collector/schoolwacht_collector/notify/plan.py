"""From alerts to deliveries: which notifications there must be, and making those that are missing.

Promise: what must be there follows from the alert as it is stored, and a delivery's id from what it tells; so planning
again, after a crash or beside another leader, makes nothing twice and misses nothing. Each pass looks at the alerts
that changed in a window of the last minutes; how far the window has moved on is kept in the store.

Which alerts suit a target: severity and TLP as it asks, and opened less than a day before the target was first seen
here, or later, so that a new target is not told of years. Limits: an alert that rises through several powers of ten
between two passes is told once, with the last of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from schoolwacht.errors import Conflict
from schoolwacht.identity import identify
from schoolwacht_collector import tlp
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store, Versioned
from schoolwacht_collector.notify.body import Reason, body_of, count_in
from schoolwacht_collector.notify.port import Notifier
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Alert, Delivery, DeliveryState, Progress, Severity
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
    ) -> None:
        self._store = store
        self._notifiers = notifiers
        self._console_url = console_url
        self._clock = clock
        self._overlap = overlap
        self._window: datetime | None = None
        self._since: dict[str, datetime] | None = None
        self._planned: dict[str, tuple[int, Severity]] = {}

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
            state = (power(alert.count), alert.severity)
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
        name = delivery_id(alert, notifier.name, Reason.OPENED)
        opened = await self._store.get(Kind.DELIVERY, name)
        if opened is None:
            return await self._make(alert, notifier, Reason.OPENED, name)
        assert isinstance(opened.record, Delivery)
        if power(alert.count) <= power(count_in(opened.record.body)):
            return False
        name = delivery_id(alert, notifier.name, Reason.GREW)
        if await self._store.get(Kind.DELIVERY, name) is not None:
            return False
        return await self._make(alert, notifier, Reason.GREW, name)

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
        while True:
            page = await self._store.search(search)
            for row in page.rows:
                yield msgspec.convert(row, Alert)
            if page.next is None:
                return
            search = search._replace(after=page.next)

    async def _resume(self, now: datetime) -> tuple[datetime | None, dict[str, datetime]]:
        """Where the last leader stood, and from when on each target is told of alerts."""
        known = await self._store.get(Kind.PROGRESS, _JOB)
        window = _until(known)
        since: dict[str, datetime] = {}
        for notifier in self._notifiers:
            begun = _until(await self._store.get(Kind.PROGRESS, _target(notifier)))
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
            await self._advance(_target(notifier), (self._since or {})[notifier.name], now)
        await self._advance(_JOB, start, now)
        self._window = start
        self._planned = {}

    async def _advance(self, job: str, until: datetime, now: datetime) -> None:
        known = await self._store.get(Kind.PROGRESS, job)
        further = _until(known)
        if further is not None and further >= until:
            return
        with contextlib.suppress(Conflict):  # another leader noted how far it is: as good
            await self._store.put(
                Kind.PROGRESS, Progress(id=job, timestamp=now, until=until), known.version if known else None
            )


def suits(alert: Alert, notifier: Notifier, since: datetime) -> bool:
    """Whether a target is told of an alert at all."""
    return (
        alert.opened >= since
        and at_least(alert.severity, notifier.min_severity)
        and tlp.allows(notifier.max_tlp, alert.tlp)
    )


def delivery_id(alert: Alert, target: str, reason: Reason) -> str:
    """The id of a delivery, which is also what the receiver sees: from the alert, the target and what it tells."""
    told = str(power(alert.count)) if reason is Reason.GREW else ""
    return f"msg_{identify('delivery', alert.id, target, reason.value, told)}"


def power(count: int) -> int:
    """The power of ten that a count has reached: 0 for 1 to 9, 1 for 10 to 99, and so on."""
    return len(str(count)) - 1


def _target(notifier: Notifier) -> str:
    return f"target:{notifier.name}"


def _until(known: Versioned | None) -> datetime | None:
    return known.record.until if known is not None and isinstance(known.record, Progress) else None

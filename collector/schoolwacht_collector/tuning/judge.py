"""Whether an alert is hidden by a tuning rule or made by a registered test, asked of the store where it must be.

Promise: an alert is hidden only if *all* its signals are covered; one signal of another destination, or from outside
a test, brings it back. Limits: rules are read again every :data:`FRESH` seconds; an alert that is folded in that time
is judged once more by :mod:`.care`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.query.ast import All, And, Equals, Node
from schoolwacht_collector.records import Alert, RegisteredTest, Tuning
from schoolwacht_collector.tuning.rule import covers, destinations, in_force, may_be_of, of_test

FRESH = 5.0
_PAGE = 500
#: Signals of a test may come late from a spool; after this its alerts are no longer looked at.
_TESTS_KEPT = timedelta(days=30)


class Judge:
    """Judges alerts by the rules and tests of the store.

    Args:
        store: where they are.
        clock: system time in UTC.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock
        self._tunings: tuple[Tuning, ...] = ()
        self._tests: tuple[RegisteredTest, ...] = ()
        self._read_at: float | None = None

    @property
    def state(self) -> frozenset[tuple[str, datetime]]:
        """What changes whenever another verdict may come out: the rules in force and the tests."""
        tests = ((each.id, each.timestamp) for each in self._tests)
        return frozenset((*((each.id, each.timestamp) for each in self._tunings), *tests))

    async def refresh(self) -> None:
        """Read rules and tests again. Raises StoreError."""
        now = self._clock()
        tunings = [msgspec.convert(row, Tuning) async for row in rows(self._store, _every(Kind.TUNING))]
        tests = [msgspec.convert(row, RegisteredTest) async for row in rows(self._store, _every(Kind.TEST))]
        self._tunings = tuple(sorted((each for each in tunings if in_force(each, now)), key=lambda each: each.created))
        self._tests = tuple(each for each in tests if each.until > now - _TESTS_KEPT)
        self._read_at = time.monotonic()

    async def judged(self, alert: Alert) -> Alert:
        """The alert with what hides it now, or with nothing. Raises StoreError."""
        if self._read_at is None or time.monotonic() - self._read_at > FRESH:
            await self.refresh()
        hidden, test = await self._hider(alert), await self._test(alert)
        if (hidden, test) == (alert.suppressed_by, alert.test):
            return alert
        return replace(alert, suppressed_by=hidden, test=test)

    async def hides(self, tuning: Tuning, alert: Alert) -> bool:
        """Whether one rule hides an alert. Raises StoreError."""
        if not covers(tuning, alert):
            return False
        node = destinations(tuning)
        return node is None or await self._all(alert, node)

    async def _hider(self, alert: Alert) -> str | None:
        for each in self._tunings:
            if await self.hides(each, alert):
                return each.id
        return None

    async def _test(self, alert: Alert) -> str | None:
        for each in self._tests:
            if may_be_of(each, alert) and await self._all(alert, of_test(each)):
                return each.id
        return None

    async def _all(self, alert: Alert, node: Node) -> bool:
        """Whether every kept signal of an alert matches."""
        mine = Equals("signal.key", alert.key)
        until = alert.arrived + timedelta(milliseconds=1)  # a store may keep milliseconds only
        search = Search(Kind.SIGNAL, mine, SECTOR, since=alert.since, until=until, time_field="event.ingested")
        found = await self._store.tally(search._replace(where=And((mine, node))), "signal.key")
        if alert.key not in found:
            return False
        whole = await self._store.tally(search, "signal.key")
        return found[alert.key].number == whole[alert.key].number


def _every(kind: Kind) -> Search:
    return Search(kind, All(), SECTOR, limit=_PAGE)

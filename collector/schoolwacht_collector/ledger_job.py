"""The leader's job of keeping the ledgers: read what agents reported, merge it, and judge whether it balances.

Reports are health events in the store (:mod:`schoolwacht.account`). They are read by arrival, :data:`SETTLE` seconds
late, so that every collector has told what it counted until then. If an agent says that more was taken than collectors
counted (one was killed), the store itself is asked how many of the agent's events it holds of those days.

Promise: a look that is cut off, or done by two leaders, changes nothing twice. Limits: a signal of an agent that was
merged with the collector's own of the same match is no event of its own in the store; if its count was lost too, it
stays missing until somebody accepts that (``schoolwacht agents accept``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from msgspec.structs import replace

from schoolwacht.account import DETAIL, Account, decode_account
from schoolwacht.errors import StoreError, WireError
from schoolwacht.event import Dataset
from schoolwacht_collector import progress
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.ledger import balance, folded, recounted, said
from schoolwacht_collector.ledger_counts import INTERVAL, change
from schoolwacht_collector.query.ast import And, Equals, Exists, Node, Not
from schoolwacht_collector.records import Ledger

PERIOD = 60.0
#: How old a report must be: twice the time after which collectors tell their counts, and a moment.
SETTLE = timedelta(seconds=2 * INTERVAL + 30)
_JOB = "ledgers"
_PAGE = 1000
#: A day of the store is asked about at most this long ago: what is older may have expired.
_RECOUNT_DAYS = 3
_REPORTS = And((Equals("event.dataset", Dataset.HEALTH.value), Equals("event.module", "agent")))
_logger = logging.getLogger(__name__)


class Ledgers:
    """Keeps the ledgers of all agents.

    Args:
        store: open.
        clock: system time in UTC.
        settle: how old a report must be before it is judged.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        settle: timedelta = SETTLE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settle = settle

    async def run(self) -> None:
        """Look once a minute, for ever."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _logger.warning("ledgers wait for the store: %s", error)
            await asyncio.sleep(PERIOD)

    async def look(self) -> int:
        """Merge the reports that came since the last look; how many agents they were of. Raises StoreError."""
        begun = await progress.reached(self._store, _JOB)
        until = self._clock() - self._settle
        if begun is not None and begun >= until:
            return 0
        reports = await self._reports(begun, until)
        failed = 0
        for agent, found in reports.items():
            try:
                await self._keep(agent, found)
            except StoreError as error:
                # Totals are running ones, so the agent's next report tells this one too.
                failed += 1
                _logger.warning("the ledger of %s cannot be kept: %s", agent, error)
                if failed == len(reports):
                    raise
        await progress.advance(self._store, _JOB, until, now=self._clock())
        return len(reports)

    async def _reports(self, since: datetime | None, until: datetime) -> dict[str, list[Row]]:
        search = Search(
            Kind.EVENT, _REPORTS, SECTOR, since, until, _PAGE, oldest_first=True, time_field="event.ingested"
        )
        found: dict[str, list[Row]] = {}
        async for row in rows(self._store, search):
            if row.get("observer.name") and DETAIL in (row.get("nsm.detail") or {}):
                found.setdefault(row["observer.name"], []).append(row)
        return found

    async def _keep(self, agent: str, rows: list[Row]) -> None:
        accounts = [read for row in rows if (read := _read(agent, row)) is not None]

        def merged(ledger: Ledger, now: datetime) -> Ledger:
            for account, at, arrived in accounts:
                ledger = said(ledger, account, at=at, arrived=arrived)
            return _judged(folded(ledger, now.date()), now)

        ledger = await change(self._store, agent, merged, make=True)
        if ledger is not None and balance(ledger).uncounted:
            await self._recount(agent)

    async def _recount(self, agent: str) -> None:
        """Ask the store what no collector told."""
        today = self._clock().date()
        found = {}
        for ago in range(_RECOUNT_DAYS):
            day = today - timedelta(days=ago)
            found[f"{day}"] = await self._stored(agent, day)

        def merged(ledger: Ledger, now: datetime) -> Ledger:
            for day, number in found.items():
                if number:
                    ledger = recounted(ledger, day, number)
            return _judged(ledger, now)

        ledger = await change(self._store, agent, merged)
        if ledger is not None and ledger.difference:
            _logger.warning("the ledger of %s does not balance: %d events", agent, ledger.difference)

    async def _stored(self, agent: str, day: date) -> int:
        """The agent's own events and signals in the store that arrived on a day."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        number = 0
        for kind in (Kind.EVENT, Kind.SIGNAL):
            own: Node = Equals("observer.name", agent)
            if kind is Kind.SIGNAL:
                own = And((own, Not(Exists("signal.event_id"))))
            found = await self._store.tally(
                Search(kind, own, SECTOR, start, start + timedelta(days=1), time_field="event.ingested"),
                "observer.name",
            )
            number += found[agent].number if agent in found else 0
        return number


def _judged(ledger: Ledger, now: datetime) -> Ledger:
    """The ledger with what is missing now, and since when."""
    found = balance(ledger).difference
    missing = found - min(ledger.accepted, found)
    since = None if not missing else ledger.since or now
    return replace(ledger, difference=missing, since=since)


def _read(agent: str, row: Row) -> tuple[Account, datetime, datetime] | None:
    try:
        account = decode_account(row["nsm.detail"][DETAIL])
    except WireError:
        _logger.warning("a report of %s is no account of a spool", agent)
        return None
    return account, datetime.fromisoformat(row["@timestamp"]), datetime.fromisoformat(row["event.ingested"])

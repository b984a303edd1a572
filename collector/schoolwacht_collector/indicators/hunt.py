"""The look back: when an indicator arrives, the events of before are searched for it, at the leader.

Promise: each indicator is looked for once over the last ``indicators.hunt_days``, in events and sightings alike; what
it hits becomes the same signal that it would have been at the time (same id, dated at the traffic), with the tag
``retro``. A leader that follows goes on where this one stood. An alert made of such signals alone is told once for each
indicator and target (:mod:`..notify.plan`). Limits: ``indicators.hunt_events`` rows a group of indicators, newest
first (the audit says where that was not enough); one group at a time, with a rest between, so that the store has air.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from schoolwacht.errors import StoreError
from schoolwacht.event import Event
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import Verdict
from schoolwacht_collector import audit, progress
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.index.through import pages
from schoolwacht_collector.indicators.seen import groups, question
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Indicator
from schoolwacht_collector.signals import signals_of

TAG = "retro"
PERIOD = 5.0
#: How long after it was given an indicator may become visible, with the skew of collectors' clocks.
OVERLAP = timedelta(minutes=2)
_JOB = "hunt"
_PAGE = 500
_INDICATORS = 1000
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_logger = logging.getLogger(__name__)


class Hunted(NamedTuple):
    """What a look back found: events that hold one of the indicators, new signals, and whether there was more."""

    indicators: int
    events: int
    signals: int
    cut: bool


class Hunter:
    """Looks for new indicators, for ever.

    Args:
        store: where events and indicators are.
        settings: ``[indicators]``.
        on_signals: called when signals were made.
        clock: system time in UTC.
        rest: share of the time that a question took which is waited before the next.
    """

    def __init__(
        self,
        store: Store,
        settings: IndicatorSettings | None = None,
        *,
        on_signals: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rest: float = 1.0,
    ) -> None:
        self._store = store
        #: May be exchanged; the next look takes them up.
        self.settings = settings or IndicatorSettings()
        self._on_signals = on_signals
        self._clock = clock
        self._rest = rest
        self._done: dict[str, datetime] = {}
        self._until: datetime | None = None

    async def run(self) -> None:
        """Look for what is new every few seconds. A store that fails is asked again."""
        self._until = None
        while True:
            try:
                if self.settings.hunt_days:
                    await self.look()
            except StoreError as error:
                _logger.warning("the look back for new indicators waits for the store: %s", error)
            await asyncio.sleep(PERIOD)

    async def look(self) -> Hunted:
        """Look back for the indicators that came since the last look. Raises StoreError."""
        if self._until is None:
            await self._resume()
        total = Hunted(0, 0, 0, cut=False)
        while True:
            fresh, newest = await self._fresh()
            if not fresh:
                break
            for group in groups(fresh):
                found = await self.hunt(group)
                total = Hunted(
                    total.indicators + found.indicators, total.events + found.events, total.signals + found.signals,
                    total.cut or found.cut,
                )  # fmt: skip
                self._done |= {each.id: each.added or newest for each in group}
            await self._advance(newest)
        if total.signals or total.cut:
            await self._tell(total)
        return total

    async def hunt(self, indicators: Sequence[Indicator]) -> Hunted:
        """Look back for some indicators of one type. Raises StoreError."""
        now = self._clock()
        valid = [each for each in indicators if each.valid_until is None or each.valid_until > now]
        if not valid:
            return Hunted(len(indicators), 0, 0, cut=False)
        matched = IndicatorSet.build(valid, now=now)
        since = now - timedelta(days=self.settings.hunt_days)
        search = Search(Kind.EVENT, question(valid), SECTOR, since=since, until=now, limit=_PAGE)
        seen = events = signals = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            page = await self._store.search(search)
            made = await asyncio.to_thread(_signals, page.rows, matched, now)
            events += len({each.signal_event_id for each in made})
            signals += await self._create(made)
            seen += len(page.rows)
            if page.next is None or seen >= self.settings.hunt_events:
                return Hunted(len(indicators), events, signals, cut=page.next is not None)
            await asyncio.sleep(self._rest * (loop.time() - began))
            search = search._replace(after=page.next)

    async def _create(self, signals: list[Event]) -> int:
        if not signals:
            return 0
        outcomes = await self._store.create(signals)
        if any(outcome.verdict is Verdict.RETRY for outcome in outcomes):
            raise StoreError("it does not take the signals of a look back now")
        created = sum(outcome.created for outcome in outcomes)
        if created:
            self._on_signals()
        return created

    async def _fresh(self) -> tuple[list[Indicator], datetime]:
        until = self._until or _FIRST
        search = Search(
            Kind.INDICATOR,
            All(),
            SECTOR,
            since=until,
            limit=_INDICATORS,
            oldest_first=True,
            time_field="indicator.added",
        )
        found: list[Indicator] = []
        fresh: list[Indicator] = []
        async for rows in pages(self._store, search):
            found = [msgspec.convert(row, Indicator) for row in rows]
            fresh = [each for each in found if each.id not in self._done]
            if fresh:
                break
        return fresh, max((each.added or until for each in found), default=until)

    async def _resume(self) -> None:
        """Where the last leader stood; on the first start, now: what was there before was matched as it came."""
        self._until = await progress.reached(self._store, _JOB)
        if self._until is None:
            self._until = self._clock()
            await progress.advance(self._store, _JOB, self._until, now=self._until)

    async def _advance(self, newest: datetime) -> None:
        """Begin later from now on, once all that came before is looked for; remember those in the overlap."""
        start = min(newest, self._clock() - OVERLAP)
        if self._until is None or start > self._until:
            self._until = start
            await progress.advance(self._store, _JOB, start, now=self._clock())
            self._done = {name: added for name, added in self._done.items() if added >= start}

    async def _tell(self, total: Hunted) -> None:
        more = (
            f"; more than {self.settings.hunt_events:,} events hold some of them, the older ones were left"
            if total.cut
            else ""
        )
        text = f"{total.signals:,} new signals in {total.events:,} events of before{more}"
        _logger.info("look back for %d indicators: %s", total.indicators, text)
        await audit.note(
            self._store,
            "indicators.hunted",
            f"{total.indicators:,} indicators",
            by="schoolwacht",
            detail=text,
            now=self._clock(),
        )


def _signals(rows: Sequence[Row], matched: IndicatorSet, now: datetime) -> list[Event]:
    """The signals that intake would have made, dated at the traffic and arrived now."""
    made: list[Event] = []
    for row in rows:
        event = msgspec.convert(row, Event)
        for signal in signals_of(event, matched.match(event)):
            signal.event_ingested = now
            signal.tags = [*(signal.tags or ()), TAG]
            made.append(signal)
    return made

"""Alerts: the leader's job that folds stored signals into them, and the one way in which people change their state.

Promise: every stored signal is counted in exactly one alert, within seconds, whatever crashes in between: each look
asks the store which keys have signals that arrived in a window of the last minutes, and counts each touched alert
anew (:mod:`.fold`). A signal that becomes visible up to :data:`OVERLAP` after its arrival is found, so collectors'
clocks may differ and a store may show late what it took. How far the window has moved on is kept in the store
for the next leader, which begins there.

Cost: one tally a look and about six calls for each touched key; looks come at most every half second and take at
most half of the time; an alert of many signals is counted again at most every ``count / 1000`` seconds, up to 30.
A flood of one key thus costs a few calls a second, whatever its rate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from schoolwacht.errors import Conflict, SchoolwachtError, StoreError
from schoolwacht_collector import progress
from schoolwacht_collector.fold import EXAMPLES, QUIET, Evidence, arrival, begin, end_of, fold, score_of
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store, Versioned
from schoolwacht_collector.index.through import pages
from schoolwacht_collector.query.ast import All, And, Between, Equals, Matches, Node, OneOf
from schoolwacht_collector.records import Alert, AlertState

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=2)
#: How far the window's start lags behind at most before it moves on; then each key in the window is counted once more.
STEP = timedelta(minutes=1)
#: Seconds between looks: at least, and without a nudge (another collector's signals come without one).
PACE = 0.5
IDLE = 2.0
#: Seconds after a nudge at which to look again: Elasticsearch shows a new document about a second after it is stored.
LOOKS_AGAIN = (0.0, 1.2, 3.0)
LONGEST_REST = timedelta(seconds=30)
AT_ONCE = 16
TRIES = 8
_TOGETHER = 64
_SKEW = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_JOB = "fold"


class AlertClosed(Conflict):
    """The alert was closed, which is final: somebody else was first, or the caller did not look."""


class NoSuchAlert(SchoolwachtError):  # noqa: N818 - says what is the matter
    """No alert has that id."""


class Folder:
    """Folds signals into alerts. One runs at a time, at the leader; a second one does no harm.

    Args:
        store: where signals and alerts are.
        on_change: called after a look that changed alerts (the outbox's nudge).
        clock: system time in UTC.
        overlap: how long after its arrival a signal may become visible.
        judge: says which alerts nobody is told of (:class:`.tuning.judge.Judge`).
        most_keys: how many keys one answer of the store may hold; more are asked for in parts.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        overlap: timedelta = OVERLAP,
        most_keys: int = 5000,
        judge: Callable[[Alert], Awaitable[Alert]] | None = None,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._clock = clock
        self._overlap = overlap
        self._most_keys = most_keys
        self._judge = judge
        self._resumed = False
        self._window: datetime | None = None
        self._counted: dict[str, int] = {}
        self._looked: datetime | None = None
        # Keys to fold, each with the arrival before which nothing of it is uncounted; and when it may be folded again.
        self._pending: dict[str, datetime | None] = {}
        self._rest: dict[str, datetime] = {}
        self._wake = asyncio.Event()
        self._nudged = 0.0

    def nudge(self) -> None:
        """Signals were stored: look soon. Cheap; call it as often as you like, from the loop's thread."""
        self._nudged = time.monotonic()
        self._wake.set()

    async def run(self) -> None:
        """Fold until cancelled. A store that fails is tried again, ever more slowly up to 30 s."""
        self._forget()
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self.look()
                failures = 0
            except StoreError as error:
                failures += 1
                log.warning("alerts wait for the store: %s", error)
            await self._until_next(began, failures)

    async def look(self) -> int:
        """Fold what is new, once. The number of alerts that were opened or changed. Raises StoreError."""
        if not self._resumed:
            await self._resume()
        now = self._clock()
        touched = await self._touched("")
        # What was visible at the last look is counted or pending; what was not, arrived at most the overlap before it.
        bound = self._window if self._looked is None else self._looked - self._overlap
        for key, number in touched.items():
            if self._counted.get(key) != number:
                self._pending.setdefault(key, bound)
        self._counted = touched
        self._looked = now
        ready = [key for key in self._pending if self._rest.get(key, now) <= now]
        changed = await self._fold_all(ready, now)
        if changed:
            self._on_change()
        await self._move_on(now)
        return changed

    def _forget(self) -> None:
        """Begin anew from what the store knows: while another led, it went on."""
        self._resumed = False
        self._looked = None
        self._counted = {}
        self._pending = {}
        self._rest = {}

    async def _resume(self) -> None:
        self._window = await progress.reached(self._store, _JOB)
        self._resumed = True

    async def _until_next(self, began: float, failures: int) -> None:
        """Wait for a nudge, a look promised after one, or the idle time; but let the store breathe."""
        ended = time.monotonic()
        breath = max(PACE, ended - began) if failures == 0 else min(30.0, PACE * 2**failures)
        await asyncio.sleep(breath)
        if failures:
            return
        self._wake.clear()
        due = [self._nudged + wait for wait in LOOKS_AGAIN if self._nudged + wait > began]
        wait = min([*due, ended + IDLE]) - time.monotonic()
        if wait > 0:
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                return

    async def _touched(self, prefix: str) -> dict[str, int]:
        """How many signals of each key arrived in the window; keys are split by prefix where one answer is full."""
        where: Node = Matches("signal.key", f"{prefix}*") if prefix else All()
        found = await self._store.tally(_signals(where, self._window, None), "signal.key", top=self._most_keys)
        if len(found) < self._most_keys:
            return {key: tally.number for key, tally in found.items()}
        numbers: dict[str, int] = {}
        for digit in "0123456789abcdef":
            numbers.update(await self._touched(prefix + digit))
        return numbers

    async def _move_on(self, now: datetime) -> None:
        """Let the window begin later, once everything that arrived before is folded; tell the next leader."""
        start = now - self._overlap
        for bound in self._pending.values():
            if bound is None:
                return
            start = min(start, bound)
        if self._window is not None and start - self._window < STEP:
            return
        if not await progress.advance(self._store, _JOB, start, now=now):
            return
        self._window = start
        # Numbers of another window say nothing: each key in this one is counted once more.
        self._counted = {}
        self._rest = {key: rest for key, rest in self._rest.items() if rest > now}

    async def _fold_all(self, keys: Sequence[str], now: datetime) -> int:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: str, known: Sequence[str]) -> int:
            async with gate:
                return await self._fold_safely(key, known, now)

        changed = 0
        for start in range(0, len(keys), _TOGETHER):
            # Asked for together: a search that follows a put makes Elasticsearch show that put first, which is dear.
            some = keys[start : start + _TOGETHER]
            known = await self._alert_ids(some)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(key, known[key])) for key in some]
            changed += sum(task.result() for task in tasks)
        return changed

    async def _fold_safely(self, key: str, known: Sequence[str], now: datetime) -> int:
        """Fold one key; one that cannot be folded is kept for later and stops no other."""
        try:
            changed, count = await self._fold_key(key, known)
        except StoreError as error:
            log.warning("alert of key %s waits for the store: %s", key, error)
            self._rest[key] = now + timedelta(seconds=PACE)
        except Exception:  # signals that nobody foresaw must not stop the alerts of every school
            log.exception("signals of key %s cannot be folded; they are tried again", key)
            self._rest[key] = now + LONGEST_REST
        else:
            del self._pending[key]
            self._rest[key] = now + min(LONGEST_REST, timedelta(seconds=count / 1000))
            return changed
        return 0

    async def _fold_key(self, key: str, known: Sequence[str]) -> tuple[int, int]:
        for _ in range(TRIES):
            try:
                return await self._fold_once(key, known)
            except Conflict:  # a person or another leader changed the alert: read it again
                known = (await self._alert_ids([key]))[key]
        raise Conflict(f"the alert of key {key} changed {TRIES} times while it was counted")

    async def _fold_once(self, key: str, known: Sequence[str]) -> tuple[int, int]:
        """Count the key's alerts that the window touches, and open those that are missing.

        ``known`` are the ids of its alerts, newest first. Returns how many changed, and the count of the last.
        """
        changed = 0
        alert: Alert | None = None
        boundary = self._window  # a key without alerts has no signals of before
        held = await self._alerts(known)
        following = [*(record.since for record, _ in held[1:]), None] if held else []
        for (record, version), next_since in zip(held, following, strict=True):
            end = _earlier(end_of(record), next_since)
            alert, did = await self._recount(record, version, end, to_quiet=next_since is None)
            changed += did
            boundary = _earlier(end, alert.arrived + QUIET)
        while (first := await self._first(key, boundary)) is not None:
            alert = begin(first, since=boundary if alert else None, previous=alert)
            alert, did = await self._recount(alert, None, None, to_quiet=True)
            changed += did
            boundary = alert.arrived + QUIET
        return changed, alert.count if alert else 0

    async def _alerts(self, known: Sequence[str]) -> list[tuple[Alert, str]]:
        """Those alerts that cover part of the window, and the last in any case; oldest first."""
        held: list[tuple[Alert, str]] = []
        for name in known:
            found = await self._store.get(Kind.ALERT, name)
            if found is None:
                continue
            record = _alert(found)
            held.append((record, found.version))
            if self._window is not None and record.since <= self._window:
                break
        return held[::-1]

    async def _alert_ids(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """The ids of each key's alerts, newest first, back to the one in which the window begins."""
        ids: dict[str, list[str]] = {key: [] for key in keys}
        open_ended = set(keys)
        where = OneOf("signal.key", tuple(keys))
        search = Search(Kind.ALERT, where, SECTOR, limit=1000, time_field="alert.since")
        async for rows in pages(self._store, search):
            for row in rows:
                key = row["signal.key"]
                ids[key].append(row["id"])
                if self._window is not None and datetime.fromisoformat(row["alert.since"]) <= self._window:
                    open_ended.discard(key)
            if not open_ended:
                break
        return ids

    async def _first(self, key: str, since: datetime | None) -> Row | None:
        """The key's first signal that arrived at ``since`` or later."""
        if since is not None and since > self._clock() + _SKEW:
            return None
        search = _signals(Equals("signal.key", key), since, None)._replace(limit=1, oldest_first=True)
        rows = (await self._store.search(search)).rows
        return rows[0] if rows else None

    async def _recount(
        self, alert: Alert, version: str | None, end: datetime | None, *, to_quiet: bool
    ) -> tuple[Alert, bool]:
        """Count an alert's signals and put it if that changed it. Raises Conflict, StoreError."""
        if to_quiet:
            arrived, newest = await self._run(alert, end)
            end = _earlier(end, arrived + QUIET)
        else:
            newest = (await self._store.search(_covered(alert, alert.since, end))).rows
            arrived = arrival(newest[0]) if newest else alert.arrived
        counted = await self._store.tally(_covered(alert, alert.since, end), "signal.key")
        if alert.key not in counted:
            return alert, False  # all its signals have expired
        tally = counted[alert.key]
        score = alert.score if version is not None and tally.number <= alert.count else await self._score(alert, end)
        folded = fold(alert, Evidence(tally, arrived, newest, score), now=self._clock())
        if folded is None:
            return alert, False
        if self._judge is not None:
            folded = await self._judge(folded)
        await self._store.put(Kind.ALERT, folded, version)
        return folded, True

    async def _run(self, alert: Alert, end: datetime | None) -> tuple[datetime, list[Row]]:
        """Follow the arrivals after ``alert.arrived`` to the first quiet or ``end``: the last one, and the newest."""
        arrived = alert.arrived
        newest: dict[str, Row] = {}
        while True:
            rows = (await self._store.search(_covered(alert, arrived, _earlier(end, arrived + QUIET)))).rows
            newest = {row["event.id"]: row for row in (*rows, *newest.values())}
            last = arrival(rows[0]) if rows else arrived
            if last <= arrived or last + QUIET > self._clock() + _SKEW:
                return last, list(newest.values())[: EXAMPLES - 1]
            arrived = last

    async def _score(self, alert: Alert, end: datetime | None) -> int:
        """The greatest score of the alert's signals, found by asking for a greater one until there is none."""
        best = alert.score
        while best < 100:
            greater = Between("signal.score", best, None, include_low=False)
            search = _covered(alert, alert.since, end)._replace(
                where=And((Equals("signal.key", alert.key), greater)), limit=1
            )
            rows = (await self._store.search(search)).rows
            if not rows:
                break
            best = score_of(rows[0])
        return best


async def change_state(
    store: Store, alert_id: str, state: AlertState, *, by: str, reason: str | None, now: datetime
) -> Alert:
    """Acknowledge, reopen or close an alert for a person; the alert as it is then.

    Closed is final: what comes after is a new alert. An alert that is in that state already is left as it is. Asks
    nobody whether ``by`` may do it, nor whose alert it is.

    Raises NoSuchAlert, AlertClosed, StoreError.
    """
    for _ in range(TRIES):
        found = await store.get(Kind.ALERT, alert_id)
        if found is None:
            raise NoSuchAlert(f"there is no alert {alert_id}")
        alert = _alert(found)
        if alert.state is state:
            return alert
        if alert.state is AlertState.CLOSED:
            raise AlertClosed("a closed alert stays closed; the next signal opens a new one", field="alert.state")
        # What was counted stays counted, even if this clock is behind the one that stamped the last signal.
        at = max(now, alert.arrived + _TICK)
        changed = replace(
            alert, state=state, changed_by=by, changed_at=at, reason=reason, timestamp=max(now, alert.timestamp)
        )
        try:
            await store.put(Kind.ALERT, changed, found.version)
        except Conflict:
            continue
        return changed
    raise Conflict(f"alert {alert_id} changed {TRIES} times meanwhile; try again")


def _signals(where: Node, since: datetime | None, until: datetime | None) -> Search:
    return Search(Kind.SIGNAL, where, SECTOR, since=since, until=until, time_field="event.ingested")


def _covered(alert: Alert, since: datetime, until: datetime | None) -> Search:
    return _signals(Equals("signal.key", alert.key), since, until)._replace(limit=EXAMPLES - 1)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    known = [moment for moment in (one, other) if moment is not None]
    return min(known, default=None)


def _alert(found: Versioned) -> Alert:
    assert isinstance(found.record, Alert)
    return found.record

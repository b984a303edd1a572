"""One target's courier: carries its due deliveries until they have arrived.

Promise: at least once, under the same id. A delivery that was refused for good becomes rejected and stays visible;
every other one stays pending and is tried again, for ever. The attempt is made before it is noted, so a crash in
between repeats it and never loses it.

Pace: after 5 s, 10 s, 20 s … at most 5 min in the first day of a delivery, then every hour; each half to whole, at
random. A target that fails gets one attempt at a time, 2 s, 4 s … at most a minute apart (or as long as it asked for);
one that is well gets four at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from schoolwacht.errors import Conflict, StoreError
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.notify.port import Attempt, Notifier
from schoolwacht_collector.query.ast import And, Equals
from schoolwacht_collector.records import Delivery, DeliveryState

log = logging.getLogger(__name__)

FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(minutes=5)
EAGER = timedelta(hours=24)
SLOW_DELAY = timedelta(hours=1)
LONGEST_PAUSE = 60.0
IDLE = 2.0
PARALLEL = 4
_ROUND = 50


class Courier:
    """Carries the deliveries of one target. ``jitter`` gives the share of a delay that is waited, 0.5 to 1."""

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        clock: Callable[[], datetime],
        *,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._failures = 0
        self._paused_until = 0.0

    def nudge(self) -> None:
        """There may be something due."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        troubles = 0
        while True:
            self._wake.clear()
            try:
                done = await self.round()
                troubles = 0
            except StoreError as error:
                troubles += 1
                done = 0
                log.warning("deliveries to %s wait for the store: %s", self._notifier.name, error)
                await asyncio.sleep(min(30.0, 2.0**troubles))
            await self._rest(done)

    async def round(self) -> int:
        """Try once each of up to fifty due deliveries, or one if the target fails; how many are done with.

        Raises StoreError.
        """
        due = await self._due(1 if self._failures else _ROUND)
        waiting = iter(due)
        done = 0

        async def carry() -> None:
            nonlocal done
            for name in waiting:
                done += await self._carry(name)
                if self._failures:
                    return

        results = await asyncio.gather(
            *(carry() for _ in range(1 if self._failures else PARALLEL)), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return done

    async def _rest(self, done: int) -> None:
        """Leave a target alone that fails or asked for it; else go on, or wait for a nudge or the next look."""
        pause = self._paused_until - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        elif done == 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE)

    async def _due(self, limit: int) -> list[str]:
        where = And(
            (
                Equals("delivery.target", self._notifier.name),
                Equals("delivery.state", DeliveryState.PENDING.value),
            )
        )
        until = self._clock() + timedelta(microseconds=1)
        search = Search(
            Kind.DELIVERY, where, SECTOR, until=until, limit=limit, oldest_first=True, time_field="delivery.due"
        )
        return [row["id"] for row in (await self._store.search(search)).rows]

    async def _carry(self, name: str) -> bool:
        """Make one attempt and note what became of it; whether the delivery is done with."""
        found = await self._store.get(Kind.DELIVERY, name)
        if found is None or not isinstance(found.record, Delivery):
            return False
        delivery = found.record
        if delivery.state is not DeliveryState.PENDING or delivery.due > self._clock():
            return False  # another leader was here
        attempt = await self._attempt(delivery)
        self._heed(attempt)
        noted = after(delivery, attempt, now=self._clock(), jitter=self._jitter())
        if noted.state is DeliveryState.REJECTED:
            log.error("%s refused the notification %s for good: %s", delivery.target, name, attempt.detail)
        try:
            await self._store.put(Kind.DELIVERY, noted, found.version)
        except Conflict:
            log.info("another leader carried %s as well", name)
        return attempt.verdict is not Verdict.RETRY

    async def _attempt(self, delivery: Delivery) -> Attempt:
        try:
            return await self._notifier.deliver(delivery.id, delivery.body, self._clock())
        except Exception as error:  # a notifier's fault must stop no other target, and lose nothing
            log.exception("the notifier %s failed", self._notifier.name)
            return Attempt(Verdict.RETRY, f"the notifier failed: {type(error).__name__}")

    def _heed(self, attempt: Attempt) -> None:
        """Learn from an attempt how the target is. A refusal is an answer: the target is well."""
        if attempt.verdict is not Verdict.RETRY:
            if self._failures:
                log.warning("%s can be told again", self._notifier.name)
            self._failures = 0
            self._paused_until = 0.0
            return
        self._failures += 1
        if self._failures.bit_count() == 1:  # the 1st, 2nd, 4th, 8th … time
            log.warning(
                "%s cannot be told (attempt %d in a row), notifications wait: %s",
                self._notifier.name,
                self._failures,
                attempt.detail,
            )
        pause = min(LONGEST_PAUSE, 2.0 ** min(self._failures, 16)) * self._jitter()
        if attempt.wait is not None:
            pause = max(pause, attempt.wait.total_seconds())
        self._paused_until = time.monotonic() + pause


def after(delivery: Delivery, attempt: Attempt, *, now: datetime, jitter: float) -> Delivery:
    """The delivery as it stands after an attempt. Pure.

    ``due`` of one that is done is the time of its last attempt.
    """
    attempts = delivery.attempts + 1
    if attempt.verdict is Verdict.DELIVERED:
        return replace(delivery, state=DeliveryState.DELIVERED, attempts=attempts, due=now, last_error=None)
    if attempt.verdict is Verdict.REJECTED:
        return replace(delivery, state=DeliveryState.REJECTED, attempts=attempts, due=now, last_error=attempt.detail)
    delay = SLOW_DELAY
    if now - delivery.timestamp < EAGER:
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempts - 1, 16))
    delay *= jitter
    if attempt.wait is not None:
        delay = max(delay, attempt.wait)
    return replace(delivery, attempts=attempts, due=now + delay, last_error=attempt.detail)

"""The outbox: alerts become delivery records in the store, and those are carried to their targets until they arrive.

Promise: each alert that suits a target reaches it at least once, always under the same id, and again when its count
reaches another power of ten; nothing is dropped while it can still arrive, and what a target refuses for good stays
visible as rejected. It survives a crash at any point and a second leader (:mod:`.plan`). A target that is down delays
no other (:mod:`.courier`). Limits: no order among deliveries; a receiver tells repeats by the id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from schoolwacht.errors import StoreError
from schoolwacht_collector.index.port import Store
from schoolwacht_collector.notify.courier import Courier
from schoolwacht_collector.notify.plan import Planner
from schoolwacht_collector.notify.port import Notifier

log = logging.getLogger(__name__)

#: Seconds between looks at the alerts: at least, and when nothing happens.
PACE = 0.5
IDLE = 10.0


class Outbox:
    """Plans deliveries and carries them. One runs at a time, at the leader; a second one does no harm.

    Args:
        store: where alerts and deliveries are.
        notifiers: the targets; their names differ.
        console_url: what the link to an alert begins with, without a slash at the end; None for no link.
        remind: how long an open alert may go on until it is told again; None: never.
        clock: system time in UTC.
    """

    def __init__(
        self,
        store: Store,
        notifiers: Sequence[Notifier],
        *,
        console_url: str | None = None,
        remind: timedelta | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._clock = clock
        self._wake = asyncio.Event()
        self._exchanged = asyncio.Event()
        self.exchange(notifiers, console_url=console_url, remind=remind)

    def exchange(
        self, notifiers: Sequence[Notifier], *, console_url: str | None = None, remind: timedelta | None = None
    ) -> None:
        """Other targets from now on. What waits for a target of the same name goes to the new one.

        An attempt that is on its way is broken off and repeated under its id.
        """
        self._notifiers = tuple(notifiers)
        self._planner = Planner(self._store, self._notifiers, console_url=console_url, clock=self._clock, remind=remind)
        self._couriers = tuple(Courier(self._store, notifier, self._clock) for notifier in self._notifiers)
        self._exchanged.set()

    def nudge(self) -> None:
        """Alerts changed: plan soon. Cheap; call it from the loop's thread."""
        self._wake.set()

    async def run(self) -> None:
        """Plan and deliver until cancelled."""
        while True:
            await self._carry()

    async def _carry(self) -> None:
        """Plan and deliver to the targets of now, until they are exchanged."""
        self._exchanged.clear()
        notifiers, planner, couriers = self._notifiers, self._planner, self._couriers
        planner.forget()
        try:
            for notifier in notifiers:
                await notifier.open()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._plan(planner, couriers))]
                tasks += [group.create_task(courier.run()) for courier in couriers]
                await self._exchanged.wait()
                for task in tasks:
                    task.cancel()
        finally:
            for notifier in notifiers:
                await notifier.close()

    async def _plan(self, planner: Planner, couriers: Sequence[Courier]) -> None:
        troubles = 0
        while True:
            self._wake.clear()
            began = time.monotonic()
            try:
                if await planner.plan():
                    for courier in couriers:
                        courier.nudge()
                troubles = 0
            except StoreError as error:
                troubles += 1
                log.warning("notifications wait for the store: %s", error)
            # At most half of the time, so that a storm of alerts leaves the store to others.
            breath = max(PACE, time.monotonic() - began) if troubles == 0 else min(30.0, PACE * 2**troubles)
            await asyncio.sleep(breath)
            if troubles:
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), IDLE)
            except TimeoutError:
                continue

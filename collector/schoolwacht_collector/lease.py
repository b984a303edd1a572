"""The lease of the leader: one of the collectors on a store runs the jobs that only one may run.

Promise: a leader that stopped is followed at once, one that died within 15 seconds; a leader that cannot renew its
lease stops its jobs before another can take it. Nobody compares clocks of two machines to take over: the lease counts
as lost when *this* collector has watched it unchanged for :data:`TERM`. (Only a lease that ended long ago is taken at
sight.) Limits: what the jobs do must be right even if two leaders overlap for a moment, because a paused process
can wake up in the middle of a write; folding and outbox are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta

from schoolwacht.errors import Conflict, StoreError
from schoolwacht_collector.index.port import Kind, Store, Versioned
from schoolwacht_collector.records import Lease

ID = "leader"
#: Seconds that a lease lasts, between renewals, and between looks at another's.
TERM = 9.0
RENEW = 3.0
LOOK = 1.0
_LONG_AGO = timedelta(seconds=60)
_logger = logging.getLogger(__name__)


class Leadership:
    """One collector's part in the lease. ``holder`` is unique to it; ``clock`` gives monotonic seconds."""

    def __init__(self, store: Store, holder: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.leading = False
        self._store = store
        self._holder = holder
        self._clock = clock
        self._version: str | None = None
        self._seen: tuple[str, float] | None = None

    async def run(self, jobs: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        """Enter ``jobs()`` whenever this collector leads, and leave it when it no longer does; for ever."""
        while True:
            if not await self.acquire():
                await asyncio.sleep(LOOK)
                continue
            async with self._term(), jobs():
                await self._hold()

    async def acquire(self) -> bool:
        """Try to become the leader. Raises StoreError."""
        known = await self._store.get(Kind.LEASE, ID)
        if known is not None and not self._free(known):
            return False
        try:
            self._version = await self._store.put(
                Kind.LEASE, self._lease(TERM), None if known is None else known.version
            )
        except Conflict:
            return False
        return True

    async def renew(self) -> bool:
        """Prolong the lease; False if another has it. Raises StoreError if the store does not say."""
        try:
            self._version = await self._store.put(Kind.LEASE, self._lease(TERM), self._version)
        except Conflict:
            return False
        return True

    async def release(self) -> None:
        """Give the lease up, so that another collector takes it at once."""
        try:
            await self._store.put(Kind.LEASE, self._lease(0), self._version)
        except StoreError as error:  # lost meanwhile, or the store is gone: it ends by itself
            _logger.info("the lease was not given up: %s", error)

    @asynccontextmanager
    async def _term(self) -> AsyncIterator[None]:
        self.leading = True
        _logger.info("this collector leads")
        try:
            yield
        finally:
            self.leading = False
            _logger.info("this collector no longer leads")
            await self.release()

    async def _hold(self) -> None:
        """Renew until the lease is lost, or might be."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(RENEW)
            asked = self._clock()
            # A second before the term ends, by the time at which the last renewal was asked for.
            left = renewed + TERM - 1.0 - asked
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    if not await self.renew():
                        return
            except (StoreError, TimeoutError) as error:
                _logger.warning("the lease cannot be renewed: %s", str(error) or "the store does not answer in time")
                continue
            renewed = asked

    def _free(self, known: Versioned) -> bool:
        lease = known.record
        assert isinstance(lease, Lease)
        if lease.holder == self._holder:  # our own, from a write whose answer was lost
            return True
        if lease.until <= lease.timestamp or lease.until + _LONG_AGO < datetime.now(UTC):
            return True
        now = self._clock()
        if self._seen is None or self._seen[0] != known.version:
            self._seen = (known.version, now)
        return now - self._seen[1] >= TERM

    def _lease(self, seconds: float) -> Lease:
        now = datetime.now(UTC)
        return Lease(id=ID, timestamp=now, holder=self._holder, until=now + timedelta(seconds=seconds))

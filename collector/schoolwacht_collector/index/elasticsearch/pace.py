"""How many bulk requests may be in flight and how large they may be: less when the cluster cannot keep up, then more.

Additive increase, multiplicative decrease, as TCP does it: an answer 429 or 503, an item that was refused with 429, or
no answer in time halves both bounds and holds the next request back for a moment that doubles; each request that went
well raises them a little. Requests go in the order in which they were asked for, so that the oldest batch is stored
first. Promise: at least one request may always go. Limits: one pace for the cluster, not one a node.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

#: Documents that a request may always have.
LEAST_ITEMS = 100
#: Seconds that requests are held back after an overload: at first, and at most.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
#: Requests that went well until ``items`` is back at its most.
_STEPS = 20
_log = logging.getLogger(__name__)


class Flight(NamedTuple):
    """A request in flight: which cut of the bounds it was begun under."""

    cut: int


class Pace:
    """The bounds, for one event loop.

    Args:
        flights: requests in flight at most.
        items: documents in a request at most.
        clock: monotonic seconds.
    """

    def __init__(self, flights: int, items: int, *, clock: Callable[[], float]) -> None:
        self._most_flights = flights
        self._most_items = items
        self._clock = clock
        self._flights = float(flights)
        self._items = float(items)
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._cuts = 0
        self._pause = FIRST_PAUSE
        self._not_before = 0.0

    @property
    def flights(self) -> int:
        """Requests that may be in flight now."""
        return int(self._flights)

    @property
    def items(self) -> int:
        """Documents that a request may have now."""
        return int(self._items)

    @asynccontextmanager
    async def flight(self) -> AsyncIterator[Flight]:
        """Wait for this request's turn; it is in flight while the block runs."""
        await self._turn()
        try:
            if (held := self._not_before - self._clock()) > 0:
                await asyncio.sleep(held)
            yield Flight(self._cuts)
        finally:
            self._running -= 1
            self._wake()

    def went_well(self) -> None:
        """The cluster took a request."""
        self._pause = FIRST_PAUSE
        self._flights = min(self._most_flights, self._flights + 1 / self._flights)
        self._items = min(self._most_items, self._items + self._most_items / _STEPS)
        self._wake()

    def overloaded(self, flight: Flight, why: str) -> None:
        """The cluster could not keep up. What was begun before the newest cut says nothing new."""
        if flight.cut != self._cuts:
            return
        self._cuts += 1
        self._flights = max(1.0, self._flights / 2)
        self._items = max(float(min(LEAST_ITEMS, self._most_items)), self._items / 2)
        self._not_before = self._clock() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        _log.warning(
            "Elasticsearch cannot keep up: now %d requests of %d documents at a time: %s", self.flights, self.items, why
        )

    async def _turn(self) -> None:
        if self._running < self.flights and not self._waiting:
            self._running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn had come
                self._running -= 1
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiting and self._running < self.flights:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)

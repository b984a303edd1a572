"""How much work the intake takes on: bytes in flight, a share of them for each agent, decoded events that wait.

Promise: what is held is bounded whatever the agents send, and one agent cannot take the room of the others.
Limits: for one event loop; nothing here waits longer than its caller allows.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

#: A batch costs at least this much: connection, request and answer, however small its frame.
LEAST = 16 << 10


class Flight:
    """Bytes of batches that have been admitted and not yet answered.

    Args:
        total: for all agents together.
        share: for one agent.
    """

    def __init__(self, *, total: int, share: int) -> None:
        self._total = total
        self._share = share
        self._bytes = 0
        self._by_agent: dict[str, int] = {}

    def exchange(self, *, total: int, share: int) -> None:
        """Other bounds from now on; what is in flight stays."""
        self._total = total
        self._share = share

    @property
    def bytes(self) -> int:
        """What is in flight now."""
        return self._bytes

    @contextmanager
    def admitted(self, agent: str, size: int) -> Iterator[bool]:
        """Whether a batch of ``size`` bytes is taken on; if so, it counts until the block ends."""
        size = max(size, LEAST)
        mine = self._by_agent.get(agent, 0)
        if self._bytes + size > self._total or mine + size > self._share:
            yield False
            return
        self._bytes += size
        self._by_agent[agent] = mine + size
        try:
            yield True
        finally:
            self._bytes -= size
            rest = self._by_agent[agent] - size
            if rest:
                self._by_agent[agent] = rest
            else:
                del self._by_agent[agent]


class Room:
    """Room for decoded events that wait for the store. Of those who wait, the agent that holds least enters first."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._capacity = capacity
        self._held: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[tuple[int, asyncio.Future[None]]]] = OrderedDict()

    @property
    def taken(self) -> int:
        """The room that is held now."""
        return self._capacity - self._free

    def try_enter(self, agent: str, number: int) -> bool:
        """Take room for ``number`` events (the whole, if it is more) unless it must be waited for."""
        number = self.bounded(number)
        if self._waiting or number > self._free:
            return False
        self._take(agent, number)
        return True

    async def enter(self, agent: str, number: int) -> None:
        """As :meth:`try_enter`, waiting for it. Undo with :meth:`leave`."""
        number = self.bounded(number)
        if self.try_enter(agent, number):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(agent, deque()).append((number, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(agent, number)
            else:
                self._admit()
            raise

    def add(self, agent: str, number: int) -> None:
        """Take more than was asked for at first, at once: others wait until it is back. Undo with :meth:`leave`."""
        self._take(agent, number)

    def leave(self, agent: str, number: int) -> None:
        """Give back what was taken."""
        self._take(agent, -number)
        self._admit()

    def bounded(self, number: int) -> int:
        """What a request for ``number`` takes: more than the whole would wait for ever."""
        return max(0, min(number, self._capacity))

    def _take(self, agent: str, number: int) -> None:
        self._free -= number
        held = self._held.get(agent, 0) + number
        if held:
            self._held[agent] = held
        else:
            self._held.pop(agent, None)

    def _admit(self) -> None:
        while self._waiting:
            # Nobody passes by who does not fit yet: a large batch would wait for ever.
            agent = min(self._waiting, key=lambda name: self._held.get(name, 0))
            queue = self._waiting[agent]
            wanted, turn = queue[0]
            if not turn.cancelled():
                if wanted > self._free:
                    return
                self._take(agent, wanted)
                turn.set_result(None)
            queue.popleft()
            if not queue:
                del self._waiting[agent]

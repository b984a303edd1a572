"""How much work the intake takes on: bytes in flight, a share and a turn for each agent, decoded events that wait.

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


class Turns:
    """One at a time, the agents in turn: however many batches one agent has in line, another waits for one of them."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def take(self, agent: str) -> None:
        """Wait for a turn. Undo with :meth:`give_back`."""
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(agent, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn: the next agent's first batch is next."""
        while self._waiting:
            agent, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[agent] = turns
            if not turn.cancelled():
                turn.set_result(None)
                return
        self._busy = False


class Room:
    """Room for decoded events that wait for the store. Who comes first enters first."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._capacity = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """The room that is held now."""
        return self._capacity - self._free

    async def enter(self, number: int, *, held: int = 0) -> int:
        """Take room for ``number`` events, waiting for it; returns what was taken. Undo with :meth:`leave`.

        Never more than the whole, less what the caller ``held`` before: it would wait for itself. Of those who hold
        room only one at a time may ask for more.
        """
        number = max(0, min(number, self._capacity - held))
        if not self._waiting and number <= self._free:
            self._free -= number
            return number
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(number)
            raise
        return number

    def leave(self, number: int) -> None:
        """Give back what :meth:`enter` took."""
        self._free += number
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif wanted <= self._free:
                self._waiting.popleft()
                self._free -= wanted
                turn.set_result(None)
            else:
                return

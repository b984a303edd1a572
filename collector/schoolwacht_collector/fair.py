"""Who works next: one at a time, the agents by what their work has cost so far.

Start-time fair queueing (Goyal, Vin and Cheng 1996), charged afterwards: what a batch costs is known when it is done.
Promise: however many batches one agent has in line, and however dear they are, another that comes waits for one step
of work at most and for its turn among the agents that wait; two agents that always have work get the same share.
Limits: for one event loop; an agent saves nothing up while it has no work. What agents have used is forgotten when
nobody waits.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque


class Line:
    """One turn at a time."""

    def __init__(self) -> None:
        self._busy = False
        self._now = 0.0
        self._count = 0
        self._used: dict[str, float] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        # One entry for each agent that waits, with what it had used when it was made.
        self._heap: list[tuple[float, int, str]] = []

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits."""
        return bool(self._heap)

    async def take(self, agent: str) -> None:
        """Wait for a turn. Undo with :meth:`give_back`."""
        if self._busy:
            await self._granted(agent, self._enqueue(agent, first=False))
        else:
            self._busy = True

    async def pause(self, agent: str, cost: float) -> None:
        """Give a turn back and wait for another, before this agent's others."""
        turn = self._enqueue(agent, first=True)
        self.give_back(agent, cost)
        await self._granted(agent, turn)

    def _enqueue(self, agent: str, *, first: bool) -> asyncio.Future[None]:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.get(agent)
        if queue is None:
            queue = self._waiting[agent] = deque()
            self._push(agent)
        if first:
            queue.appendleft(turn)
        else:
            queue.append(turn)
        return turn

    async def _granted(self, agent: str, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(agent, 0.0)
            raise

    def give_back(self, agent: str, cost: float) -> None:
        """End a turn that cost so much: whoever waits and has used least is next."""
        self._used[agent] = max(self._used.get(agent, 0.0), self._now) + cost
        while self._heap:
            used, _, name = heapq.heappop(self._heap)
            queue = self._waiting[name]
            while queue and queue[0].cancelled():
                queue.popleft()
            if not queue:
                del self._waiting[name]
                continue
            if self._used.get(name, 0.0) > used:  # it was served since it got in line
                self._push(name)
                continue
            turn = queue.popleft()
            if queue:
                self._push(name)
            else:
                del self._waiting[name]
            self._now = max(self._now, used)
            turn.set_result(None)
            return
        # Nobody waits: from here on all begin alike.
        self._busy = False
        self._used.clear()

    def _push(self, agent: str) -> None:
        self._count += 1
        heapq.heappush(self._heap, (max(self._now, self._used.get(agent, 0.0)), self._count, agent))


class Turn:
    """A turn in a line that can be given up for a while. ``spent`` is charged when it is."""

    def __init__(self, line: Line, agent: str) -> None:
        self.spent = 0.0
        self._line = line
        self._agent = agent
        self._mine = False

    async def take(self) -> None:
        """Wait for it."""
        await self._line.take(self._agent)
        self._mine = True

    def give_back(self) -> None:
        """Let the next one work; a turn that is not held is nothing to give back."""
        if self._mine:
            self._mine = False
            spent, self.spent = self.spent, 0.0
            self._line.give_back(self._agent, spent)

    async def pause(self) -> None:
        """Let those work who have used less, if any wait; then go on."""
        if self._mine and self._line.waited_for:
            self._mine = False
            spent, self.spent = self.spent, 0.0
            await self._line.pause(self._agent, spent)
            self._mine = True

"""Writes of many batches gathered into few calls of the store.

A store has a cost per call (a commit, a request, a sync of every index that the call touches) that a small batch would
bear alone. While calls are under way the batches that arrive are put together; when nothing is under way a batch goes
at once, so that gathering never adds a wait. A call is filled from the agents in turn, some documents of each, so that
one with many or dear batches delays another's by the calls under way at most. Promise: each caller gets the outcomes of
its own documents, in order, or the error of a call they were in. Limits: for one event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from schoolwacht.event import Event
from schoolwacht_collector.index.port import Outcome

#: What the documents of one call weigh together at most, and those of an agent in its turn; calls under way at once.
MOST = 4000
QUANTUM = 500
PARALLEL = 3
#: Addresses in an ordinary document at most.
_FEW = 8


@dataclass(slots=True)
class _Batch:
    """A batch whose documents from ``sent`` on wait; ``outcomes`` are there for those that came back."""

    documents: Sequence[Event]
    done: asyncio.Future[list[Outcome]]
    sent: int = 0
    back: int = 0
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)

    def take(self, most: int) -> tuple[list[Event], int]:
        """The next documents, at least one, and what they weigh; no more than about ``most``."""
        start, weight = self.sent, 0
        while self.sent < len(self.documents):
            weight += weigh(self.documents[self.sent])
            self.sent += 1
            if weight >= most:
                break
        return list(self.documents[start : self.sent]), weight

    def settle(self, start: int, outcomes: list[Outcome]) -> None:
        """The documents from ``start`` on came back."""
        self.outcomes[start] = outcomes
        self.back += len(outcomes)
        if self.back == len(self.documents) and not self.done.done():  # whoever waited may have gone
            self.done.set_result([each for place in sorted(self.outcomes) for each in self.outcomes[place]])


def weigh(event: Event) -> int:
    """What a document costs a store, an ordinary one 1: many addresses are as many entries of an index."""
    number = 0 if event.related_ip is None else len(event.related_ip)
    return 1 if number <= _FEW else number >> 1


@dataclass(slots=True)
class _Part:
    batch: _Batch
    start: int
    documents: list[Event]


class Gather:
    """Gathers calls of ``create``, a store's."""

    def __init__(self, create: Callable[[Sequence[Event]], Awaitable[list[Outcome]]]) -> None:
        self._create = create
        self._waiting: OrderedDict[str, deque[_Batch]] = OrderedDict()
        self._calls: set[asyncio.Task[None]] = set()

    async def create(self, documents: Sequence[Event], agent: str = "") -> list[Outcome]:
        """As :meth:`schoolwacht_collector.index.port.Store.create`, for documents of one agent."""
        if not documents:
            return []
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(agent, deque()).append(_Batch(documents, done))
        self._start()
        return await done

    def _start(self) -> None:
        while self._waiting and len(self._calls) < PARALLEL:
            group = self._group()
            if not group:
                return
            call = asyncio.get_running_loop().create_task(self._call(group))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _group(self) -> list[_Part]:
        """What goes into the next call: the agents in turn, until it is full."""
        group: list[_Part] = []
        left = MOST
        while self._waiting and left > 0:
            agent, batches = self._waiting.popitem(last=False)
            turn = min(left, QUANTUM) if self._waiting else left
            while batches and turn > 0:
                batch = batches[0]
                if not batch.done.done():  # it failed, or whoever waited has gone
                    start = batch.sent
                    documents, weight = batch.take(turn)
                    group.append(_Part(batch, start, documents))
                    turn -= weight
                    left -= weight
                if batch.done.done() or batch.sent == len(batch.documents):
                    batches.popleft()
            if batches:
                self._waiting[agent] = batches
        return group

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._start()

    async def _call(self, group: list[_Part]) -> None:
        try:
            outcomes = await self._create([event for part in group for event in part.documents])
        except Exception as error:  # noqa: BLE001 - it goes to those who wait, each of whom answers an agent
            for part in group:
                if not part.batch.done.done():
                    part.batch.done.set_exception(error)
            return
        start = 0
        for part in group:
            end = start + len(part.documents)
            part.batch.settle(part.start, outcomes[start:end])
            start = end

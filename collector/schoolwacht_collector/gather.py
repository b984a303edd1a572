"""Writes of many batches gathered into few calls of the store.

A store has a cost per call (a commit, a request, a sync of every index that the call touches) that a small batch would
bear alone. While calls are under way the batches that arrive are put together; when nothing is under way a batch goes
at once, so that gathering never adds a wait. Promise: each caller gets the outcomes of its own documents, in order,
or the error of the call they were in. Limits: for one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from schoolwacht.event import Event
from schoolwacht_collector.index.port import Outcome

#: Documents in one call, unless a single batch has more; and calls under way at once.
MOST = 4000
PARALLEL = 3


class _Batch(NamedTuple):
    documents: Sequence[Event]
    done: asyncio.Future[list[Outcome]]


class Gather:
    """Gathers calls of ``create``, a store's."""

    def __init__(self, create: Callable[[Sequence[Event]], Awaitable[list[Outcome]]]) -> None:
        self._create = create
        self._waiting: deque[_Batch] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    async def create(self, documents: Sequence[Event]) -> list[Outcome]:
        """As :meth:`schoolwacht_collector.index.port.Store.create`."""
        if not documents:
            return []
        done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Batch(documents, done))
        self._start()
        return await done

    def _start(self) -> None:
        while self._waiting and len(self._calls) < PARALLEL:
            group = [self._waiting.popleft()]
            number = len(group[0].documents)
            while self._waiting and number + len(self._waiting[0].documents) <= MOST:
                group.append(self._waiting.popleft())
                number += len(group[-1].documents)
            call = asyncio.get_running_loop().create_task(self._call(group))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._start()

    async def _call(self, group: list[_Batch]) -> None:
        try:
            if len(group) == 1:
                outcomes = await self._create(group[0].documents)
            else:
                outcomes = await self._create([event for batch in group for event in batch.documents])
            start = 0
            for batch in group:
                end = start + len(batch.documents)
                if not batch.done.done():  # whoever waited may have gone
                    batch.done.set_result(outcomes[start:end])
                start = end
        except Exception as error:  # noqa: BLE001 - it goes to those who wait, each of whom answers an agent
            for batch in group:
                if not batch.done.done():
                    batch.done.set_exception(error)

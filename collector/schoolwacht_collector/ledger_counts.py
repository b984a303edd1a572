"""What this collector counted of each agent, told to the agents' ledgers.

Promise: told twice, or by several collectors, nothing is counted twice: each run of a collector has a name, and only
its own running sums. Limits: a collector that is killed loses what it counted in the last :data:`INTERVAL` seconds; the
leader then counts in the store (:mod:`.ledger_job`). What was counted goes by the day (UTC) of its arrival.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from schoolwacht.errors import Conflict, StoreError
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.ledger import counted
from schoolwacht_collector.records import Agent, Counted, Ledger

#: Seconds between two times that counts are told.
INTERVAL = 60.0
_ATTEMPTS = 10
_AT_ONCE = 8


class Counts:
    """The counts of one run of one collector."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.run_name = secrets.token_hex(8)
        self._sums: dict[tuple[str, str], Counted] = {}
        self._untold: set[tuple[str, str]] = set()

    def note(self, agent: str, *, stored: int, delivered: int, rejected: int, now: datetime) -> None:
        """Count what an agent delivered; :meth:`flush` tells it."""
        key = (agent, f"{now.astimezone(UTC).date()}")
        before = self._sums.get(key, Counted())
        self._sums[key] = Counted(before.stored + stored, before.delivered + delivered, before.rejected + rejected)
        self._untold.add(key)

    async def run(self) -> None:
        """Tell the counts at intervals, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.flush()

    async def flush(self) -> None:
        """Tell what was not told yet. What cannot be told now stays for the next time; raises StoreError then."""
        waiting = sorted(self._untold)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def tell(key: tuple[str, str]) -> None:
            async with turns:
                sums = self._sums[key]
                await change(
                    self._store, key[0], lambda ledger, _now: counted(ledger, self.run_name, key[1], sums), make=True
                )
                if self._sums[key] == sums:
                    self._untold.discard(key)

        told = await asyncio.gather(*(tell(key) for key in waiting), return_exceptions=True)
        self._forget()
        for fault in told:
            if isinstance(fault, BaseException):
                raise fault

    def _forget(self) -> None:
        """Of days that are over nothing more comes."""
        yesterday = f"{datetime.now(UTC).date() - timedelta(days=1)}"
        for key in [key for key in self._sums if key[1] < yesterday and key not in self._untold]:
            del self._sums[key]


async def change(
    store: Store, agent: str, to: Callable[[Ledger, datetime], Ledger], *, make: bool = False
) -> Ledger | None:
    """Change an agent's ledger by compare-and-set; with ``make`` it is made if need be.

    None if there is no ledger, or no agent of that name. Raises StoreError.
    """
    for attempt in range(_ATTEMPTS):
        now = datetime.now(UTC)
        known = await store.get(Kind.LEDGER, agent)
        ledger = await _new(store, agent, now) if known is None and make else None if known is None else known.record
        if not isinstance(ledger, Ledger):
            return None
        changed = to(ledger, now)
        if changed == ledger and known is not None:
            return ledger
        changed = replace(changed, timestamp=now)
        try:
            await store.put(Kind.LEDGER, changed, None if known is None else known.version)
        except Conflict:
            await asyncio.sleep(0.01 * 2**attempt * secrets.randbelow(100) / 100)
            continue
        return changed
    raise StoreError(f"the ledger of {agent} is being changed by others all the time")


async def _new(store: Store, agent: str, now: datetime) -> Ledger | None:
    found = await store.get(Kind.AGENT, agent)
    if found is None or not isinstance(found.record, Agent):
        return None
    return Ledger(id=agent, timestamp=now, board=found.record.board, agent=agent)

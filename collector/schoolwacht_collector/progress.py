"""How far a leader-only job has come, kept in the store for the leader after this one."""

from __future__ import annotations

from datetime import datetime

from schoolwacht.errors import Conflict
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.records import Progress


async def reached(store: Store, job: str) -> datetime | None:
    """Until when a job has done its work; None if it never ran. Raises StoreError."""
    known = await store.get(Kind.PROGRESS, job)
    return known.record.until if known is not None and isinstance(known.record, Progress) else None


async def advance(store: Store, job: str, until: datetime, *, now: datetime) -> bool:
    """Note that a job has done its work until then; it never goes back. Raises StoreError.

    False if another leader noted something meanwhile: who needs to know that it stands asks again.
    """
    known = await store.get(Kind.PROGRESS, job)
    if known is not None and isinstance(known.record, Progress) and known.record.until >= until:
        return True  # another leader is further
    try:
        await store.put(
            Kind.PROGRESS, Progress(id=job, timestamp=now, until=until), None if known is None else known.version
        )
    except Conflict:
        return False
    return True

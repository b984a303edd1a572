"""The record of what people changed: who, what, to which object, why, when; kept in the store.

Promise: it is written before the change is made, so that a change without its record cannot be; a record without its
change can, where the store failed in between. Limits: whoever can write to the store can change it.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.records import Audit


async def note(
    store: Store, action: str, what: str, *, by: str, reason: str = "", detail: str = "", now: datetime
) -> None:
    """Write one record. Raises StoreError."""
    made = Audit(
        id=f"{now:%Y%m%d%H%M%S%f}-{secrets.token_hex(6)}",
        timestamp=now,
        by=by,
        action=action,
        object=what,
        reason=reason,
        detail=detail,
    )
    await store.put(Kind.AUDIT, made, None)

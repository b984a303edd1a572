"""What has had its time goes: the leader looks once an hour.

Promise: what is older than ``[retention]`` says is gone within a day and an hour, and its space is given back. Whole
indices (Elasticsearch) and whole files (SQLite) are deleted wherever that is possible: nothing is searched for to be
deleted. Limits: a day is one of UTC, and goes as a whole; alerts stay (they are few, and hold no traffic).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import Store

PERIOD = 3600.0
_logger = logging.getLogger(__name__)

_Days = Annotated[int, Meta(ge=0, le=36_500)]


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[retention]``."""

    events_days: Annotated[
        _Days, Meta(description="Days that events (flow, DNS, TLS, HTTP and so on) are kept; 0: for ever.")
    ] = 14
    summaries_days: Annotated[
        _Days, Meta(description="Days that sums, sightings and health of agents are kept; 0: for ever.")
    ] = 90
    signals_days: Annotated[_Days, Meta(description="Days that signals are kept; 0: for ever.")] = 90


#: The setting of each dataset that has another one than ``events_days``.
_SETTING: Mapping[Dataset, str] = MappingProxyType(
    {
        Dataset.SUMMARY: "summaries_days",
        Dataset.SIGHTING: "summaries_days",
        Dataset.HEALTH: "summaries_days",
        Dataset.SIGNAL: "signals_days",
    }
)


def first_days(settings: RetentionSettings, today: date) -> dict[Dataset, date]:
    """The first day that stays, of each dataset that expires."""
    found = {}
    for dataset in Dataset:
        days: int = getattr(settings, _SETTING.get(dataset, "events_days"))
        if days:
            found[dataset] = today - timedelta(days=days)
    return found


class Expiry:
    """The leader's job.

    Args:
        store: open.
        settings: how long what is kept.
        now: the time (UTC).
    """

    def __init__(
        self, store: Store, settings: RetentionSettings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        #: May be exchanged; the next look takes them up.
        self.settings = settings
        self._now = now

    async def run(self) -> None:
        """Expire what is due, now and every hour, for ever."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                _logger.warning("what has had its time cannot be deleted now: %s", error)
            await asyncio.sleep(PERIOD)

    async def look(self, *, rehearse: bool = False) -> list[str]:
        """Expire what is due; what went, in words. ``rehearse`` deletes nothing. Raises StoreError."""
        gone = await self._store.expire(first_days(self.settings, self._now().date()), rehearse=rehearse)
        if gone and not rehearse:
            _logger.info("expired: %s%s", ", ".join(gone[:20]), f" and {len(gone) - 20} more" if len(gone) > 20 else "")
        return gone

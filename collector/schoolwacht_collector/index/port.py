"""What a store is: eight verbs, two real implementations and one in memory.

Two sorts of things are kept. *Documents* are events and signals: dated, never changed, created once (a second create
under the same id answers "already there", which is delivered). *Records* are alerts, deliveries, agents, indicators:
each a frozen struct of :mod:`schoolwacht_collector.records`, changed by compare-and-set.

Every search carries a :class:`Scope`; no call of a store can see more than its scope. No implementation is handed a
query string or a DSL: only the AST of :mod:`schoolwacht_collector.query.ast`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.query.ast import Node

#: A stored document or record: flat, dotted ECS names, JSON values (times as ISO 8601 text ending in Z).
Row: TypeAlias = dict[str, Any]


class Kind(StrEnum):
    """What can be searched. Documents first, then records."""

    EVENT = "event"
    SIGNAL = "signal"
    ALERT = "alert"
    DELIVERY = "delivery"
    AGENT = "agent"
    INDICATOR = "indicator"
    LEASE = "lease"
    PROGRESS = "progress"
    TUNING = "tuning"
    TEST = "test"
    AUDIT = "audit"
    PREVALENCE = "prevalence"
    LEDGER = "ledger"


DOCUMENTS = frozenset({Kind.EVENT, Kind.SIGNAL})


class Scope(NamedTuple):
    """Whose data a call may see: the boards' ids, or None for the whole sector."""

    boards: frozenset[str] | None


SECTOR = Scope(None)


class Outcome(NamedTuple):
    """What the store did with one document."""

    verdict: Verdict
    created: bool
    reason: str | None = None


class Search(NamedTuple):
    """A search.

    ``since`` and ``until`` bound ``time_field`` (``since`` included, ``until`` excluded). Rows come newest first by
    ``time_field``, then by id descending; ``oldest_first`` turns both round. ``after`` is a page's ``next``.
    """

    kind: Kind
    where: Node
    scope: Scope
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100
    after: str | None = None
    oldest_first: bool = False
    time_field: str = "@timestamp"


class Page(NamedTuple):
    """Rows of a search; ``next`` is None on the last page.

    ``missing`` names what could not be read (the damaged file of a day): rows of it may be lacking.
    """

    rows: list[Row]
    next: str | None
    missing: tuple[str, ...] = ()


class Tally(NamedTuple):
    """How often a value occurs, and its first and last ``@timestamp``."""

    number: int
    first: datetime
    last: datetime


class Versioned(NamedTuple):
    """A record and the version that a :meth:`Store.put` must name to change it."""

    record: msgspec.Struct
    version: str


class Health(NamedTuple):
    """Whether the store takes writes now, and in plain words what is wrong if it does not."""

    writable: bool
    detail: str


class Store(Protocol):
    """Implementations: :mod:`.sqlite`, :mod:`.elasticsearch`, :mod:`.memory`; wired by ``STORES``."""

    async def open(self) -> None:
        """Connect and check the schema. Raises StoreError with the way out (``schoolwacht-collector init``)."""
        ...

    async def init(self, *, migrate: bool = False) -> None:
        """Make or update schema, templates and indices; safe to run again.

        What an earlier version made is changed only with ``migrate``. Raises StoreError, with the way out; also for a
        store that a later version made.
        """
        ...

    async def close(self) -> None:
        """Finish what was taken and let go."""
        ...

    async def health(self) -> Health:
        """Whether writing works now."""
        ...

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        """Store events and signals, durably, before it returns: one outcome an event, in order.

        Each has its ``event.id``; its index (the file, in SQLite) follows from its own ``@timestamp`` and dataset.
        Never raises for a fault of an item or an outage of the store: those are outcomes.
        """
        ...

    async def expire(self, first: Mapping[Dataset, date], *, rehearse: bool = False) -> list[str]:
        """Delete the events of each dataset of the days (UTC) before its first day that stays, and give space back.

        Returns what went, in words, oldest first; ``rehearse`` deletes nothing. A dataset that is not named stays.
        Raises StoreError; what went before the fault is gone.
        """
        ...

    async def search(self, search: Search) -> Page:
        """Rows that match, within the scope. Sees what was created about a second ago; sees its own puts at once.

        Raises StoreError.
        """
        ...

    async def tally(self, search: Search, by: str, *, top: int = 1000) -> Mapping[str, Tally]:
        """Count matching rows by the value of a keyword field, the ``top`` most frequent ones (ties by value).

        ``limit``, ``after`` and ``oldest_first`` of the search are ignored. Raises StoreError.
        """
        ...

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the field's name everywhere
        """A record as it is now, or None. Not scoped: for the system's own jobs. Raises StoreError."""
        ...

    async def put(self, kind: Kind, record: msgspec.Struct, version: str | None) -> str:
        """Create (``version`` None) or change a record; returns its new version.

        Raises Conflict if it exists already or has another version, StoreError otherwise.
        """
        ...

    async def put_many(self, kind: Kind, records: Sequence[msgspec.Struct]) -> None:
        """Create or overwrite records without a version, in bulk (indicators). Raises StoreError."""
        ...

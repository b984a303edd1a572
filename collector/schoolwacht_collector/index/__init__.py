"""The store: one port, SQLite and Elasticsearch behind it.

``STORES`` is the one place that knows which there are.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from schoolwacht_collector.index.port import Store
from schoolwacht_collector.index.settings import ElasticsearchSettings, SqliteSettings


class StoreKind(NamedTuple):
    """The settings of a kind of store, and how one is made of them (not yet opened)."""

    settings: type[msgspec.Struct]
    make: Callable[[Any], Store]


# Imported where it is used: records import the port beside this file, and stores import records; and the client of
# a store that nobody configured is never loaded.


def _sqlite(settings: SqliteSettings) -> Store:
    from schoolwacht_collector.index.sqlite import SqliteStore  # noqa: PLC0415 - see above

    return SqliteStore(settings)


def _elasticsearch(settings: ElasticsearchSettings) -> Store:
    from schoolwacht_collector.index.elasticsearch import ElasticsearchStore  # noqa: PLC0415 - see above

    return ElasticsearchStore(settings)


STORES: MappingProxyType[str, StoreKind] = MappingProxyType(
    {
        "sqlite": StoreKind(SqliteSettings, _sqlite),
        "elasticsearch": StoreKind(ElasticsearchSettings, _elasticsearch),
    }
)

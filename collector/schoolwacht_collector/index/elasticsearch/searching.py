"""The bodies of searches. The scope is a filter beside the query, never inside it: no query can widen it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from schoolwacht_collector.index.pages import Place
from schoolwacht_collector.index.port import DOCUMENTS, Scope, Search
from schoolwacht_collector.query.elasticsearch import EVERYTHING, Query, all_of, dsl, moment
from schoolwacht_collector.query.fields import Field

#: Values that each shard counts for a tally, at most; beyond, counts of rare values are estimates.
SHARD_SIZE = 20_000
_BUCKETS_MAX = 65_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def page_body(search: Search, after: Place | None, size: int) -> dict[str, Any]:
    """One page of a search, after a place."""
    order = "asc" if search.oldest_first else "desc"
    identity = "event.id" if search.kind in DOCUMENTS else "id"
    body: dict[str, Any] = {
        "query": query(search),
        "size": size,
        "track_total_hits": False,
        "sort": [
            {
                search.time_field: {
                    "order": order,
                    "unmapped_type": "date_nanos",
                    "format": "strict_date_optional_time_nanos",
                }
            },
            {identity: {"order": order, "unmapped_type": "keyword"}},
        ],
    }
    if after is not None:
        body["search_after"] = [moment(_EPOCH + timedelta(microseconds=after.micros)), after.id]
    return body


def tally_body(search: Search, by: Field, top: int) -> dict[str, Any]:
    """Counts by value. First and last come from hits, since ``min`` and ``max`` cut times to milliseconds."""
    ends = {
        name: {"top_hits": {"size": 1, "_source": False, "sort": [{"@timestamp": {"order": order}}]}}
        for name, order in (("first", "asc"), ("last", "desc"))
    }
    terms = {
        "field": by.name,
        "size": min(top, _BUCKETS_MAX),
        "shard_size": min(max(2 * top, SHARD_SIZE), _BUCKETS_MAX),
        "order": [{"_count": "desc"}, {"_key": "asc"}],
        "collect_mode": "breadth_first",
    }
    return {
        "query": query(search),
        "size": 0,
        "track_total_hits": False,
        "aggs": {"by": {"terms": terms, "aggs": ends}},
    }


def query(search: Search) -> Query:
    """Scope, time and query, all of which must hold."""
    bounds = {}
    if search.since is not None:
        bounds["gte"] = moment(search.since)
    if search.until is not None:
        bounds["lt"] = moment(search.until)
    time = {"range": {search.time_field: bounds}} if bounds else {"exists": {"field": search.time_field}}
    return all_of([_visible(search.scope), time, dsl(search.where)])


def _visible(scope: Scope) -> Query:
    if scope.boards is None:
        return EVERYTHING
    return {"terms": {"organization.id": sorted(scope.boards)}}

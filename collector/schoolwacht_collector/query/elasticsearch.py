"""A query as Elasticsearch's query DSL: filters only, nothing scored, nothing scripted.

An event's copies have no index of their own (index/elasticsearch/templates.py): a query on one first asks for those
documents that have the value where it was copied from, which are few, and then the copy itself.

A time is always written with six digits: Elasticsearch fills up a shorter one to the end of its second for ``gt`` and
``lte``, and the stores would answer differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias, assert_never

from schoolwacht.derive import COPIES
from schoolwacht_collector.query import addresses
from schoolwacht_collector.query.ast import (
    All,
    And,
    Between,
    Contains,
    Equals,
    Exists,
    Matches,
    Node,
    Not,
    OneOf,
    Or,
    Value,
    Within,
)
from schoolwacht_collector.query.check import literal
from schoolwacht_collector.query.fields import Type, field

Query: TypeAlias = dict[str, Any]
#: Conditions on one field's value.
_Single: TypeAlias = Equals | OneOf | Matches | Within | Between

EVERYTHING: Query = {"match_all": {}}
NOTHING: Query = {"match_none": {}}


def dsl(node: Node) -> Query:
    """The DSL of a query that :func:`.check.check` has passed."""
    match node:
        case All():
            return EVERYTHING
        case Equals() | OneOf() | Matches() | Within() | Between() if node.field in COPIES:
            found = any_of([_single(replace(node, field=name)) for name in COPIES[node.field]])
            return all_of([found, _single(node)])
        case Equals() | OneOf() | Matches() | Within() | Between():
            return _single(node)
        case And(nodes):
            return all_of([dsl(inner) for inner in nodes])
        case Or(nodes):
            return any_of([dsl(inner) for inner in nodes])
        case Not(inner):
            return {"bool": {"must_not": [dsl(inner)]}}
        case Contains(names, text):
            return any_of([_part(name, text) for name in names])
        case Exists(name):
            return {"exists": {"field": name}}
        case _:
            assert_never(node)


def _single(node: _Single) -> Query:
    match node:
        case Equals(name, value):
            return _one_of(name, [value])
        case OneOf(name, values):
            return _one_of(name, values)
        case Matches(name, pattern):
            return _matches(name, pattern)
        case Within(name, network):
            first, last = addresses.bounds(network)
            return {"range": {name: {"gte": addresses.spelled(first), "lte": addresses.spelled(last)}}}
        case Between():
            return _between(node)
        case _:
            assert_never(node)


def all_of(queries: Sequence[Query]) -> Query:
    """All of these queries."""
    return {"bool": {"filter": list(queries)}} if queries else EVERYTHING


def any_of(queries: Sequence[Query]) -> Query:
    """At least one of these queries."""
    if not queries:
        return NOTHING
    return queries[0] if len(queries) == 1 else {"bool": {"should": list(queries), "minimum_should_match": 1}}


def moment(time: datetime) -> str:
    """A time as both time types of Elasticsearch read it, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _one_of(name: str, values: Sequence[Value]) -> Query:
    if not values:
        return NOTHING
    if name == "event.id":
        # Documents are stored under it.
        return {"ids": {"values": list(values)}}
    if field(name).type is Type.DATE:
        return any_of([_between(Between(name, value, value)) for value in values])
    plain = [_plain(name, value) for value in values]
    return {"term": {name: {"value": plain[0]}}} if len(plain) == 1 else {"terms": {name: plain}}


def _between(node: Between) -> Query:
    limits = {}
    if node.low is not None:
        limits["gte" if node.include_low else "gt"] = _plain(node.field, node.low)
    if node.high is not None:
        limits["lte" if node.include_high else "lt"] = _plain(node.field, node.high)
    return {"range": {node.field: limits}} if limits else {"exists": {"field": node.field}}


def _matches(name: str, pattern: str) -> Query:
    simple = literal(pattern)
    if simple is None:
        return {"wildcard": {name: {"value": pattern}}}
    # A wildcard query finds nothing where a pattern without wildcards is empty, and flattened fields know none.
    return {"term" if simple.whole else "prefix": {name: {"value": simple.text}}}


def _part(name: str, text: str) -> Query:
    escaped = re.sub(r"([*?\\])", r"\\\1", text)
    return {"wildcard": {name: {"value": f"*{escaped}*", "case_insensitive": True}}}


def _plain(name: str, value: Value) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if field(name).type is Type.IP:
        packed = addresses.packed(str(value))
        assert packed is not None
        return addresses.spelled(packed)
    return str(value) if isinstance(value, str) else value

"""Check a query against the table of fields before any store compiles it, so that every store answers alike.

A query built by :func:`.parse.parse` passes always; one built by hand in the code passes if its fields exist and its
values have the field's type. What one store could do and another could not is refused here, for both.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple, assert_never

from schoolwacht.errors import QueryError
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
from schoolwacht_collector.query.fields import Field, Type, field

#: Bounds of one query, over all of its nodes. Elasticsearch nests 30 levels and joins 1,024 conditions, ours included.
DEPTH_MAX = 24
NODES_MAX = 1000
VALUES_MAX = 10_000
#: Characters of a pattern, and ``?`` in one that also has ``*``: beyond, Lucene refuses to build its automaton.
PATTERN_MAX = 256
UNKNOWNS_MAX = 8

_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_NANOS_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_LAST = datetime(2262, 1, 1, tzinfo=UTC)


def check(node: Node) -> None:
    """Raises QueryError if a field is unknown, a value has the wrong type or the query is too large."""
    nodes = values = 0
    pending = [(node, 1)]
    while pending:
        one, depth = pending.pop()
        nodes += len(one.fields) if isinstance(one, Contains) else 1
        values += len(one.values) if isinstance(one, OneOf) else 1
        if depth > DEPTH_MAX:
            raise QueryError(f"nested deeper than {DEPTH_MAX} levels")
        if nodes > NODES_MAX:
            raise QueryError(f"more than {NODES_MAX} conditions; use fewer, or a network or a pattern for many values")
        if values > VALUES_MAX:
            raise QueryError(f"more than {VALUES_MAX} values")
        if isinstance(one, (And, Or)):
            pending.extend((inner, depth + 1) for inner in one.nodes)
        elif isinstance(one, Not):
            pending.append((one.node, depth + 1))
        else:
            _check_leaf(one)


def _check_leaf(node: All | Equals | OneOf | Matches | Contains | Within | Between | Exists) -> None:
    match node:
        case All():
            pass
        case Equals(name, value):
            _check_value(_searchable(name), value)
        case OneOf(name, values):
            for value in values:
                _check_value(_searchable(name), value)
        case Matches(name, pattern):
            _check_pattern(_searchable(name), pattern)
        case Contains(names, text):
            _check_contains(names, text)
        case Within(name, network):
            _require(_searchable(name), Type.IP)
            if not isinstance(network, (IPv4Network, IPv6Network)):
                raise QueryError("wants a network", field=name)
        case Between():
            _check_between(node)
        case Exists(name):
            _searchable(name)
        case _:
            assert_never(node)


class Literal(NamedTuple):
    """What a pattern asks for, where that is simple: the whole text, or the beginning of one."""

    text: str
    whole: bool


def literal(pattern: str) -> Literal | None:
    r"""The text of a pattern without wildcards, or before its only one, a ``*`` at the end; None for any other."""
    text: list[str] = []
    rest = iter(pattern)
    for character in rest:
        if character == "\\":
            text.append(next(rest, "\\"))
        elif character == "*" and next(rest, None) is None:
            return Literal("".join(text), whole=False)
        elif character in "*?":
            return None
        else:
            text.append(character)
    return Literal("".join(text), whole=True)


def _searchable(name: str) -> Field:
    found = field(name)
    if found.type is Type.OPAQUE:
        raise QueryError("is stored, but cannot be searched", field=name)
    if found.key is not None and ("*" in found.key or "\0" in found.key):
        raise QueryError("the name of a detail is written out, without *", field=name)
    return found


def _require(found: Field, *types: Type) -> None:
    if found.type not in types:
        raise QueryError(f"holds {_HOLDS[found.type]}: this search does not fit it", field=found.full_name)


def _check_pattern(found: Field, pattern: str) -> None:
    _require(found, Type.KEYWORD, Type.FLATTENED)
    if found.type is Type.FLATTENED and literal(pattern) is None:
        raise QueryError("holds exact values: only a * at the end is possible here", field=found.full_name)
    _check_length(pattern, found.full_name)
    if "*" in pattern and pattern.count("?") > UNKNOWNS_MAX:
        raise QueryError(f"a pattern with * may have at most {UNKNOWNS_MAX} ?", field=found.full_name)


def _check_contains(names: tuple[str, ...], text: str) -> None:
    if not names:
        raise QueryError("a text is searched in one field at least")
    for name in names:
        _require(_searchable(name), Type.KEYWORD)
    _check_length(text, None)


def _check_length(text: str, name: str | None) -> None:
    if not _storable(text):
        raise QueryError("holds characters that no stored text has", field=name)
    if len(text) > PATTERN_MAX:
        raise QueryError(f"a part of a text has at most {PATTERN_MAX} characters", field=name)


def _check_between(node: Between) -> None:
    found = _searchable(node.field)
    _require(found, Type.KEYWORD, Type.IP, Type.LONG, Type.DOUBLE, Type.DATE)
    for bound in (node.low, node.high):
        if bound is not None:
            _check_value(found, bound)


_HOLDS = {
    Type.KEYWORD: "text",
    Type.IP: "addresses",
    Type.LONG: "whole numbers",
    Type.DOUBLE: "numbers",
    Type.DATE: "times",
    Type.BOOLEAN: "true or false",
    Type.FLATTENED: "exact values",
    Type.OPAQUE: "what cannot be searched",
}


def _check_value(found: Field, value: Value) -> None:
    if found.type is Type.DATE and isinstance(value, datetime) and value.tzinfo is not None:
        if not found.wide and not _NANOS_FIRST <= value < _NANOS_LAST:
            raise QueryError("holds times from 1970 to 2261 only", field=found.full_name)
    elif not _fits(found, value):
        raise QueryError(f"holds {_HOLDS[found.type]}, not {value!r}", field=found.full_name)


def _fits(found: Field, value: Value) -> bool:
    match found.type:
        case Type.KEYWORD | Type.FLATTENED:
            return isinstance(value, str) and _storable(value)
        case Type.IP:
            return isinstance(value, str) and addresses.packed(value) is not None
        case Type.LONG:
            return isinstance(value, int) and not isinstance(value, bool) and _LONG_MIN <= value <= _LONG_MAX
        case Type.DOUBLE:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        case Type.BOOLEAN:
            return isinstance(value, bool)
        case _:
            return False


def _storable(text: str) -> bool:
    """Whether a stored text could hold this at all: no lone surrogate, no U+0000."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False

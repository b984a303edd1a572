"""A query as a Python predicate over a row: how the store in memory searches, and the reference for the others.

Two-valued logic: a field that is absent satisfies no condition, so ``Not`` of that condition is true.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias, assert_never

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

Row: TypeAlias = dict[str, Any]
Predicate: TypeAlias = Callable[[Row], bool]
_Test: TypeAlias = Callable[[Any], bool]


def predicate(node: Node) -> Predicate:
    """The predicate of a query that :func:`.check.check` has passed."""
    match node:
        case All():
            return _always
        case And(nodes):
            every = [predicate(inner) for inner in nodes]
            return lambda row: all(test(row) for test in every)
        case Or(nodes):
            some = [predicate(inner) for inner in nodes]
            return lambda row: any(test(row) for test in some)
        case Not(inner):
            test = predicate(inner)
            return lambda row: not test(row)
        case Contains(names, text):
            return _contains(names, text)
        case Equals() | OneOf() | Matches() | Within() | Between() | Exists():
            found = field(node.field)
            return _any_value(found, _test(found, node))
        case _:
            assert_never(node)


def micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z, exactly."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def values(row: Row, found: Field) -> list[Any]:
    """The values of a field in a row, none or one or several, as they are stored."""
    value = row.get(found.name)
    if value is None:
        return []
    if found.type is Type.FLATTENED:
        if found.key is None:
            return list(value.values())
        return [value[found.key]] if found.key in value else []
    return value if isinstance(value, list) else [value]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _always(_: Any) -> bool:
    return True


def _any_value(found: Field, test: _Test) -> Predicate:
    return lambda row: any(test(value) for value in values(row, found))


def _test(found: Field, node: Equals | OneOf | Matches | Within | Between | Exists) -> _Test:
    key = _keys(found.type)
    match node:
        case Equals(_, value):
            wanted = key(_stored(value))
            return lambda stored: key(stored) == wanted
        case OneOf(_, choices):
            among = {key(_stored(choice)) for choice in choices}
            return lambda stored: key(stored) in among
        case Matches(_, pattern):
            parts = split_pattern(pattern)
            return lambda stored: matches(stored, parts)
        case Within(_, network):
            first, last = addresses.bounds(network)
            return lambda stored: (found := addresses.packed(stored)) is not None and first <= found <= last
        case Between():
            return _between(node, key)
        case Exists():
            return _always
        case _:
            assert_never(node)


def _between(node: Between, key: Callable[[Any], Any]) -> _Test:
    low = None if node.low is None else key(_stored(node.low))
    high = None if node.high is None else key(_stored(node.high))

    def test(stored: Any) -> bool:
        value = key(stored)
        if value is None:
            return False
        if low is not None and (value < low or (value == low and not node.include_low)):
            return False
        return high is None or value < high or (value == high and node.include_high)

    return test


def _stored(value: Value) -> Any:
    """A value of a query in the form in which a row holds it."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _keys(type_: Type) -> Callable[[Any], Any]:
    if type_ is Type.IP:
        return addresses.packed
    if type_ is Type.DATE:
        return lambda text: micros(datetime.fromisoformat(text))
    return lambda value: value


def _contains(names: tuple[str, ...], text: str) -> Predicate:
    fields = [field(name) for name in names]
    # bytes.lower() folds ASCII letters and nothing else, and a UTF-8 text never begins inside another's character.
    needle = text.encode().lower()
    return lambda row: any(needle in value.encode().lower() for found in fields for value in values(row, found))


#: A pattern taken apart: literal characters as text, None for ``?``; one list between two ``*``.
Pattern: TypeAlias = list[list[str | None]]


def split_pattern(pattern: str) -> Pattern:
    r"""Take a pattern apart at its ``*``. A ``\`` at the very end stands for itself."""
    parts: Pattern = [[]]
    rest = iter(pattern)
    for character in rest:
        if character == "*":
            parts.append([])
        else:
            parts[-1].append(next(rest, "\\") if character == "\\" else None if character == "?" else character)
    return parts


def matches(text: str, parts: Pattern) -> bool:
    """Whether the whole text matches; the leftmost place for each part, so at most length × length steps."""
    first, *others = parts
    if not others:
        return len(text) == len(first) and _fits(text, 0, first)
    if len(text) < len(first) or not _fits(text, 0, first):
        return False
    place = len(first)
    *middle, last = others
    for part in middle:
        while place + len(part) <= len(text) and not _fits(text, place, part):
            place += 1
        if place + len(part) > len(text):
            return False
        place += len(part)
    return len(text) - len(last) >= place and _fits(text, len(text) - len(last), last)


def _fits(text: str, place: int, part: list[str | None]) -> bool:
    return all(wanted is None or text[place + index] == wanted for index, wanted in enumerate(part))

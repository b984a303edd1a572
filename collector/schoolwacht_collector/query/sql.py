"""A query as the WHERE of SQLite: text of our own making, and bound parameters for everything that came from outside.

Rows are JSON text in the column ``doc``; a few fields have a column of their own (:class:`Columns`): text as it is,
an address as sixteen bytes, a time as microseconds since 1970. The connection must know the functions of
:data:`FUNCTIONS`.

Absent values give NULL. That is as good as false in And and Or; under Not it is made false, so the logic has two
values as in the other stores. Texts compare by their bytes in UTF-8, which is the order of code points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, assert_never

import msgspec

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
from schoolwacht_collector.query.evaluate import micros, split_pattern
from schoolwacht_collector.query.fields import Field, Type, field

#: Field name → column, for the fields that have one in the table that is searched.
Columns: TypeAlias = Mapping[str, str]


class Fragment(NamedTuple):
    """A piece of SQL with its parameters, in the order of their ``?``."""

    text: str
    parameters: tuple[Any, ...] = ()


def _packed(text: str | None) -> bytes | None:
    return None if text is None else addresses.packed(text)


def _micros(text: str | None) -> int | None:
    return None if text is None else micros(datetime.fromisoformat(text))


#: Deterministic functions of one argument that a connection must have.
FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType({"packed": _packed, "micros": _micros})

_TRUE, _FALSE = Fragment("1"), Fragment("0")


def condition(node: Node, columns: Columns) -> Fragment:
    """The condition of a query that :func:`.check.check` has passed."""
    match node:
        case All():
            return _TRUE
        case And(nodes):
            return _joined(" AND ", [condition(inner, columns) for inner in nodes], empty=_TRUE)
        case Or(nodes):
            return _joined(" OR ", [condition(inner, columns) for inner in nodes], empty=_FALSE)
        case Not(inner):
            text, parameters = condition(inner, columns)
            return Fragment(f"NOT ifnull({text}, 0)", parameters)
        case Contains(names, text):
            return _contains(names, text, columns)
        case Equals() | OneOf() | Matches() | Within() | Between() | Exists():
            return _leaf(node, columns)
        case _:
            assert_never(node)


def value_of(name: str, columns: Columns) -> Fragment:
    """The value of a field that is no list, in the form in which it is compared (see the module)."""
    found = field(name)
    if name in columns:
        return Fragment(columns[name])
    return Fragment(_comparable(found.type, "json_extract(doc, ?)"), (json_path(name),))


def json_path(name: str) -> str:
    """The path of a field in a row. Field names hold no quotes: they come from the table of fields."""
    return f'$."{name}"'


def marks(number: int) -> str:
    """``number`` placeholders, separated by commas."""
    return ",".join("?" * number)


def _leaf(node: Equals | OneOf | Matches | Within | Between | Exists, columns: Columns) -> Fragment:
    found = field(node.field)
    if found.many or found.type is Type.FLATTENED:
        return _glanced(found, node, _any_item(found, node))
    test = _test(found, node, value_of(node.field, columns))
    return test if node.field in columns else _glanced(found, node, test)


def _any_item(found: Field, node: Equals | OneOf | Matches | Within | Between | Exists) -> Fragment:
    """Whether one item of a list, or one value of a flattened field, passes."""
    test = _test(found, node, Fragment(_comparable(found.type, "item.value")))
    key, keys = ("", ()) if found.key is None else ("item.key = ? AND ", (found.key,))
    text = f"EXISTS (SELECT 1 FROM json_each(doc, ?) AS item WHERE {key}{test.text})"  # noqa: S608 - no outside text
    return Fragment(text, (json_path(found.name), *keys, *test.parameters))


def _test(found: Field, node: Equals | OneOf | Matches | Within | Between | Exists, value: Fragment) -> Fragment:
    """The comparison of a value."""
    match node:
        case Equals(_, wanted):
            return _compared(value, "= ?", _parameter(found.type, wanted))
        case OneOf(_, choices):
            wanted_values = [_parameter(found.type, choice) for choice in choices]
            return _compared(value, f"IN ({marks(len(choices))})", *wanted_values)
        case Matches(_, pattern):
            return _compared(value, "GLOB ?", _glob(pattern))
        case Within(_, network):
            return _compared(value, "BETWEEN ? AND ?", *addresses.bounds(network))
        case Between():
            return _between(found, node, value)
        case Exists():
            return _compared(value, "IS NOT NULL")
        case _:
            assert_never(node)


def _between(found: Field, node: Between, value: Fragment) -> Fragment:
    sides = [_compared(value, "IS NOT NULL")]
    if node.low is not None:
        operator = ">= ?" if node.include_low else "> ?"
        sides.append(_compared(value, operator, _parameter(found.type, node.low)))
    if node.high is not None:
        operator = "<= ?" if node.include_high else "< ?"
        sides.append(_compared(value, operator, _parameter(found.type, node.high)))
    return _joined(" AND ", sides[1:] or sides, empty=_TRUE)


def _compared(value: Fragment, operator: str, *parameters: Any) -> Fragment:
    return Fragment(f"{value.text} {operator}", (*value.parameters, *parameters))


def _contains(names: Sequence[str], text: str, columns: Columns) -> Fragment:
    needle = _ascii_lower(text)
    tests = []
    for name in names:
        found = field(name)
        if found.many:
            tests.append(
                Fragment(
                    "EXISTS (SELECT 1 FROM json_each(doc, ?) AS item WHERE instr(lower(item.value), ?))",
                    (json_path(name), needle),
                )
            )
        else:
            value = value_of(name, columns)
            tests.append(Fragment(f"instr(lower({value.text}), ?)", (*value.parameters, needle)))
    glance = Fragment("instr(lower(doc), ?)", (_ascii_lower(_in_json(text)),))
    return _joined(" AND ", [glance, _joined(" OR ", tests, empty=_FALSE)], empty=_TRUE)


def _glanced(found: Field, node: Equals | OneOf | Matches | Within | Between | Exists, test: Fragment) -> Fragment:
    """The test behind a cheaper one that it implies: a wanted text stands in the document as the encoder writes it.

    That spares reading most documents as JSON.
    """
    if isinstance(node, Equals) and found.type in (Type.KEYWORD, Type.FLATTENED):
        glance = Fragment("instr(doc, ?)", (f'"{_in_json(str(node.value))}"',))
        return _joined(" AND ", [glance, test], empty=_TRUE)
    return test


def _in_json(text: str) -> str:
    return msgspec.json.encode(text)[1:-1].decode()


def _ascii_lower(text: str) -> str:
    return text.encode().lower().decode()


def _comparable(type_: Type, expression: str) -> str:
    if type_ is Type.IP:
        return f"packed({expression})"
    return f"micros({expression})" if type_ is Type.DATE else expression


def _parameter(type_: Type, value: Value) -> Any:
    if isinstance(value, datetime):
        return micros(value)
    if type_ is Type.IP:
        return addresses.packed(str(value))
    if type_ is Type.DOUBLE:
        return float(value)
    # A plain text, also where the value is a member of an enumeration, which the driver would not bind.
    return str(value) if isinstance(value, str) else int(value)


def _glob(pattern: str) -> str:
    """The pattern in the language of GLOB, which has brackets for escapes."""
    return "*".join("".join(map(_glob_character, part)) for part in split_pattern(pattern))


def _glob_character(character: str | None) -> str:
    if character is None:
        return "?"
    return f"[{character}]" if character in "*?[" else character


def _joined(operator: str, parts: Sequence[Fragment], *, empty: Fragment) -> Fragment:
    """The parts in parentheses, as a balanced tree: SQLite refuses expressions deeper than 1,000."""
    if not parts:
        return empty
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(operator, parts[:half], empty=empty), _joined(operator, parts[half:], empty=empty)
    return Fragment(f"({left.text}{operator}{right.text})", left.parameters + right.parameters)

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schoolwacht.errors import QueryError
from schoolwacht.event import Dataset
from schoolwacht_collector.query.ast import And, Between, Contains, Equals, Exists, Matches, Node, Not, OneOf, Or
from schoolwacht_collector.query.check import DEPTH_MAX, NODES_MAX, VALUES_MAX, Literal, check, literal


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source.ip", "10.0.0"),
        ("source.ip", 1),
        ("source.port", "53"),
        ("source.port", True),
        ("source.port", 1 << 63),
        ("health.value", float("nan")),
        ("health.value", float("inf")),
        ("tls.resumed", 1),
        ("@timestamp", "2026-03-01"),
        ("@timestamp", datetime(2026, 3, 1)),
        ("@timestamp", datetime(1969, 3, 1, tzinfo=UTC)),
        ("message", 1),
        ("message", "a\0"),
        ("message", "\ud800"),
        ("agent.schools", "x"),
        ("nsm.detail.a*", "x"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    for node in (Equals(name, value), OneOf(name, (value,)), Not(Equals(name, value))):
        with pytest.raises(QueryError, match=name.split("*", maxsplit=1)[0]):
            check(node)


@pytest.mark.parametrize(
    "node",
    [
        Matches("source.ip", "10.*"),
        Matches("nsm.detail.x", "*y"),
        Contains(("source.ip",), "10"),
        Contains((), "x"),
        Between("tls.resumed", False, True),
        Between("nsm.detail.x", "a", "b"),
        Exists("delivery.body"),
    ],
)
def test_a_condition_that_does_not_fit_its_field_is_refused(node: Node) -> None:
    with pytest.raises(QueryError):
        check(node)


@pytest.mark.parametrize(
    "node",
    [
        Equals("event.dataset", Dataset.DNS),
        Equals("health.value", 1),
        Equals("tls.server.not_after", datetime(9999, 12, 31, tzinfo=UTC)),
        Between("message", "a", None),
        Matches("nsm.detail.x", "y*"),
        OneOf("signal.key", tuple(str(number) for number in range(VALUES_MAX - 10))),
    ],
)
def test_a_condition_that_fits_its_field_passes(node: Node) -> None:
    check(node)


def nested(depth: int) -> Node:
    node: Node = Equals("message", "x")
    for _ in range(depth - 1):
        node = Not(node)
    return node


def test_size_is_bounded() -> None:
    check(nested(DEPTH_MAX))
    with pytest.raises(QueryError, match="deeper"):
        check(nested(DEPTH_MAX + 1))
    one = Equals("message", "x")
    check(And((one,) * (NODES_MAX - 1)))
    with pytest.raises(QueryError, match="conditions"):
        check(Or((one,) * NODES_MAX))
    with pytest.raises(QueryError, match="values"):
        check(OneOf("message", ("x",) * (VALUES_MAX + 1)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("abc", Literal("abc", whole=True)),
        ("abc*", Literal("abc", whole=False)),
        ("", Literal("", whole=True)),
        ("*", Literal("", whole=False)),
        (r"a\*", Literal("a*", whole=True)),
        ("a\\", Literal("a\\", whole=True)),
        ("a*b", None),
        ("a?", None),
        ("*a", None),
    ],
)
def test_a_simple_pattern_is_a_text_or_a_beginning(pattern: str, expected: Literal | None) -> None:
    assert literal(pattern) == expected

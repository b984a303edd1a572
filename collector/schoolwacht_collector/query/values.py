"""A value in a query, read as its field's type. Raises QueryError that says what the field holds."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from schoolwacht.errors import QueryError
from schoolwacht_collector.query import addresses
from schoolwacht_collector.query.ast import Between, Equals, Node, Value, Within
from schoolwacht_collector.query.fields import Field, Type
from schoolwacht_collector.query.moments import Span, span

_BOOLEANS = {"true": True, "false": False}
_WHOLE = re.compile(r"^-?\d{1,19}$")
_NUMBER = re.compile(r"^-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$")


def equals(found: Field, text: str, *, now: datetime) -> Node:
    """The condition that a field has the value written ``text``: a network or a span of time holds it inside."""
    name = found.full_name
    if found.type is Type.DATE:
        start, end = _span(found, text, now)
        return Between(name, start, end, include_high=False)
    if found.type is Type.IP and "/" in text:
        network = addresses.network(text)
        if network is None:
            raise QueryError(f"{text} is no network; one is written 10.1.0.0/16 or 2001:db8::/32", field=name)
        return Within(name, network)
    return Equals(name, _value(found, text))


def range_of(
    found: Field, low: str | None, high: str | None, include_low: bool, include_high: bool, *, now: datetime
) -> Node:
    """The condition that a field lies between two values; None leaves a side open.

    A span of time as an end counts wholly: ``>=`` and ``<`` are from its start, ``>`` and ``<=`` from its end.
    """
    name = found.full_name
    if found.type is not Type.DATE:
        return Between(
            name,
            None if low is None else _value(found, low),
            None if high is None else _value(found, high),
            include_low,
            include_high,
        )
    first = last = None
    if low is not None:
        start, end = _span(found, low, now)
        first = start if include_low else end
    if high is not None:
        start, end = _span(found, high, now)
        last = end - timedelta(microseconds=1) if include_high else start
    return Between(name, first, last, include_low=True, include_high=include_high)


def _value(found: Field, text: str) -> Value:
    name = found.full_name
    match found.type:
        case Type.KEYWORD | Type.FLATTENED:
            return text
        case Type.IP:
            address = addresses.packed(text)
            if address is None:
                raise QueryError(f"holds addresses, and {text} is none", field=name)
            return addresses.spelled(address)
        case Type.LONG:
            if not _WHOLE.match(text):
                raise QueryError(f"holds whole numbers, and {text} is none", field=name)
            return int(text)
        case Type.DOUBLE:
            if not _NUMBER.match(text):
                raise QueryError(f"holds numbers, and {text} is none", field=name)
            return float(text)
        case Type.BOOLEAN:
            if text.lower() not in _BOOLEANS:
                raise QueryError(f"is true or false, not {text}", field=name)
            return _BOOLEANS[text.lower()]
        case _:
            raise QueryError("is stored, but cannot be searched", field=name)


def _span(found: Field, text: str, now: datetime) -> Span:
    moment = span(text, now=now)
    if moment is None:
        raise QueryError(
            f"holds times, and {text} is none; one is written 2026-03-01, 2026-03-01T10:15:00Z or now-1h",
            field=found.full_name,
        )
    return moment

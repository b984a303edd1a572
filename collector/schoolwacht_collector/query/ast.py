"""A search as data: the few nodes that every store understands.

What a field is (keyword, address, number, time, yes/no) is decided once, in :mod:`.fields`; a parsed query holds
values of that type already. All text compares exactly and case-sensitively, save :class:`Contains`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | datetime


@dataclass(frozen=True, slots=True)
class All:
    """Everything."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value (one of its values, for a list). An address compares by meaning, not by spelling."""

    field: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Matches:
    r"""The keyword field matches a pattern: ``*`` is any text, ``?`` one character, ``\`` takes the next literally."""

    field: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Contains:
    """One of the fields contains this text, whatever its case (Unicode case folding of ASCII letters only)."""

    fields: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Within:
    """The address field lies in this network."""

    field: str
    network: IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Between:
    """The field lies in a range; None leaves a side open. Numbers, times, addresses (as text) and keywords."""

    field: str
    low: Value | None
    high: Value | None
    include_low: bool = True
    include_high: bool = True


@dataclass(frozen=True, slots=True)
class Exists:
    """The field has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """All of these."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    node: Node


Node: TypeAlias = All | Equals | OneOf | Matches | Contains | Within | Between | Exists | And | Or | Not

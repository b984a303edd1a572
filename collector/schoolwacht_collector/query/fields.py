"""All fields that a query can name, with their types, derived once from the event and the records themselves.

Everything that depends on a field's type comes from this table: the mapping in Elasticsearch, the comparison in SQL,
the reading of a value in a query. A field that two structs share has one type; that is checked when this loads.

Limits: texts of events are bounded by their type. A text of a record has no bound and is searchable up to
:data:`SEARCHABLE_MAX` characters. ``nsm.detail.<key>`` holds exact values only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from schoolwacht.errors import QueryError
from schoolwacht.event import Event
from schoolwacht_collector.index.port import DOCUMENTS, Kind
from schoolwacht_collector.records import RECORDS

#: A longer text of a record is kept but not found (three bytes a character stay below Lucene's 32,766 a term).
SEARCHABLE_MAX = 8191


class Type(StrEnum):
    """What the values of a field are. OPAQUE is stored and never searched."""

    KEYWORD = "keyword"
    IP = "ip"
    LONG = "long"
    DOUBLE = "double"
    DATE = "date"
    BOOLEAN = "boolean"
    FLATTENED = "flattened"
    OPAQUE = "opaque"


class Field(NamedTuple):
    """A field: its dotted name, type, whether it is a list, and the kinds of rows that have it.

    ``key`` is set for a value inside a flattened field: ``nsm.detail.ttl`` is the field ``nsm.detail``, key ``ttl``.
    ``bounded`` says whether its texts have a greatest length; ``wide`` that its times may lie before 1970 or after
    2262 (certificates), which costs them all below a millisecond in Elasticsearch.
    """

    name: str
    type: Type
    many: bool
    bounded: bool
    wide: bool
    kinds: frozenset[Kind]
    key: str | None = None

    @property
    def full_name(self) -> str:
        """The name that a query uses: with the key, if there is one."""
        return self.name if self.key is None else f"{self.name}.{self.key}"


# A JSON text and a list of objects: rows show them, no query compares them.
_OPAQUE = frozenset(
    {"delivery.body", "agent.schools", "prevalence.values", "ledger.said", "ledger.shed", "ledger.counted"}
)
_WIDE = frozenset(
    {"tls.server.not_before", "tls.server.not_after", "threat.indicator.valid_from", "threat.indicator.valid_until"}
)


def field(name: str) -> Field:
    """The field of that name. Raises QueryError with the nearest names if there is none."""
    if found := FIELDS.get(name):
        return found
    for flattened in _FLATTENED:
        prefix = f"{flattened}."
        if name.startswith(prefix) and len(name) > len(prefix):
            return FIELDS[flattened]._replace(key=name[len(prefix) :])
    near = suggestions(name)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/events.md lists them all"
    raise QueryError(f"there is no such field; {hint}", field=name)


def suggestions(name: str) -> list[str]:
    """Up to three field names that resemble ``name``: those that end in it first, then those spelled alike."""
    name = name.lower()
    ending = [known for known in FIELDS if known.endswith(f".{name}")]
    alike = difflib.get_close_matches(name, FIELDS, n=3, cutoff=0.7)
    return list(dict.fromkeys(ending + alike))[:3]


def of_kind(kind: Kind) -> Iterator[Field]:
    """The fields that rows of a kind can have, in the order of the struct."""
    return (known for known in FIELDS.values() if kind in known.kinds)


def _describe(name: str, info: inspect.Type, kinds: frozenset[Kind]) -> Field:
    info, extra = _unwrap(info, {})
    many = False
    if isinstance(info, (inspect.ListType, inspect.VarTupleType)):
        many = True
        info, extra = _unwrap(info.item_type, extra)
    bounded = not isinstance(info, inspect.StrType) or info.max_length is not None
    return Field(name, _type(name, info, extra), many, bounded, name in _WIDE, kinds)


def _unwrap(info: inspect.Type, extra: dict[str, Any]) -> tuple[inspect.Type, dict[str, Any]]:
    """Take metadata and ``| None`` off a type, collecting the metadata's ``extra``."""
    while True:
        if isinstance(info, inspect.Metadata):
            extra = extra | (info.extra or {})
            info = info.type
        elif isinstance(info, inspect.UnionType):
            (info,) = (member for member in info.types if not isinstance(member, inspect.NoneType))
        else:
            return info, extra


_TYPES: tuple[tuple[type[inspect.Type], Type], ...] = (
    (inspect.StrType, Type.KEYWORD),
    (inspect.EnumType, Type.KEYWORD),
    (inspect.BoolType, Type.BOOLEAN),
    (inspect.IntType, Type.LONG),
    (inspect.FloatType, Type.DOUBLE),
    (inspect.DateTimeType, Type.DATE),
    (inspect.DictType, Type.FLATTENED),
)


def _type(name: str, info: inspect.Type, extra: Mapping[str, Any]) -> Type:
    if name in _OPAQUE:
        return Type.OPAQUE
    if "type" in extra:
        return Type(extra["type"])
    for shape, kind in _TYPES:
        if isinstance(info, shape):
            return kind
    raise AssertionError(f"{name} has a type that no store can search: {info}")


def _all_fields() -> Mapping[str, Field]:
    structs: list[tuple[frozenset[Kind], type[msgspec.Struct]]] = [(DOCUMENTS, Event)]
    structs += [(frozenset({kind}), record) for kind, record in RECORDS.items()]
    found: dict[str, Field] = {}
    for kinds, struct in structs:
        info = inspect.type_info(struct)
        assert isinstance(info, inspect.StructType)
        for item in info.fields:
            here = _describe(item.encode_name, item.type, kinds)
            known = found.setdefault(here.name, here)
            if (known.type, known.many) != (here.type, here.many):
                raise AssertionError(f"{here.name} has two types: {known} and {here}")
            found[here.name] = known._replace(kinds=known.kinds | kinds, bounded=known.bounded and here.bounded)
    return MappingProxyType(found)


#: Every field by its name.
FIELDS: Mapping[str, Field] = _all_fields()
_FLATTENED = tuple(name for name, known in FIELDS.items() if known.type is Type.FLATTENED)

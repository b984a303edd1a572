"""The question: since when, and at how many schools and boards, is a value known. One ``get`` of the store.

:func:`ask` is what rules, scores and the look-up of an analyst use. Numbers of schools are estimates within one in a
hundred (:mod:`.sketch`).

Privacy: no client stands behind any of it. Where the caller may see some boards only, numbers below :data:`COHORT` are
not given (:func:`for_boards`), and no school is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from schoolwacht.domains import split
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.prevalence.buckets import Bucket, bucket_of
from schoolwacht_collector.prevalence.known import Arrival, Value, day_of
from schoolwacht_collector.records import PrevalenceBucket

DOMAIN, ADDRESS, JA3, JA4, CERTIFICATE, USER_AGENT = "domain", "address", "ja3", "ja4", "certificate", "user-agent"
#: What an agent's sighting may be of.
KINDS = (DOMAIN, ADDRESS, JA3, JA4, CERTIFICATE, USER_AGENT)
#: Made here: the ciphers' part of a JA4 (its b), which the releases of one program share.
JA4_CIPHERS = "ja4-ciphers"
#: A number of schools below this is not shown to those who may not see all of them.
COHORT = 5
#: The sighting in which a value of an indicator's type is found again.
OF_INDICATOR: Mapping[IndicatorType, str] = MappingProxyType(
    {
        IndicatorType.DOMAIN: DOMAIN,
        IndicatorType.ADDRESS: ADDRESS,
        IndicatorType.JA3: JA3,
        IndicatorType.JA4: JA4,
        IndicatorType.CERTIFICATE_SHA1: CERTIFICATE,
    }
)


class DayCount(NamedTuple):
    """Schools and boards of one day (ISO 8601, UTC)."""

    day: str
    schools: int
    boards: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a value. ``since``: the first sighting after a month without any; ``schools`` None: too few."""

    kind: str
    value: str
    first: datetime
    last: datetime
    since: datetime
    schools: int | None
    boards: int | None
    days: tuple[DayCount, ...] = ()
    #: The first schools at which it was seen since then, oldest first.
    early: tuple[Arrival, ...] = ()


async def ask(store: Store, kind: str, value: str) -> Answer | None:
    """What is known of a value of a kind, or None. A domain is asked for as its registrable one. Raises StoreError."""
    wanted = normal(kind, value)
    found = await store.get(Kind.PREVALENCE, bucket_of(kind, wanted))
    if found is None:
        return None
    assert isinstance(found.record, PrevalenceBucket)
    one = Bucket(found.record.id, found.record.values).values.get((kind, wanted))
    return None if one is None else answer_of(one)


async def ask_all(store: Store, value: str) -> list[Answer]:
    """What is known of a value, whatever its kind. Raises StoreError."""
    found = [await ask(store, kind, value) for kind in KINDS]
    return [answer for answer in found if answer is not None]


def answer_of(value: Value) -> Answer:
    """The numbers of a value."""
    known = value.known
    return Answer(
        kind=known.kind,
        value=known.value,
        first=known.first,
        last=known.last,
        since=known.since,
        schools=value.school_count,
        boards=value.board_count,
        days=tuple(DayCount(day_of(day), schools, boards) for day, schools, boards in [*known.days, value.today()]),
        early=tuple(sorted(known.early)),
    )


def for_boards(answer: Answer) -> Answer:
    """The answer for those who may see some boards only: no school is named, small numbers are left out."""
    few = answer.schools is None or answer.schools < COHORT
    return msgspec.structs.replace(
        answer,
        schools=None if few else answer.schools,
        boards=None if few else answer.boards,
        days=(),
        early=(),
    )


def normal(kind: str, value: str) -> str:
    """The value as a sighting has it."""
    if kind == DOMAIN:
        value = value.strip().rstrip(".").lower()
        return split(value)[0] or value
    return value.strip()

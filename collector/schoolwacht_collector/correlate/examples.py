"""A correlation rule against an example of its file, through the leader's own jobs and a store in memory.

An example is ``each``, the fields that every signal (with ``sighting.kind``: sighting) has, and how many of them:
``number`` at one school, or ``schools`` of ``boards``; ``vary`` names a field that differs in each, ``seconds`` the
time over which they are spread. ``events`` stand around them, ``after`` so many seconds; ``known`` is a value that the
sector knew before. Ten schools are connected. docs/correlation.md says what the rules make of it.

Promise: the counter of sightings and the correlator are those of the leader; only clock and store are the example's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schoolwacht.errors import RuleError
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.correlate.job import Correlator
from schoolwacht_collector.correlate.read import RuleFile
from schoolwacht_collector.correlate.signal import RULESET
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.prevalence.count import Counter
from schoolwacht_collector.query.ast import Equals
from schoolwacht_collector.records import Agent, Progress, School, Standpoint

_NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
_CONNECTED = 10
_COUNTING = timedelta(days=60)
#: A school that none of an example's signals is of.
_ELSEWHERE = 99


def raised(file: RuleFile, example: Mapping[str, Any]) -> bool:
    """Whether the example raises the rule. Raises RuleError for one that cannot be understood."""
    try:
        documents, known = _documents(example), _known(example)
    except (KeyError, TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
        message = f"is no example of a correlation rule: {error!r}; docs/correlation.md"
        raise RuleError(message, path=str(file.path)) from error
    return asyncio.run(_raised(file, documents, known))


async def _raised(file: RuleFile, documents: list[Event], known: list[Event]) -> bool:
    store = MemoryStore()
    now = max(event.timestamp for event in documents) + timedelta(seconds=5)
    begun = _NOW - _COUNTING
    await store.put(Kind.PROGRESS, Progress(id="prevalence-begun", timestamp=begun, until=begun), None)
    if known:
        await store.create(known)
    await store.create(documents)
    await store.put_many(Kind.AGENT, [_gateway(number, now) for number in range(_CONNECTED)])
    counter = Counter(store, clock=lambda: now)
    correlator = Correlator(store, (file.rule,), clock=lambda: now, counting_since=lambda: counter.begun)
    counter.on_change = correlator.seen
    await counter.look()
    await correlator.look()
    found = await store.search(Search(Kind.SIGNAL, Equals("rule.ruleset", RULESET), SECTOR, limit=100))
    return any(row["rule.id"] == file.rule.id for row in found.rows)


def _documents(example: Mapping[str, Any]) -> list[Event]:
    """The signals (or sightings) of an example, spread over its seconds, and the events around them."""
    number = int(example.get("schools", example.get("number", 1)))
    boards = int(example.get("boards", 1))
    made = []
    for place in range(max(1, number)):
        fields = dict(example["each"])
        if "vary" in example:
            fields[example["vary"]] = f"10.1.0.{place + 1}" if "entity" in example["vary"] else f"value {place}"
        dataset = Dataset.SIGHTING if "sighting.kind" in fields else Dataset.SIGNAL
        at = _NOW + timedelta(seconds=int(example["seconds"]) * place / max(1, number - 1))
        school, board = (place, place % boards) if "schools" in example else (0, 0)
        made.append(_document(f"{place:04}", fields, at=at, school=school, board=board, dataset=dataset))
    for place, event in enumerate(example.get("events", ())):
        fields = {name: value for name, value in event.items() if name not in {"after", "event.dataset"}}
        at = _NOW + timedelta(seconds=event["after"])
        made.append(_document(f"e{place}", fields, at=at, dataset=Dataset(event["event.dataset"])))
    return made


def _known(example: Mapping[str, Any]) -> list[Event]:
    """Sightings of a value before the example, at a school elsewhere."""
    if "known" not in example:
        return []
    known = example["known"]
    fields = {"sighting.kind": known["kind"], "sighting.value": known["value"]}
    return [
        _document(f"known-{day}", fields, at=_NOW - timedelta(days=day), arrived=_NOW, school=_ELSEWHERE,
                  dataset=Dataset.SIGHTING)
        for day in (int(known["days"]), 20, 1)
    ]  # fmt: skip


def _document(
    name: str,
    fields: Mapping[str, Any],
    *,
    at: datetime,
    dataset: Dataset,
    arrived: datetime | None = None,
    school: int = 0,
    board: int = 0,
) -> Event:
    row: dict[str, Any] = {
        "@timestamp": at.isoformat(),
        "event.dataset": dataset.value,
        "event.id": name,
        "event.ingested": (arrived or at).isoformat(),
        "organization.id": _board(board),
        "school.location": _location(school),
        "observer.name": f"agent-{school}",
    }
    if dataset is Dataset.SIGNAL:
        row |= {"rule.id": "1", "rule.name": "A rule", "rule.ruleset": "suricata", "signal.entity": "10.1.0.5",
                "signal.key": f"key-{school}-{fields.get('signal.detection')}", "signal.score": 40}  # fmt: skip
    return msgspec.convert(row | dict(fields), Event)


def _gateway(number: int, seen: datetime) -> Agent:
    return Agent(
        id=f"agent-{number}",
        timestamp=seen,
        key_hash="0" * 64,
        board=_board(number),
        schools=(School(location=_location(number), board=_board(number)),),
        standpoint=Standpoint.GATEWAY,
        last_seen=seen,
    )


def _board(number: int) -> str:
    return f"4{number:04}"


def _location(number: int) -> str:
    return f"{number % 100:02}AB{number // 100:02}"

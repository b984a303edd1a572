"""Dead letters brought back: read, changed where somebody repairs them, and put through the line once more.

Promise: a letter goes through the same steps as the batch it came in, under the same registration, epoch and sequence,
so that it gets the id it would have had: brought back twice, or sent again by its agent meanwhile, it is stored once. A
change goes through the same checks as everything that agents send, and cannot move an event to another school. What
came of each attempt is on disk before it is told, with who made it and why.

Limits: signals are matched with the indicators of now; times are judged by when the letter was written. The log of
attempts (``attempts.jsonl`` beside the letters) is this collector's own, as the letters are.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schoolwacht.errors import ConfigError, StoreError, WireError
from schoolwacht.event import Event
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import Verdict, encode_batch, open_batch
from schoolwacht_collector.dead_letters import Letter, read
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.prepare import Prepared, prepare, verdicts
from schoolwacht_collector.records import Agent
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.stamp import Bounds, Stamper

ATTEMPTS = "attempts.jsonl"
_NAMES = frozenset(Event.__struct_encode_fields__)


class Attempt(msgspec.Struct, frozen=True):
    """An attempt to bring a letter back: where that stands, who tried when and why, the changes, what came of it.

    ``changes`` are fields and their new values, None for one that was taken away.
    """

    place: str
    time: datetime
    by: str
    why: str
    changes: dict[str, Any]
    verdict: Verdict
    reason: str = ""


class Answer(NamedTuple):
    """What came of a letter."""

    verdict: Verdict
    reason: str = ""


def attempts(directory: Path) -> dict[str, Attempt]:
    """The last attempt at each place. Raises StoreError for a log that cannot be read."""
    path = directory / ATTEMPTS
    found: dict[str, Attempt] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", path=str(path)) from error
    for number, line in enumerate(lines, 1):
        try:
            attempt = msgspec.json.decode(line, type=Attempt)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(f"line {number} is no attempt: {error}", path=str(path)) from error
        found[attempt.place] = attempt
    return found


def is_back(place: str, done: Mapping[str, Attempt]) -> bool:
    """Whether the letter at that place was delivered since."""
    return place in done and done[place].verdict is Verdict.DELIVERED


def waiting(directory: Path) -> int:
    """How many letters were not brought back. Raises StoreError."""
    done = attempts(directory)
    return sum(not is_back(each.place, done) for each in read(directory))


def note(directory: Path, attempt: Attempt) -> None:
    """Keep an attempt durably. Raises StoreError."""
    path = directory / ATTEMPTS
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(attempt) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", path=str(path)) from error


def fields_of(letter: Letter) -> dict[str, Any]:
    """What a letter says, field by field, as it came. Raises WireError for bytes that are no event at all."""
    try:
        found = msgspec.msgpack.decode(letter.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WireError(f"its bytes are no MessagePack: {error}") from error
    if not isinstance(found, dict):
        raise WireError("its bytes are no map of fields")
    return {str(name): value for name, value in found.items()}


def change_of(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` as a change: JSON, or plain text where it is none; empty takes the field away.

    Raises ConfigError for a name that no event has.
    """
    name, equals, value = text.partition("=")
    if not equals or name not in _NAMES:
        raise ConfigError(f"{name!r} is no field of an event; docs/events.md lists them", field="--set")
    if not value:
        return name, None
    try:
        return name, msgspec.json.decode(value)
    except msgspec.MsgspecError:
        return name, value


def repaired(letter: Letter, changes: Mapping[str, Any]) -> Letter:
    """The letter with its fields changed; None takes one away. Raises WireError as :func:`fields_of`."""
    if not changes:
        return letter
    fields = {name: value for name, value in (fields_of(letter) | dict(changes)).items() if value is not None}
    return msgspec.structs.replace(letter, raw=msgspec.msgpack.encode(fields))


async def bring_back(
    letter: Letter,
    *,
    store: Store,
    secret: bytes,
    bounds: Bounds,
    indicators: IndicatorSet,
    now: datetime,
    rules: RuleSet | None = None,
) -> Answer:
    """Put one letter through the line. Raises StoreError if the store does not answer."""
    found = await store.get(Kind.AGENT, letter.agent)
    if found is None or not isinstance(found.record, Agent):
        return Answer(Verdict.REJECTED, f"there is no agent {letter.agent} any more")
    stamp = Stamper(found.record, secret, _then(bounds, now, letter)).batch(letter.epoch, now=now)
    try:
        opened = open_batch(encode_batch(letter.epoch, [letter.sequence], [letter.raw]))
    except WireError as error:
        return Answer(Verdict.REJECTED, error.message)
    prepared = _result(prepare(opened, stamp, indicators, rules))
    outcomes = await store.create(prepared.documents)
    result = verdicts(prepared, outcomes)
    return Answer(result.verdicts[0], result.reasons.get(0, ""))


def _then(bounds: Bounds, now: datetime, letter: Letter) -> Bounds:
    """The bounds of the day on which the letter was written."""
    past = None if bounds.past is None else bounds.past + max(now - letter.time, timedelta())
    return Bounds(bounds.future, past)


def _result(steps: Generator[None, None, Prepared]) -> Prepared:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Prepared = done.value
            return result


def chosen(places: Sequence[str], *, known: Sequence[str]) -> list[str]:
    """The places that were named. Raises ConfigError for one that there is not."""
    for place in places:
        if place not in known:
            raise ConfigError(f"there is no dead letter {place}; `deadletters list --all` names them")
    return list(places)

"""Bulk requests as bytes, and what an answer says of each item. Pure: nothing here talks to a cluster.

An item is created under its ``event.id`` in the index that follows from its own time. What the cluster says of it:
201 created; 409 was there, which is delivered; 400 can never be stored, save where the cluster itself is at fault;
everything else (429, 403 with a flood-stage block, 404, 5xx, no answer at all) is to be tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.elasticsearch.templates import dated_index
from schoolwacht_collector.index.port import Outcome

CREATED = Outcome(Verdict.DELIVERED, created=True)
THERE = Outcome(Verdict.DELIVERED, created=False)

_encoder = msgspec.json.Encoder()
#: Answers 400 that are about the cluster (its limit of shards), not about the item.
_CLUSTER_FAULTS = frozenset({"validation_exception", "invalid_index_name_exception", "cluster_block_exception"})


class Part(NamedTuple):
    """A bulk request: its body, where each item ends in it, and the items' places in the caller's list."""

    body: bytes
    ends: tuple[int, ...]
    places: tuple[int, ...]

    def halves(self) -> Iterator[Part]:
        """The same items in two requests."""
        return self.pieces((len(self.places) + 1) // 2)

    def pieces(self, items: int) -> Iterator[Part]:
        """The same items in requests of at most ``items`` each, in order."""
        cut = 0
        for first in range(0, len(self.places), items):
            ends = self.ends[first : first + items]
            yield Part(self.body[cut : ends[-1]], tuple(end - cut for end in ends), self.places[first : first + items])
            cut = ends[-1]


class Builder:
    """Collects events into one request after another. Never two at once: it reuses its buffer."""

    def __init__(self, prefix: str, *, items: int, size: int) -> None:
        self.prefix = prefix
        self.items = items
        self.size = size
        self._buffer = bytearray()
        self._ends: list[int] = []
        self._places: list[int] = []
        self._heads: dict[tuple[Dataset, date], bytes] = {}

    def add(self, place: int, event: Event) -> Part | None:
        """Take an event; a request if one is full now. Raises :class:`.documents.Unfit`, and has not taken it then."""
        documents.prepare(event)
        buffer = self._buffer
        start = len(buffer)
        try:
            buffer += self._head(event.event_dataset, event.timestamp.date())
            _encoder.encode_into(event.event_id, buffer, -1)
            buffer += b"}}\n"
            document = len(buffer)
            _encoder.encode_into(event, buffer, -1)
        except (UnicodeEncodeError, msgspec.MsgspecError, ValueError, OverflowError) as error:
            del buffer[start:]
            raise documents.Unfit(f"cannot be written as JSON: {error}") from error
        if buffer.find(b"\\u0000", document) >= 0:
            buffer[document:] = documents.encode(event)
        buffer += b"\n"
        self._ends.append(len(buffer))
        self._places.append(place)
        return self.flush() if len(self._ends) >= self.items or len(buffer) >= self.size else None

    def flush(self) -> Part | None:
        """What has been collected, or None."""
        if not self._ends:
            return None
        part = Part(bytes(self._buffer), tuple(self._ends), tuple(self._places))
        self._buffer.clear()
        self._ends.clear()
        self._places.clear()
        return part

    def _head(self, dataset: Dataset, day: date) -> bytes:
        head = self._heads.get((dataset, day))
        if head is None:
            if len(self._heads) > 4096:
                self._heads.clear()
            name = dated_index(self.prefix, dataset, day)
            head = self._heads[dataset, day] = f'{{"create":{{"_index":"{name}","_id":'.encode()
        return head


def outcomes(answer: Any, items: int) -> list[Outcome]:
    """The outcome of each item, in order. An answer that is short or strange leaves the items it does not cover RETRY.

    Args:
        answer: the decoded body of a bulk response.
        items: how many were sent.
    """
    answered = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(answered, list):
        return [retry("Elasticsearch gave no answer for the items")] * items
    found = [_outcome(item) for item in answered[:items]]
    return found + [retry("Elasticsearch gave no answer for this item")] * (items - len(found))


def overload(answer: Any, found: Sequence[Outcome]) -> str | None:
    """What the cluster said to the first item that it refused because it has too much to do (429); else None."""
    if all(outcome.verdict is not Verdict.RETRY for outcome in found):
        return None
    items = answer.get("items") if isinstance(answer, dict) else None
    for item, outcome in zip(items if isinstance(items, list) else (), found, strict=False):
        result = item.get("create") if isinstance(item, dict) else None
        if isinstance(result, dict) and result.get("status") == 429:
            return outcome.reason
    return None


def retry(reason: str) -> Outcome:
    """Not stored, or not known to be: to be sent again."""
    return Outcome(Verdict.RETRY, created=False, reason=reason)


def _outcome(item: Any) -> Outcome:
    result = item.get("create") if isinstance(item, dict) else None
    if not isinstance(result, dict):
        return retry("Elasticsearch gave no answer for this item")
    status = result.get("status")
    if status in (200, 201):
        return CREATED
    if status == 409:
        return THERE
    reason = f"Elasticsearch answered {status}: {explanation(result.get('error'))}"
    error = result.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    if status == 400 and kind not in _CLUSTER_FAULTS:
        return Outcome(Verdict.REJECTED, created=False, reason=reason)
    return retry(reason)


def explanation(error: Any) -> str:
    """What an error of Elasticsearch says, with its innermost cause, in one line of at most 500 characters."""
    if not isinstance(error, dict):
        return "no reason given" if error is None else str(error)[:500]
    text = f"{error.get('type')}: {error.get('reason')}"
    cause = error.get("caused_by")
    while isinstance(cause, dict):
        if not isinstance(cause.get("caused_by"), dict):
            text += f" ({cause.get('reason')})"
        cause = cause.get("caused_by")
    return " ".join(text.split())[:500]

"""From a batch to the documents that are stored, and from the store's outcomes to verdicts. Pure.

Promise: every item has exactly one verdict. DELIVERED means that the event *and* every signal made of it are stored; if
any of them must be tried again the item is RETRY; otherwise it is REJECTED with a reason. An item that breaks a step
is rejected alone. Limits: it runs in slices, so that an event loop can do other work in between. An event that
indicators hit has a signal, whatever else is in the batch; the second and further ones of all events together may
weigh :data:`FURTHER`, so that a small batch cannot become a large one here.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from schoolwacht.event import Dataset, Event
from schoolwacht.known_bad import MOST, RULESET
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import Opened, Verdict, decode_slices, encode_event
from schoolwacht_collector.index.port import Outcome
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.rules.signal import rule_signals
from schoolwacht_collector.rules.told import Once, Told
from schoolwacht_collector.signals import complete_signal, signals_of
from schoolwacht_collector.stamp import BatchStamp

#: What the second and further signals of the events of a batch may weigh together, as :attr:`Prepared.weight` counts.
FURTHER = 500

_REASON_MAX = 300
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Prepared:
    """A batch ready for the store.

    ``documents[i]`` (an event, or a signal made of it) belongs to the item at ``owners[i]``; an event stands before
    its signals. An agent's signal of an indicator gives way to the collector's own.
    ``rejected`` holds the reason, and ``raw`` the bytes, of the items that go no further.
    ``weight`` is what the signals weigh (one each, and one for each KiB of their event), ``further`` the part of it
    that is not the first of its event. ``unsignalled`` counts hits of indicators that got no signal of their own.
    ``once`` knows the signals among them that a rule gives once a day.
    """

    items: int
    documents: list[Event] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    raw: dict[int, bytes] = field(default_factory=dict)
    weight: int = 0
    further: int = 0
    unsignalled: int = 0
    once: Once = field(default_factory=Once)

    def reject(self, place: int, reason: str, raw: bytes) -> None:
        """Set an item aside."""
        self.rejected[place] = reason[:_REASON_MAX]
        self.raw[place] = raw

    def bytes_of(self, places: Sequence[int]) -> dict[int, bytes]:
        """The items at these places as they came, or (where the store rejected them) as they were to be stored."""
        found = {place: self.raw[place] for place in places if place in self.raw}
        wanted = set(places) - found.keys()
        if wanted:
            for document, owner in zip(self.documents, self.owners, strict=True):
                if owner in wanted and owner not in found:
                    found[owner] = encode_event(document)
        return found


@dataclass(slots=True)
class Verdicts:
    """What became of each item. ``created`` counts events that were not there before, ``signals`` new signals."""

    verdicts: list[Verdict]
    reasons: dict[int, str]
    created: int
    signals: int


def prepare(
    opened: Opened,
    stamp: BatchStamp,
    indicators: IndicatorSet,
    rules: RuleSet | None = None,
    told: Told | None = None,
) -> Generator[None, None, Prepared]:
    """Decode, stamp, complete and match the items of a batch; yields between slices and returns the result.

    Of the signals that a rule gives once a day those in ``told`` are in the store; no second one is made in a batch.
    """
    prepared = Prepared(len(opened.raws), once=Once(told))
    repeated = _repeated(opened.sequences)
    for part in decode_slices(opened):
        if part.start:
            yield
        for fault in part.faults:
            prepared.reject(fault.place, fault.reason, fault.raw)
        for place, event in enumerate(part.events, part.start):
            if event is None:
                continue
            sequence = opened.sequences[place]
            if place in repeated:
                prepared.reject(place, f"sequence {sequence} occurs twice in the batch", bytes(opened.raws[place]))
                continue
            try:
                reason = stamp.stamp(event, sequence)
                if reason is None:
                    _take(prepared, place, event, indicators, rules, size=len(opened.raws[place]))
            except Exception:  # the agent would send an event that breaks a step for ever: it is set aside
                _logger.exception("an event cannot be processed")
                _withdraw(prepared, place)
                reason = "the collector failed on this event; its log says more"
            if reason is not None:
                prepared.reject(place, reason, bytes(opened.raws[place]))
    return prepared


def verdicts(prepared: Prepared, outcomes: Sequence[Outcome]) -> Verdicts:
    """The verdict of each item from the outcomes of its documents."""
    answer = [Verdict.DELIVERED] * prepared.items
    reasons = dict(prepared.rejected)
    for place in reasons:
        answer[place] = Verdict.REJECTED
    created = signals = 0
    last = -1
    for document, owner, outcome in zip(prepared.documents, prepared.owners, outcomes, strict=True):
        if outcome.created:
            created += owner != last
            signals += document.event_dataset is Dataset.SIGNAL
        last = owner
        if outcome.verdict is Verdict.DELIVERED or answer[owner] is Verdict.RETRY:
            continue
        answer[owner] = outcome.verdict
        reasons[owner] = (outcome.reason or "the store gave no reason")[:_REASON_MAX]
    return Verdicts(answer, reasons, created, signals)


def remember(told: Told, prepared: Prepared, outcomes: Sequence[Outcome]) -> None:
    """Note which signals of rules that give one a day the store has now."""
    if prepared.once.made:
        for document, outcome in zip(prepared.documents, outcomes, strict=True):
            if outcome.verdict is Verdict.DELIVERED and document.event_id in prepared.once.made:
                told.add(document.event_id)


def _take(
    prepared: Prepared, place: int, event: Event, indicators: IndicatorSet, rules: RuleSet | None, *, size: int
) -> None:
    if event.event_dataset is Dataset.SIGNAL:
        complete_signal(event)
        # What an agent's own match was is looked up again: its word on an indicator is not taken.
        hits = indicators.look(event) if event.rule_ruleset == RULESET else []
    else:
        hits = indicators.match(event)
    if not hits or event.event_dataset is not Dataset.SIGNAL:
        prepared.documents.append(event)
        prepared.owners.append(place)
    if hits:
        # What a signal copies of its event is written once more by the store.
        each = 1 + (size >> 10)
        signals = signals_of(event, hits, most=min(MOST, 1 + max(0, FURTHER - prepared.further) // each))
        prepared.weight += len(signals) * each
        prepared.further += (len(signals) - 1) * each
        prepared.unsignalled += len(hits) - len(signals)
        prepared.documents.extend(signals)
        prepared.owners.extend([place] * len(signals))

    if rules is not None and (fitting := rules.match(event)):
        each = 1 + (size >> 10)
        # Of an event the gravest rule's signal is always made, further ones while the batch has room.
        fitting = fitting[: 1 + max(0, FURTHER - prepared.further) // each]
        made = rule_signals(event, fitting, prepared.once)
        prepared.weight += len(made) * each
        prepared.further += max(0, len(made) - 1) * each
        prepared.documents.extend(made)
        prepared.owners.extend([place] * len(made))


def _withdraw(prepared: Prepared, place: int) -> None:
    while prepared.owners and prepared.owners[-1] == place:
        prepared.owners.pop()
        prepared.documents.pop()


def _repeated(sequences: list[int]) -> frozenset[int]:
    """Places whose sequence number stood in the batch before."""
    if len(set(sequences)) == len(sequences):
        return frozenset()
    seen: set[int] = set()
    places: set[int] = set()
    for place, sequence in enumerate(sequences):
        if sequence in seen:
            places.add(place)
        seen.add(sequence)
    return frozenset(places)

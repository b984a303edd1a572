"""A set of Sigma rules at work: which of them an event fits, within a budget of time.

Promise: a rule that throws, or that takes longer than the budget on most events, is taken out with its reason, and the
others go on; the event at hand is not lost. Time is measured on a sample (one event in :data:`SAMPLE`): a rule is out
when more than half of its last :data:`WINDOW` samples were above the budget, so that a busy machine puts none out.
Limits: a set belongs to one thread. :data:`MOST` signals an event, those of the gravest rules.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.rules.compile import Function, Single, compiled, single
from schoolwacht_collector.rules.read import LEVELS
from schoolwacht_collector.rules.sigma import SigmaMatcher

SAMPLE, WINDOW = 64, 64
BUDGET_US = 25.0
MOST = 8
_NONE: list[SigmaMatcher] = []
_RANK = {level: rank for rank, level in enumerate(LEVELS)}
_logger = logging.getLogger(__name__)


class RuleSet:
    """Rules that match together.

    Args:
        matchers: the rules.
        budget_us: what one rule may take of one event, in microseconds.
        clock: nanoseconds.
    """

    def __init__(
        self,
        matchers: Sequence[SigmaMatcher],
        *,
        budget_us: float = BUDGET_US,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._budget = budget_us * 1000
        self._clock = clock
        self._matchers = list(matchers)
        self._singles: dict[str, Single] = {each.name: single(each.tree) for each in matchers}
        self._samples: dict[str, list[bool]] = {}
        self._left = SAMPLE
        #: Rules that were taken out, and why.
        self.removed: dict[str, str] = {}
        self._functions: dict[Dataset, Function] = compiled(self._matchers)

    @property
    def matchers(self) -> Sequence[SigmaMatcher]:
        """The rules that match now."""
        return self._matchers

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self._matchers)

    def match(self, event: Event) -> list[SigmaMatcher]:
        """The rules that an event fits, gravest first, at most :data:`MOST`."""
        function = self._functions.get(event.event_dataset)
        if function is None:
            return _NONE
        self._left -= 1
        if not self._left:
            self._left = SAMPLE
            self._measure(event)
            function = self._functions.get(event.event_dataset, _nothing)
        try:
            hits = function(event)
        except Exception:  # noqa: BLE001 - a rule must not stop the line, whatever it does
            hits = self._one_by_one(event)
        if len(hits) > 1:
            hits.sort(key=lambda each: (_RANK[each.rule.level], each.name))
            del hits[MOST:]
        return hits

    def _one_by_one(self, event: Event) -> list[SigmaMatcher]:
        hits = []
        for each in self._of(event):
            try:
                if self._singles[each.name](event):
                    hits.append(each)
            except Exception as error:  # noqa: BLE001 - see match
                self._remove(each, f"it fails: {type(error).__name__}: {error}")
        return hits

    def _measure(self, event: Event) -> None:
        for each in self._of(event):
            began = self._clock()
            try:
                self._singles[each.name](event)
            except Exception as error:  # noqa: BLE001 - see match
                self._remove(each, f"it fails: {type(error).__name__}: {error}")
                continue
            samples = self._samples.setdefault(each.name, [])
            samples.append(self._clock() - began > self._budget)
            if len(samples) == WINDOW:
                if sum(samples) * 2 > WINDOW:
                    self._remove(each, f"it takes more than {self._budget / 1000:g} µs of most events")
                samples.clear()

    def _of(self, event: Event) -> list[SigmaMatcher]:
        return [each for each in self._matchers if event.event_dataset in each.datasets]

    def _remove(self, matcher: SigmaMatcher, reason: str) -> None:
        self.removed[matcher.name] = reason
        self._matchers = [each for each in self._matchers if each is not matcher]
        self._functions = compiled(self._matchers)
        _logger.error("the rule %s (%s) is taken out: %s", matcher.name, matcher.rule.path, reason)


def _nothing(_event: Event) -> list[SigmaMatcher]:
    return []

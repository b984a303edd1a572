"""D18: one host calls another again and again at even intervals (ATT&CK T1071.001).

The figure is the coefficient of variation of the intervals (standard deviation by mean). Measured: beacons 0.09 and
0.16, Teams 0.90, films 2.31; password guessing 0.15, hence the pairs of D04 are left out. Two more scores in the manner
of RITA go with the signal, so that an analyst sees why: how even the intervals are around their median (Bowley skew and
median absolute deviation), and how even the sizes are.

Calls within a minute of each other are told, but as information: pages that reload and games do that, too. From
``low_seconds`` on it is low, from ``medium_seconds`` on medium.

Memory: 1 kB a pair and server name (64 starts and sizes), 8,192 of them. Kept out: conversations without an answer.
Source of the scores: RITA (Active Countermeasures), "beacon" analysis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import mean, median, pstdev, quantiles
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import opened_by_source, started, unanswered
from schoolwacht_agent.behave.names import DATASETS, ServerNames
from schoolwacht_agent.behave.password_guessing import PasswordGuessing
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import Ladder, Recent

RULE = Rule("D18", "Beacon", "Minor", "Medium", "T1071.001", "command and control")
_STARTS = 64


class BeaconSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.beacon]``."""

    flows: Annotated[int, Meta(ge=5, le=_STARTS, description="D18: conversations of one pair and server name.")] = 20
    variation: Annotated[float, Meta(gt=0, le=1, description="D18: coefficient of variation at most.")] = 0.2
    low_seconds: Annotated[float, Meta(gt=0, description="D18: mean interval from which it is low, seconds.")] = 60
    medium_seconds: Annotated[float, Meta(gt=0, description="D18: mean interval from which it is medium, seconds.")] = (
        600
    )


class Scores(NamedTuple):
    """Why it looks like a beacon, each from 0 to 1 save the mean (seconds) and the variation."""

    mean: float
    variation: float
    interval: float
    size: float


class _Calls:
    __slots__ = ("ladder", "sizes", "starts", "total")

    def __init__(self) -> None:
        self.starts: deque[float] = deque(maxlen=_STARTS)
        self.sizes: deque[int] = deque(maxlen=_STARTS)
        self.ladder = Ladder()
        self.total = 0


class Beacon:
    """Detector D18."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW}) | DATASETS

    def __init__(self, settings: BeaconSettings, guessing: PasswordGuessing, names: ServerNames) -> None:
        self._settings = settings
        self._guessing = guessing
        self._names = names
        self._calls: Recent[tuple[str | None, str | None, int | None, str | None], _Calls] = Recent(8192, _Calls)

    def see(self, event: Event) -> Iterator[Event]:
        """Signals that this flow completes; a TLS event tells the server name of the flow that ends later."""
        if event.event_dataset is not Dataset.FLOW:
            self._names.hear(event)
            return
        if event.network_direction is not Direction.OUTBOUND or unanswered(event) or not opened_by_source(event):
            return
        if self._guessing.guessed(event):
            return
        name = self._names.of(event)
        calls = self._calls.of((event.source_ip, event.destination_ip, event.destination_port, name))
        calls.starts.append(started(event))
        calls.sizes.append(event.source_bytes or 0)
        calls.total += 1
        if len(calls.starts) >= self._settings.flows:
            yield from self._judge(event, calls, name)

    def _judge(self, event: Event, calls: _Calls, name: str | None) -> Iterator[Event]:
        settings = self._settings
        scores = score(sorted(calls.starts), calls.sizes)
        if scores is None or scores.variation > settings.variation:
            return
        at = calls.starts[-1]
        if not calls.ladder.speaks(calls.total, settings.flows, at, quiet=20 * scores.mean):
            return
        where = f"{name} ({event.destination_ip})" if name else f"{event.destination_ip}"
        message = (
            f"{event.source_ip} called {where} {calls.total} times, every {scores.mean:.0f} s "
            f"(coefficient of variation {scores.variation:.2f})"
        )
        yield raise_signal(
            RULE,
            event,
            message,
            first=min(calls.starts),
            severity="Minor" if scores.mean >= settings.low_seconds else "Informational",
            confidence="Medium" if scores.mean >= settings.medium_seconds else "Low",
            detail={
                "flows": calls.total,
                "mean_seconds": scores.mean,
                "variation": scores.variation,
                "interval_score": scores.interval,
                "size_score": scores.size,
                "server_name": name,
            },
        )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._calls,)


def score(starts: Sequence[float], sizes: Iterable[int]) -> Scores | None:
    """Scores of calls that began at ``starts`` (seconds, sorted) with ``sizes`` bytes; None below three calls."""
    intervals = [later - earlier for earlier, later in pairwise(starts)]
    if len(intervals) < 2 or not any(intervals):
        return None
    average = mean(intervals)
    return Scores(
        average, pstdev(intervals) / average, _evenness(intervals, 30.0), _evenness(list(map(float, sizes)), 32.0)
    )


def _evenness(values: Sequence[float], spread: float) -> float:
    """1 for values that lie evenly and closely around their median; ``spread`` is a deviation that scores nothing."""
    low, middle, high = quantiles(values, n=4)
    skew = abs((low + high - 2 * middle) / (high - low)) if high > low else 0.0
    deviation = median(abs(value - middle) for value in values)
    return ((1 - min(skew, 1.0)) + (1 - min(deviation / spread, 1.0))) / 2

"""D18: one host calls another again and again at even intervals (ATT&CK T1071.001).

The figure is the coefficient of variation of the intervals (standard deviation by mean), of the last 64 calls of one
host, destination, port and server name. Measured: beacons 0.09 and 0.16, Teams 0.90, films 2.31; password guessing
0.15, hence the pairs of D04 are left out. Calls every ``low_seconds`` (a minute) or slower are low; every
``medium_seconds`` (ten minutes) or slower, to something that at most ``rare_hosts`` hosts of the school call, medium.
Faster ones are told as information, if rare: pages that reload and games do that, too.

Why it looks like a beacon goes with the signal as scores from 0 to 1 in the manner of RITA: *timestamp* and *size* (how
evenly intervals and sizes lie around their median: Bowley skew and median absolute deviation), *histogram* (how evenly
the calls spread over the time they took), *duration* (for how much of twelve hours they have gone on), and their mean.

Kept out: conversations without an answer; time and name servers (ports 123 and 53), which are asked evenly by design.
Update servers and chat call evenly, too: many hosts of a school do, so they are not rare.
Source of the scores: RITA (Active Countermeasures), "beacon" analysis; deviations are relative to the median here.

Memory (measured): 0.2 kB a host, destination and name that show no regularity in four calls, 65,536 of them; 1.6 kB
with 64 calls one that does, 8,192 of them; 0.3 kB a destination for who calls it, 8,192.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import dist, sqrt
from statistics import fmean, median, quantiles
from typing import Annotated, ClassVar, NamedTuple

from msgspec import Meta, Struct

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import opened_by_source, started, unanswered
from schoolwacht_agent.behave.names import DATASETS, ServerNames
from schoolwacht_agent.behave.password_guessing import PasswordGuessing
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import Ladder, Recent

RULE = Rule("D18", "Beacon", "Minor", "Medium", "T1071.001", "command and control")
_STARTS = 64
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_FLOW = Dataset.FLOW
_OUT = frozenset({Direction.OUTBOUND, Direction.EXTERNAL})
_TIMED = frozenset({53, 123})
#: Calls after which it is seen whether they may be regular at all, and the variation above which they are not.
_PROBE, _REGULAR = 4, 1.0
_PERSISTENT = 12 * 3600.0
_BINS = 24


class BeaconSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.beacon]``."""

    flows: Annotated[int, Meta(ge=5, le=_STARTS, description="D18: conversations of one pair and server name.")] = 20
    variation: Annotated[float, Meta(gt=0, le=1, description="D18: coefficient of variation at most.")] = 0.2
    low_seconds: Annotated[float, Meta(gt=0, description="D18: mean interval from which it is low, seconds.")] = 60
    medium_seconds: Annotated[float, Meta(gt=0, description="D18: mean interval from which it is medium, seconds.")] = (
        600
    )
    rare_hosts: Annotated[
        int, Meta(ge=1, le=64, description="D18: what more hosts of the school call is not rare, and low at most.")
    ] = 5


_Key = tuple[str | None, str | None, int | None, str | None]


class Scores(NamedTuple):
    """Why it looks like a beacon: the mean interval in seconds, its variation, and scores from 0 to 1."""

    mean: float
    variation: float
    timestamp: float
    size: float
    histogram: float
    duration: float

    @property
    def total(self) -> float:
        """The mean of the four scores."""
        return fmean((self.timestamp, self.size, self.histogram, self.duration))


class _Calls:
    __slots__ = ("first", "ladder", "sizes", "starts", "total")

    def __init__(self) -> None:
        #: The last calls: when they began and what they sent.
        self.starts = array("d")
        self.sizes = array("d")
        self.ladder = Ladder()
        self.first = float("inf")
        self.total = 0

    def add(self, start: float, size: int) -> None:
        """Take in a call."""
        self.starts.append(start)
        self.sizes.append(size)
        if len(self.starts) > _STARTS:
            del self.starts[0]
        if len(self.sizes) > _STARTS:
            del self.sizes[0]
        self.first = min(self.first, start)
        self.total += 1


class Beacon:
    """Detector D18."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW}) | DATASETS

    def __init__(self, settings: BeaconSettings, guessing: PasswordGuessing, names: ServerNames) -> None:
        self._settings = settings
        self._guessing = guessing
        self._names = names
        #: When those called lately that have not shown any regularity, by the hash of who called whom.
        self._young: Recent[int, array[float]] = Recent(65_536, lambda: array("d"))
        #: Those that have.
        self._calls: Recent[_Key, _Calls] = Recent(8192, _Calls)
        #: Who calls a domain or address, a few more than are rare.
        self._callers: Recent[str | None, set[str | None]] = Recent(8192, set)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes; a TLS event tells the server name of the flow that ends later."""
        if event.event_dataset is not _FLOW:
            self._names.hear(event)
            return ()
        # A capture of a school whose networks nobody named has external conversations only.
        if event.network_direction not in _OUT or event.destination_port in _TIMED or not event.destination_port:
            return ()
        if unanswered(event) or not opened_by_source(event) or self._guessing.guessed(event):
            return ()
        name = self._names.of(event)
        key = (event.source_ip, event.destination_ip, event.destination_port, name)
        calls = self._calls.find(key)
        if calls is None:
            self._watch(event, key)
            return ()
        calls.add(started(event), event.source_bytes or 0)
        if len(calls.starts) < self._settings.flows:
            return ()
        return self._judge(event, calls, name)

    def _watch(self, event: Event, key: _Key) -> None:
        """Keep of those that show no regularity only when they last called: a school has tens of thousands of them."""
        number = hash(key)
        young = self._young.of(number)
        if not young:
            self._called(event, key[3])
        young.append(started(event))
        if len(young) < _PROBE:
            return
        if evenness(sorted(young))[1] > _REGULAR:
            del young[0]
            return
        self._young.drop(number)
        calls = self._calls.of(key)
        calls.starts, calls.first, calls.total = young, min(young), len(young)
        calls.sizes.append(event.source_bytes or 0)

    def _called(self, event: Event, name: str | None) -> None:
        callers = self._callers.of(_whom(event, name))
        if len(callers) <= self._settings.rare_hosts:
            callers.add(event.source_ip)

    def _judge(self, event: Event, calls: _Calls, name: str | None) -> Iterator[Event]:
        settings = self._settings
        starts = sorted(calls.starts)
        mean, variation = evenness(starts)
        if variation > settings.variation:
            return
        callers = len(self._callers.of(_whom(event, name)))
        rare = callers <= settings.rare_hosts
        if mean < settings.low_seconds and not rare:
            return
        if not calls.ladder.speaks(calls.total, settings.flows, calls.starts[-1], quiet=20 * mean):
            return
        scores = score(starts, calls.sizes, since=calls.first)
        where = f"{name} ({event.destination_ip})" if name else f"{event.destination_ip}"
        message = (
            f"{event.source_ip} called {where} {calls.total} times, every {mean:.0f} s "
            f"(coefficient of variation {variation:.2f}, beacon score {scores.total:.2f})"
        )
        yield raise_signal(
            RULE,
            event,
            message,
            first=calls.first,
            severity="Minor" if mean >= settings.low_seconds else "Informational",
            confidence="Medium" if mean >= settings.medium_seconds and rare else "Low",
            detail={
                "flows": calls.total,
                "mean_seconds": mean,
                "variation": variation,
                "timestamp_score": scores.timestamp,
                "size_score": scores.size,
                "histogram_score": scores.histogram,
                "duration_score": scores.duration,
                "score": scores.total,
                "callers": f"more than {settings.rare_hosts}" if not rare else callers,
                "server_name": name,
            },
        )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._young, self._calls, self._callers, self._names)


def _whom(event: Event, name: str | None) -> str | None:
    return (split(name)[0] or name) if name else event.destination_ip


def evenness(starts: Sequence[float]) -> tuple[float, float]:
    """Mean and coefficient of variation of the intervals between sorted moments; infinitely uneven if all are one."""
    number = len(starts) - 1
    mean = (starts[-1] - starts[0]) / number if number > 0 else 0.0
    if mean <= 0:
        return 0.0, float("inf")
    square = dist(starts[1:], starts[:-1]) ** 2 / number
    return mean, sqrt(max(0.0, square - mean * mean)) / mean


def score(starts: Sequence[float], sizes: Iterable[float], *, since: float) -> Scores:
    """Scores of calls that began at ``starts`` (seconds, sorted, at least three) and sent ``sizes`` bytes.

    Args:
        starts: the last calls.
        sizes: what they sent, in any order.
        since: when the first call of all was.
    """
    mean, variation = evenness(starts)
    intervals = [later - earlier for earlier, later in pairwise(starts)]
    return Scores(
        mean,
        variation,
        _closeness(intervals),
        _closeness(list(sizes)),
        _flatness(starts),
        min(1.0, (starts[-1] - since) / _PERSISTENT),
    )


def _closeness(values: Sequence[float]) -> float:
    """1 for values that lie symmetrically and closely around their median; a deviation of the median's size is 0."""
    low, middle, high = quantiles(values, n=4)
    skew = abs((low + high - 2 * middle) / (high - low)) if high > low else 0.0
    deviation = median(abs(value - middle) for value in values)
    apart = deviation / middle if middle > 0 else float(deviation > 0)
    return ((1 - min(skew, 1.0)) + (1 - min(apart, 1.0))) / 2


def _flatness(starts: Sequence[float]) -> float:
    """1 if the calls spread evenly over the time they took: one less the variation of the counts of equal parts."""
    parts = max(4, min(_BINS, len(starts) // 4))
    width = (starts[-1] - starts[0]) / parts
    if width <= 0:
        return 0.0
    counts = [0] * parts
    for start in starts:
        counts[min(parts - 1, int((start - starts[0]) / width))] += 1
    average = len(starts) / parts
    return max(0.0, 1 - sqrt(fmean((count - average) ** 2 for count in counts)) / average)

"""D31: the school gets far more packets from outside than it asked for or than is usual (ATT&CK T1498).

Counted are packets of conversations that outsiders opened, in slots of ten seconds: what is fetched from inside
(updates, films) does not count, nor the tail of a conversation whose beginning nobody saw. It is a flood when for
``seconds`` (two minutes) without a break the packets per second exceed

* ``least_packets``,
* the median of the hour before, by eight median absolute deviations, and
* three times the 99th percentile that is usual at this hour of the week (:mod:`.baseline`), where that is known.

With less than five minutes before it, a flood must be five times as high and weighs less. It is told when it begins,
when it is ten times as high, and when it has been over for five minutes.

Limits: an engine tells of a conversation when it ends, so a flood of one single conversation is told late; its packets
are spread evenly over its duration.

Memory (measured): 1.2 kB a school, 39 kB one that gets unasked packets all the time; 512 schools (a sensor at a school
has one).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from statistics import median
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.flows import asked_for, started
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import Heaviest, Ladder, Recent

RULE = Rule("D31", "Inbound flood", "Major", "Medium", "T1498", "denial of service")
SLOT = 10
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_INBOUND = Direction.INBOUND
_KEPT = 540
_REFERENCE = 360
#: Slots of quiet that a threshold can be founded on; without them it is ``_COLD`` times as high.
_FOUNDED, _COLD = 30, 5
_DEVIATIONS, _TIMES_USUAL = 8, 3
#: Slots below the threshold after which a flood is over: flows are told late.
_OVER = 30
_HOUR_SLOTS = 3600 // SLOT


class InboundFloodSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.inbound_flood]``."""

    seconds: Annotated[int, Meta(ge=10, le=3600, description="D31: how long it must go on, seconds.")] = 120
    least_packets: Annotated[
        int, Meta(ge=1, description="D31: packets a second from outside, below which nothing is a flood.")
    ] = 1000


class _Flood:
    """A flood that goes on: its slots, the highest rate, the threshold it exceeded."""

    __slots__ = ("first", "founded", "last", "peak", "threshold", "usual")

    def __init__(self, first: int, last: int, peak: int) -> None:
        self.first, self.last, self.peak = first, last, peak
        self.threshold = 0.0
        self.usual = 0.0
        self.founded = True


class InboundFlood:
    """Detector D31."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW})

    def __init__(self, settings: InboundFloodSettings, baselines: Baselines) -> None:
        self._schools: Recent[str | None, _School] = Recent(512, lambda: _School(settings, baselines))
        self._last: tuple[str | None, _School] | None = None

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes."""
        location = event.school_location
        if self._last is None or self._last[0] != location:
            self._last = (location, self._schools.of(location))
        return self._last[1].see(event)

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._schools,)


class _School:
    """One school's slots; a sensor at a school has one, one on a shared path hundreds."""

    def __init__(self, settings: InboundFloodSettings, baselines: Baselines) -> None:
        self._location = ""
        self._least = settings.least_packets * SLOT
        self._long = ceil(settings.seconds / SLOT)
        self._baselines = baselines
        self._slots: dict[int, int] = {}
        #: The count at which a slot is judged next.
        self._due: dict[int, float] = {}
        self._first = self._newest = self._hour = 0
        self._targets, self._sources = Heaviest(), Heaviest()
        self._flood: _Flood | None = None
        self._ladder = Ladder()

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow of the school completes."""
        slot = int(event.timestamp.timestamp()) // SLOT
        if slot > self._newest:
            self._advance(slot, event)
            flood = self._flood
            if flood is not None and slot > flood.last + _OVER:
                self._flood = None
                return (self._signal(event, flood, over=True), *self._count(event, slot))
        if event.network_direction is not _INBOUND or asked_for(event):
            return ()
        return self._count(event, slot)

    def _advance(self, slot: int, event: Event) -> None:
        if not self._newest:
            self._location = event.school_location or ""
            self._first, self._hour = slot, slot // _HOUR_SLOTS
        if self._slots.get(self._newest, 0) < self._least and self._flood is None:
            self._targets.clear()
            self._sources.clear()
        self._newest = slot
        # Flows are told late: an hour is closed a quarter later.
        while self._hour < (slot - _HOUR_SLOTS // 4) // _HOUR_SLOTS:
            if self._first <= self._hour * _HOUR_SLOTS:
                counts = sorted(self._slots.get(one, 0) for one in self._span(self._hour))
                figure = counts[int(0.99 * len(counts))]
                self._baselines.most(RULE.id, self._location, self._hour * 3600, figure)
            self._hour = max(self._hour + 1, (slot - _KEPT) // _HOUR_SLOTS)
        if len(self._slots) > _KEPT:
            self._slots = {one: count for one, count in self._slots.items() if one > slot - _KEPT}
            self._due = {one: count for one, count in self._due.items() if one > slot - _KEPT}

    @staticmethod
    def _span(hour: int) -> range:
        return range(hour * _HOUR_SLOTS, (hour + 1) * _HOUR_SLOTS)

    def _count(self, event: Event, last: int) -> Iterator[Event]:
        packets = event.source_packets or 0
        if event.network_direction is not _INBOUND or not packets or asked_for(event):
            return
        self._targets.add(event.destination_ip or "", packets)
        self._sources.add(event.source_ip or "", packets)
        first = max(int(started(event)) // SLOT, self._newest - _KEPT + 1)
        share, rest = divmod(packets, max(1, last - first + 1))
        for slot in range(first, last + 1) if share else range(last, last + 1):
            count = self._slots[slot] = self._slots.get(slot, 0) + share + (rest if slot == last else 0)
            if count >= self._due.get(slot, self._least):
                yield from self._judge(event, slot, count)

    def _judge(self, event: Event, slot: int, count: int) -> Iterator[Event]:
        flood = self._around(slot)
        self._due[slot] = max(count + 1, flood.threshold, 1.5 * count if count > flood.threshold else 0)
        if count <= flood.threshold or flood.last - flood.first + 1 < self._long:
            return
        if self._flood is not None and flood.first <= self._flood.last + _OVER:
            flood.first, flood.peak = min(flood.first, self._flood.first), max(flood.peak, self._flood.peak)
        self._flood = flood
        if self._ladder.speaks(flood.peak // SLOT, 1, float(flood.last * SLOT), _OVER * SLOT):
            yield self._signal(event, flood, over=False)

    def _around(self, slot: int) -> _Flood:
        """The unbroken run of high slots around one, and the threshold that makes them high."""
        slots, start = self._slots, slot
        while slots.get(start - 1, 0) >= self._least:
            start -= 1
        before = [slots.get(one, 0) for one in range(max(self._first, start - _REFERENCE), start)]
        threshold, middle = float(self._least), 0.0
        if before:
            middle = median(before)
            threshold = max(threshold, middle + _DEVIATIONS * median(abs(count - middle) for count in before))
        founded = len(before) >= _FOUNDED
        usual = self._baselines.usual_with_quiet_days(RULE.id, self._location, float(slot * SLOT))
        if usual is not None:
            threshold = max(threshold, _TIMES_USUAL * usual)
        elif not founded:
            threshold *= _COLD
        first = last = slot
        while slots.get(first - 1, 0) > threshold:
            first -= 1
        while slots.get(last + 1, 0) > threshold:
            last += 1
        flood = _Flood(first, last, max(slots.get(one, 0) for one in range(first, last + 1)))
        flood.threshold, flood.usual, flood.founded = threshold, usual if usual is not None else middle, founded
        return flood

    def _signal(self, event: Event, flood: _Flood, *, over: bool) -> Event:
        target, packets = self._targets.largest()
        source, from_source = self._sources.largest()
        total = max(1, self._targets.total)
        seconds = (flood.last - flood.first + 1) * SLOT
        message = (
            f"{flood.peak // SLOT} packets/s from outside for {seconds} s, usually {flood.usual / SLOT:.0f}; "
            f"{100 * min(packets, total) // total} % of them to {target}"
        )
        if over:
            message = f"The flood is over: {message}"
        alone = from_source * 10 >= total * 9
        signal = raise_signal(
            RULE,
            event,
            message,
            first=float(flood.first * SLOT),
            confidence=None if flood.founded else "Low",
            port=False,
            detail={
                "packets_per_second": flood.peak // SLOT,
                "usual_packets_per_second": flood.usual / SLOT,
                "threshold_packets_per_second": flood.threshold / SLOT,
                "seconds": seconds,
                "state": "over" if over else "going on",
            },
        )
        signal.network_direction, signal.destination_ip = _INBOUND, target
        signal.source_ip, signal.source_mac = source if alone else None, None
        signal.network_transport = signal.network_protocol = None
        return signal

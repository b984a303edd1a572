"""Suricata, and beside it our own reader for what Suricata does not give: ARP (before version 8) and capture loss.

Nothing is counted twice. Of our reader's events only those pass whose records Suricata does not write; if it writes one
after all (somebody else's Suricata 8), ours of that kind end. Packets, drops and events are Suricata's, of the reader
come only the figures of the sample of TCP connections, and none of those while its own ring drops.

Live, a filter in the kernel lets only ARP and a 64th of the TCP connections through to the reader, so that it costs
next to nothing; it is looked at between Suricata's records, in the same thread. Of a capture file only the ARP is read.

Both engines stop and fail together, save that Suricata goes on without a reader that fails on the way, which is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from schoolwacht.errors import CaptureError, SourceError
from schoolwacht.event import TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.config import SourceTable
from schoolwacht_agent.sources import bpf, packets, suricata
from schoolwacht_agent.sources.packets import PacketsSource
from schoolwacht_agent.sources.port import Counters, Source

MODULE = "agent"
#: A 64th of the connections, both directions of each: what both have in common decides.
SAMPLE = (
    "(ip and tcp and ((ip[14:2] + ip[18:2] + tcp[0:2] + tcp[2:2]) & 63 = 0))"
    " or (ip6 and ip6[6] = 6 and ((ip6[22:2] + ip6[38:2] + ip6[40:2] + ip6[42:2]) & 63 = 0))"
)
RESTRICTED = f"arp or {SAMPLE}"


def missing(settings: SourceTable) -> str | None:
    """Why both cannot run here together, in plain words; None if they can."""
    if settings.suricata.eve and not settings.interface:
        return "source.interface is not set, so that our own reader has nothing to read"
    reason = suricata.missing(settings) or packets.missing(settings)
    return reason or (bpf.hindrance() if settings.interface else None)


def sees(settings: SourceTable) -> frozenset[Dataset]:
    """What either gives."""
    return suricata.sees(settings) | packets.sees(settings)


def offline(capture: Path, settings: SourceTable) -> BothSource:
    """A capture file through Suricata, and its ARP through our reader. Raises SourceError."""
    own = PacketsSource.from_files([capture], settings.packets, only_arp=True)
    return BothSource(suricata.offline(capture, settings), own, _added(settings), live=False)


def live(settings: SourceTable, state: Path, mark: bytes) -> BothSource:
    """The interface, with Suricata's files where Suricata alone would have them. Raises SourceError."""
    expression = f"({settings.filter}) and ({RESTRICTED})" if settings.filter else RESTRICTED
    own = PacketsSource.from_interface(
        settings.interface, settings.packets, expression=expression, sample=1, waits=False
    )
    main = suricata.live(settings, state.with_name("suricata"), mark)
    return BothSource(main, own, _added(settings), live=True)


def _added(settings: SourceTable) -> frozenset[Dataset]:
    return packets.sees(settings) - suricata.sees(settings) - {Dataset.HEALTH}


class BothSource:
    """Two sources as one (see ``sources/port.py``).

    Args:
        main: Suricata's; mark, time and order are its.
        own: ours.
        added: datasets that only ours gives.
        live: whether ours never waits and is asked once for each list; else it is merged by time.
    """

    def __init__(self, main: Source, own: Source, added: frozenset[Dataset], *, live: bool) -> None:
        self.counters = Counters()
        self._main = main
        self._own = own
        self._added = set(added)
        self._beside: _Beside = _Beside(own) if live else _Merged(own)
        self._extra = 0
        self._sample = _Sample()

    def read(self) -> Iterator[list[Event]]:
        """See the port."""
        fault = None
        # Ours opens at once and so looks while Suricata starts.
        if more := self._beside.take([]):
            yield self._joined([], more)
        try:
            for events in self._main.read():
                self._added.difference_update(event.event_dataset for event in events)
                yield self._joined(events, self._beside.take(events))
        except SourceError as error:
            # What our reader found before belongs to what could be read.
            fault = error
        yield self._joined([], self._beside.rest())
        if fault is not None:
            raise fault

    def mark(self) -> bytes:
        """Suricata's: packets of the interface cannot be read again."""
        return self._main.mark()

    def stop(self) -> None:
        """See the port."""
        self._main.stop()
        self._own.stop()

    def _joined(self, events: list[Event], own: list[Event]) -> list[Event]:
        more = [event for event in own if event.event_dataset in self._added or event.event_module == MODULE]
        self._extra += len(more)
        main, counters = self._main.counters, self.counters
        counters.packets, counters.bytes, counters.dropped = main.packets, main.bytes, main.dropped
        counters.events, counters.evicted = main.events + self._extra, main.evicted
        counters.behind = main.behind
        counters.tcp_sessions, counters.tcp_gaps = main.tcp_sessions, main.tcp_gaps
        counters.rules, counters.rules_failed = main.rules, main.rules_failed
        counters.tcp_bytes, counters.tcp_missing = self._sample.of(self._own.counters)
        counters.invalid.update(main.invalid)
        if self._own.counters.dropped:
            counters.invalid["own reader: dropped"] = self._own.counters.dropped
        return events + more if more else events


class _Sample:
    """The figures of the sample of TCP connections, less those of moments in which our own ring dropped."""

    def __init__(self) -> None:
        self._last = (0, 0, 0)
        self._bytes = self._missing = 0

    def of(self, own: Counters) -> tuple[int, int]:
        """Bytes seen and missing so far."""
        now = (own.tcp_bytes, own.tcp_missing, own.dropped)
        seen, missing, dropped = (new - old for new, old in zip(now, self._last, strict=True))
        self._last = now
        if not dropped:
            self._bytes += seen
            self._missing += missing
        return self._bytes, self._missing


class _Beside:
    """Our reader at the interface, which gives at once what it has."""

    def __init__(self, own: Source) -> None:
        self._own = own
        self._reading: Iterator[list[Event]] | None = None
        self._ended = False

    def take(self, events: list[Event]) -> list[Event]:
        """Its events until now; ``events`` are Suricata's."""
        del events
        found: list[Event] = []
        while more := self._next():
            found += more
        return found

    def rest(self) -> list[Event]:
        """Its last events."""
        self._own.stop()
        found: list[Event] = []
        while (more := self._next()) is not None:
            found += more
        return found

    def _next(self) -> list[Event] | None:
        """The next list; None after the last."""
        if self._ended:
            return None
        if self._reading is None:
            self._reading = self._own.read()
        try:
            return next(self._reading)
        except StopIteration:
            self._ended = True
            return None
        except CaptureError:
            # Of a file: Suricata reads the same one, and names what is wrong with it.
            self._ended = True
            return None
        except SourceError as error:
            self._ended = True
            return [_told(error)]


class _Merged(_Beside):
    """Our reader of a file: what it gives is held until Suricata's events are as far."""

    def __init__(self, own: Source) -> None:
        super().__init__(own)
        self._held: list[Event] = []

    def take(self, events: list[Event]) -> list[Event]:
        """Its events up to the last of Suricata's in time."""
        if not events:
            return []
        until = max(event.timestamp for event in events)
        while not self._held or self._held[-1].timestamp <= until:
            more = self._next()
            if more is None:
                break
            self._held += more
        place = next((n for n, event in enumerate(self._held) if event.timestamp > until), len(self._held))
        ready, self._held = self._held[:place], self._held[place:]
        return ready

    def rest(self) -> list[Event]:
        """What is left of the file."""
        found, self._held = self._held, []
        while (more := self._next()) is not None:
            found += more
        return found


def _told(error: SourceError) -> Event:
    text = f"our own packet reader has ended, so ARP and capture loss are not seen: {error}"
    return Event(
        datetime.now(UTC), Dataset.HEALTH, MODULE, health_condition="reader-ended", message=clip(text, TEXT_MAX)
    )

"""Whether the agent sees what it should: looks every few seconds, so that blindness is told within a minute.

What is judged, and when it is an alarm:

* packets that the kernel, the ring or the engine dropped: 1 % of those of the time since the last figures;
* what TCP connections sent and nobody saw (sequence numbers), which also shows what was lost before it came here: 1 %
  of the bytes of the sampled connections, or five gaps in a hundred connections as Suricata counts them;
* silence: no packet for 40 s; an interface that is down or gone: at once;
* one-sided traffic: of the last 100 TCP connections that were under way (or of those of a minute, 20 at least), a fifth
  was seen in one direction only. An unanswered SYN is a scan or a dead host, and counts as no connection;
* a clock that was set by more than two seconds; a disk with less than 64 MiB left; signatures that did not load.

Limits: figures of Suricata come with its statistics, so an alarm is that much later. A clock that drifts is no jump;
``doctor`` compares it with the collector's.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.health import Condition, Finding
from schoolwacht_agent.sources.port import Counters

#: Share of lost packets, and of missing bytes, that is an alarm.
LOSS = 0.01
#: Suricata's gaps for each TCP connection that are an alarm.
GAPS = 0.05
SILENT_SECONDS = 40.0
#: Bytes that a sample of TCP needs before it is judged: one lost segment of ten is no percentage.
SAMPLE_BYTES = 1 << 20
SAMPLE_SESSIONS = 100
ONE_SIDED = 0.2
ONE_SIDED_FLOWS, ONE_SIDED_LEAST, ONE_SIDED_SECONDS = 100, 20, 60.0
CLOCK_SECONDS = 2.0
DISK_LEAST = 64 << 20
_ACK = 0x10


class Moment(NamedTuple):
    """The clocks at one moment: seconds since 1970, and seconds that only grow (asleep, too)."""

    wall: float
    boot: float

    @classmethod
    def now(cls) -> Moment:
        """Right now."""
        return cls(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


class Sight:
    """Judges a source by its counters and its flows.

    Args:
        counters: of the source.
        interface: its name; empty if the source reads a file.
        state: the state directory, whose disk is looked at.
        begun: the moment of the start.
        interfaces: where the kernel shows them.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        interface: str,
        state: Path,
        begun: Moment | None = None,
        interfaces: Path = Path("/sys/class/net"),
    ) -> None:
        self._counters = counters
        self._interface = interface
        self._interfaces = interfaces
        self._state = state
        self._last = begun or Moment.now()
        self._heard = self._last.boot
        self._packets, self._dropped = counters.packets, counters.dropped
        self._tcp = (counters.tcp_bytes, counters.tcp_missing)
        self._sessions = (counters.tcp_sessions, counters.tcp_gaps)
        self._flows = self._one_sided = 0
        self._flows_since = self._last.boot
        self._kept: dict[Condition, Finding] = {}

    def see(self, events: Iterable[Event]) -> None:
        """Count the directions of TCP connections."""
        for event in events:
            if event.event_dataset is not Dataset.FLOW or event.network_transport != "tcp":
                continue
            up, down = event.source_packets, event.destination_packets
            if up and down:
                self._flows += 1
            elif _is_under_way(event.nsm_flow_source_tcp_flags if up else event.nsm_flow_destination_tcp_flags):
                self._flows += 1
                self._one_sided += 1

    def look(self, now: Moment | None = None) -> list[Finding]:
        """What is wrong now."""
        now = now or Moment.now()
        found = [
            *self._clock(now), *self._interface_state(), *self._silence(now), *self._loss(), *self._missing(),
            *self._gaps(), *self._sides(now), *self._rules(), *self._disk(),
        ]  # fmt: skip
        self._last = now
        return found

    def _clock(self, now: Moment) -> Iterable[Finding]:
        jump = (now.wall - self._last.wall) - (now.boot - self._last.boot)
        if abs(jump) > CLOCK_SECONDS:
            yield Finding(Condition.CLOCK, jump, f"the clock was set by {jump:+,.0f} s")

    def _interface_state(self) -> Iterable[Finding]:
        if not self._interface:
            return
        place = self._interfaces / self._interface
        try:
            state = (place / "operstate").read_text(encoding="ascii").strip()
        except OSError:
            if self._interfaces.exists():
                text = f"there is no interface {self._interface}"
                yield Finding(Condition.INTERFACE, 1.0, text)
            return
        if state not in {"up", "unknown"}:
            yield Finding(Condition.INTERFACE, 1.0, f"the interface {self._interface} is {state}")

    def _silence(self, now: Moment) -> Iterable[Finding]:
        if self._counters.packets != self._packets:
            self._heard = now.boot
        silence = now.boot - self._heard
        if silence >= SILENT_SECONDS:
            yield Finding(Condition.SILENT, silence, f"no packet for {silence:.0f} s")

    def _loss(self) -> Iterable[Finding]:
        packets, dropped = self._counters.packets - self._packets, self._counters.dropped - self._dropped
        self._packets, self._dropped = self._counters.packets, self._counters.dropped
        found = None
        if dropped > 0 and dropped >= LOSS * (packets + dropped):
            percent = 100.0 * dropped / (packets + dropped)
            found = Finding(Condition.DROPPING, percent, f"{percent:.1f} % of the packets were dropped")
        return self._keep(Condition.DROPPING, found, judged=packets > 0 or dropped > 0)

    def _missing(self) -> Iterable[Finding]:
        seen, missing = self._counters.tcp_bytes - self._tcp[0], self._counters.tcp_missing - self._tcp[1]
        if seen + missing < SAMPLE_BYTES:
            return self._keep(Condition.CAPTURE_LOSS, None, judged=False)
        self._tcp = (self._counters.tcp_bytes, self._counters.tcp_missing)
        found = None
        if missing >= LOSS * (seen + missing):
            percent = 100.0 * missing / (seen + missing)
            text = f"{percent:.1f} % of what TCP connections sent was never seen"
            found = Finding(Condition.CAPTURE_LOSS, percent, text)
        return self._keep(Condition.CAPTURE_LOSS, found, judged=True)

    def _gaps(self) -> Iterable[Finding]:
        sessions, gaps = self._counters.tcp_sessions - self._sessions[0], self._counters.tcp_gaps - self._sessions[1]
        if sessions < SAMPLE_SESSIONS:
            return self._keep(Condition.GAPS, None, judged=False)
        self._sessions = (self._counters.tcp_sessions, self._counters.tcp_gaps)
        found = None
        if gaps >= GAPS * sessions:
            share = 100.0 * gaps / sessions
            found = Finding(Condition.GAPS, share, f"{share:.0f} gaps in a hundred TCP connections")
        return self._keep(Condition.GAPS, found, judged=True)

    def _sides(self, now: Moment) -> Iterable[Finding]:
        waited = now.boot - self._flows_since >= ONE_SIDED_SECONDS
        if self._flows < ONE_SIDED_FLOWS and not (waited and self._flows >= ONE_SIDED_LEAST):
            return self._keep(Condition.ONE_SIDED, None, judged=False)
        share = self._one_sided / self._flows
        self._flows = self._one_sided = 0
        self._flows_since = now.boot
        found = None
        if share >= ONE_SIDED:
            percent = 100.0 * share
            text = f"{percent:.0f} % of the TCP connections were seen in one direction only"
            found = Finding(Condition.ONE_SIDED, percent, text)
        return self._keep(Condition.ONE_SIDED, found, judged=True)

    def _rules(self) -> Iterable[Finding]:
        failed, loaded = self._counters.rules_failed, self._counters.rules
        if failed:
            yield Finding(Condition.RULES, failed, f"{failed:,} of {failed + loaded:,} signatures did not load")

    def _disk(self) -> Iterable[Finding]:
        try:
            free = shutil.disk_usage(self._state).free
        except OSError:
            return
        if free < DISK_LEAST:
            yield Finding(Condition.DISK, free / (1 << 20), f"{free >> 20} MiB are left on the disk of {self._state}")

    def _keep(self, condition: Condition, found: Finding | None, *, judged: bool) -> Iterable[Finding]:
        """What was found last holds until there are new figures to judge by."""
        if judged:
            self._kept.pop(condition, None)
            if found is not None:
                self._kept[condition] = found
        return [self._kept[condition]] if condition in self._kept else []


def _is_under_way(flags: str | None) -> bool:
    """Whether a lone direction belongs to a connection that both ends took part in: it acknowledges something."""
    try:
        value = int(flags or "", 16)
    except ValueError:
        return False
    # RST alone, with or without ACK, answers a stray packet.
    return bool(value & _ACK) and not value & 0x04

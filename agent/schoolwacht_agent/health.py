"""What the agent says of itself: health events for the collector, and beats for ``status`` and the supervisor.

A health event carries totals since the start. Its ``health.condition`` is ``ok`` or what is wrong; if several things
are wrong there is an event for each, the first with the totals. ``nsm.detail`` has every figure by name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.spool import Report

MODULE = "agent"
#: Share of lost packets in a period at which the school counts as half blind.
DROPPING = 0.01


class Condition(StrEnum):
    """What can be wrong with an agent (``health.condition``); ``health.value`` says how much."""

    OK = "ok"
    #: Percent of the packets of the period that were dropped.
    DROPPING = "dropping"
    #: Seconds without a packet.
    SILENT = "silent"
    #: Events that the spool lost in the period.
    LOSING = "losing"
    #: Events that were set aside in the period, because no collector takes them.
    REJECTED = "rejected"
    #: Seconds for which the disk refused events and the source was held back.
    HELD = "held"
    #: Restarts of a part of the agent.
    RESTARTED = "restarted"
    #: Lines of the mapping that stays in use, because the file was refused.
    MAPPING = "mapping"


class Finding(NamedTuple):
    """Something that is wrong, how much, and in plain words."""

    condition: Condition
    value: float
    text: str


class Health:
    """Makes the health events of the capturing process.

    Args:
        counters: of the source.
        live: whether silence is wrong.
    """

    def __init__(self, counters: Counters, *, live: bool = True) -> None:
        self._counters = counters
        self._live = live
        self._began = time.monotonic()
        self._packets = counters.packets
        self._dropped = counters.dropped
        self._last_packet = self._began
        self._report: Report | None = None
        self._held = 0.0

    def hold(self, seconds: float) -> None:
        """The source was held back for so long."""
        self._held += seconds

    def events(
        self, report: Report | None, *, troubles: Sequence[Finding] = (), figures: Mapping[str, int] | None = None
    ) -> list[Event]:
        """The health events of the period since the last call.

        Args:
            report: of the spool.
            troubles: what else is wrong, found elsewhere.
            figures: totals of other parts, by name.
        """
        findings = [*self._findings(report), *troubles]
        self._packets, self._dropped = self._counters.packets, self._counters.dropped
        self._report, self._held = report or self._report, 0.0
        now = datetime.now(UTC)
        first, *others = findings or [Finding(Condition.OK, 0.0, "the agent works")]
        return [self._totals(now, first, report, figures or {}), *(said(finding, now) for finding in others)]

    def _findings(self, report: Report | None) -> list[Finding]:
        found = []
        packets, dropped = self._counters.packets - self._packets, self._counters.dropped - self._dropped
        if dropped > 0 and dropped >= DROPPING * (packets + dropped):
            percent = 100.0 * dropped / (packets + dropped)
            found.append(Finding(Condition.DROPPING, percent, f"{percent:.1f} % of the packets were dropped"))
        now = time.monotonic()
        if packets or not self._live:
            self._last_packet = now
        else:
            silence = now - self._last_packet
            found.append(Finding(Condition.SILENT, silence, f"no packet for {silence:.0f} s: is the mirror port up?"))
        if self._held:
            text = f"the disk refused events for {self._held:.0f} s and the source was held back"
            found.append(Finding(Condition.HELD, self._held, text))
        return found + _spool_findings(report, self._report)

    def _totals(self, now: datetime, finding: Finding, report: Report | None, more: Mapping[str, int]) -> Event:
        counters = self._counters
        event = said(finding, now)
        event.health_packets = counters.packets
        event.health_dropped = counters.dropped
        event.health_evicted = counters.evicted
        event.health_invalid = sum(counters.invalid.values())
        event.health_memory_bytes = memory_bytes()
        event.health_uptime_seconds = int(time.monotonic() - self._began)
        figures = {"source.events": counters.events, "source.bytes": counters.bytes}
        figures |= {f"invalid.{reason}": count for reason, count in counters.invalid.items()}
        if report is not None:
            figures |= {
                "spool.bytes": report.bytes,
                "spool.waiting": report.waiting,
                "uplink.delivered": report.delivered,
                "uplink.rejected": report.rejected,
            }
            figures |= {f"lost.{name}": count for name, count in report.lost.items()}
        figures |= more
        event.nsm_detail = {name[:256]: str(count) for name, count in list(figures.items())[:64]}
        return event


def said(finding: Finding, now: datetime) -> Event:
    """A finding as a health event."""
    condition, value, text = finding
    return Event(
        now,
        Dataset.HEALTH,
        event_module=MODULE,
        health_condition=condition.value,
        health_value=value,
        message=text,
    )


def _spool_findings(report: Report | None, before: Report | None) -> list[Finding]:
    if report is None:
        return []
    lost = sum(report.lost.values()) - (sum(before.lost.values()) if before else 0)
    rejected = report.rejected - (before.rejected if before else report.rejected)
    found = []
    if lost > 0:
        found.append(Finding(Condition.LOSING, lost, f"the spool lost {lost} events"))
    if rejected > 0:
        found.append(
            Finding(Condition.REJECTED, rejected, f"{rejected} events were set aside: no collector takes them")
        )
    return found


def memory_bytes() -> int:
    """Resident memory of this process."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Beat(msgspec.Struct, frozen=True):
    """What a part of the agent last said: its process, what it does, and its figures."""

    part: str
    pid: int
    since: datetime
    #: What hinders it, in plain words; empty if nothing does.
    hindrance: str = ""
    figures: dict[str, int] = {}


class Beats:
    """The file that a part of the agent touches while it lives: ``STATE/status/PART.json``."""

    def __init__(self, state: Path, part: str) -> None:
        self._path = beat_path(state, part)
        self._beat = Beat(part, os.getpid(), datetime.now(UTC))
        self._due = 0.0

    def beat(self, *, hindrance: str | None = None, now: bool = False, **figures: int) -> None:
        """Say that this part lives; writes at most every two seconds, or ``now``. Never raises."""
        self._beat = msgspec.structs.replace(
            self._beat,
            hindrance=self._beat.hindrance if hindrance is None else hindrance,
            figures=self._beat.figures | figures,
        )
        if time.monotonic() < self._due and not now:
            return
        self._due = time.monotonic() + 2.0
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.encode(self._beat))
            new.replace(self._path)
        except OSError:
            # A full disk: an old file with a new time still says that we live.
            with suppress(OSError):
                os.utime(self._path)


def beat_path(state: Path, part: str) -> Path:
    """Where a part's beats are."""
    return state / "status" / f"{part}.json"


def last_beat(state: Path, part: str) -> tuple[Beat, float] | None:
    """A part's last beat and its age in seconds; None if it never lived here."""
    path = beat_path(state, part)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Beat), max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, msgspec.MsgspecError):
        return None

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
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from schoolwacht.account import DETAIL, Account, encode_account
from schoolwacht.event import LIST_MAX, Dataset, Event
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.spool import Report

MODULE = "agent"


class Condition(StrEnum):
    """What can be wrong with an agent (``health.condition``); ``health.value`` says how much."""

    OK = "ok"
    #: Percent of the packets of the period that were dropped.
    DROPPING = "dropping"
    #: Percent of what TCP connections sent that was never seen.
    CAPTURE_LOSS = "capture-loss"
    #: Gaps in a hundred TCP connections.
    GAPS = "gaps"
    #: Percent of the TCP connections that were seen in one direction only.
    ONE_SIDED = "one-sided"
    #: Seconds without a packet.
    SILENT = "silent"
    #: The interface is down or gone.
    INTERFACE = "interface"
    #: Seconds for which nothing was captured, because the agent or its engine did not run.
    BLIND = "blind"
    #: Events of the period that were not kept, because the agent could not keep up.
    SHEDDING = "shedding"
    #: Seconds by which the clock was set.
    CLOCK = "clock"
    #: MiB that are left on the disk.
    DISK = "disk"
    #: Signatures that did not load.
    RULES = "rules"
    #: Events that the spool lost in the period.
    LOSING = "losing"
    #: Events that were set aside in the period, because no collector takes them.
    REJECTED = "rejected"
    #: Attempts to capture that failed, one after the other.
    UNABLE = "unable"
    #: Events that were seen and not kept, because the capture ended at once.
    CUT = "cut"
    #: Seconds for which the disk refused events and the source was held back.
    HELD = "held"
    #: Restarts of a part of the agent.
    RESTARTED = "restarted"
    #: Lines of the mapping that stays in use, because the file was refused.
    MAPPING = "mapping"
    #: Captures that made the decoding of evidence fail, since the start.
    QUARANTINED = "quarantined"
    #: Indicators that stay in use, because another set was refused.
    INDICATORS = "indicators"


_MIRROR = "look at the mirror port: a switch that mirrors more than the port carries drops the rest"
#: What to do about a condition, in plain words.
REMEDIES: MappingProxyType[Condition, str] = MappingProxyType(
    {
        Condition.DROPPING: "give the ring more room (ring_mib) or the engine more processors (threads)",
        Condition.CAPTURE_LOSS: _MIRROR,
        Condition.GAPS: _MIRROR,
        Condition.ONE_SIDED: "let the switch mirror both directions of the port",
        Condition.SILENT: "look whether the mirror port is configured and its cable is in",
        Condition.INTERFACE: "plug the cable in, or: ip link set INTERFACE up",
        Condition.BLIND: "nothing, if the agent was restarted on purpose; else look in its log why it ended",
        Condition.SHEDDING: "a faster machine, less traffic on the mirror port, or source.filter",
        Condition.CLOCK: "switch time synchronisation on: timedatectl set-ntp true",
        Condition.DISK: "make room, or lower spool.max_bytes",
        Condition.RULES: "look in the log of the engine which signatures it refuses",
        Condition.LOSING: "raise spool.max_bytes, or look why nothing is delivered",
        Condition.REJECTED: "the reasons stand in the file spool/rejected of the state directory",
        Condition.UNABLE: "`schoolwacht-agent doctor` at the gateway says what to do",
        Condition.CUT: "look in the agent's log and the kernel's why the capture ended (killed for memory, power cut)",
        Condition.HELD: "make room on the disk, or look in the kernel's log what it says of it",
        Condition.RESTARTED: "look in the agent's log why it ended",
        Condition.MAPPING: "correct the file; it is read again by itself",
        Condition.INDICATORS: "look at `schoolwacht-agent indicators show`; `confirm` takes a smaller set",
        Condition.QUARANTINED: "keep tshark up to date; the packets lie in evidence/kept/quarantine below the state",
    }
)


class Finding(NamedTuple):
    """Something that is wrong, how much, and in plain words."""

    condition: Condition
    value: float
    text: str


class Health:
    """Makes the health events of the capturing process.

    Args:
        counters: of the source.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._began = time.monotonic()
        self._report: Report | None = None
        self._held = 0.0

    def hold(self, seconds: float) -> None:
        """The source was held back for so long."""
        self._held += seconds

    def events(
        self,
        report: Report | None,
        *,
        troubles: Sequence[Finding] = (),
        figures: Mapping[str, int] | None = None,
        account: Account | None = None,
    ) -> list[Event]:
        """The health events of the period since the last call.

        Args:
            report: of the spool.
            troubles: what else is wrong, found elsewhere.
            figures: totals of other parts, by name.
            account: of the spool, for the collector's ledger.
        """
        findings = [*self._findings(report), *troubles]
        self._report, self._held = report or self._report, 0.0
        now = datetime.now(UTC)
        first, *others = findings or [Finding(Condition.OK, 0.0, "the agent works")]
        totals = self._totals(now, first, report, figures or {})
        if account is not None:
            others_of_it = list((totals.nsm_detail or {}).items())[: LIST_MAX - 1]
            totals.nsm_detail = {DETAIL: encode_account(account), **dict(others_of_it)}
        return [totals, *(said(finding, now) for finding in others)]

    def _findings(self, report: Report | None) -> list[Finding]:
        found = []
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


class Trouble(msgspec.Struct, frozen=True):
    """Something that is wrong, for people."""

    condition: str
    text: str
    remedy: str = ""


def trouble(finding: Finding) -> Trouble:
    """A finding for people."""
    return Trouble(finding.condition.value, finding.text, REMEDIES.get(finding.condition, ""))


class Beat(msgspec.Struct, frozen=True):
    """What a part of the agent last said: its process, what it does, and its figures."""

    part: str
    pid: int
    since: datetime
    #: What hinders it, in plain words; empty if nothing does.
    hindrance: str = ""
    figures: dict[str, int] = {}
    #: What is wrong though it works, in plain words, each with what to do about it.
    troubles: list[Trouble] = []


class Beats:
    """The file that a part of the agent touches while it lives: ``STATE/status/PART.json``."""

    def __init__(self, state: Path, part: str) -> None:
        self._path = beat_path(state, part)
        last = last_beat(state, part)
        #: What this part said last in its life before this one.
        self.before = None if last is None else last[0]
        self._beat = Beat(part, os.getpid(), datetime.now(UTC))
        self._due = 0.0

    def runs(self, figure: str) -> dict[str, int]:
        """A figure of this life and of the one before, by when they began: the last beat is as good as a report."""
        lives = [self._beat] if self.before is None else [self.before, self._beat]
        return {life.since.isoformat(): life.figures.get(figure, 0) for life in lives}

    def beat(
        self,
        *,
        hindrance: str | None = None,
        troubles: Sequence[Finding] | None = None,
        now: bool = False,
        **figures: int,
    ) -> None:
        """Say that this part lives; writes at most every two seconds, or ``now``. Never raises."""
        self._beat = msgspec.structs.replace(
            self._beat,
            hindrance=self._beat.hindrance if hindrance is None else hindrance,
            troubles=self._beat.troubles if troubles is None else [trouble(one) for one in troubles],
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

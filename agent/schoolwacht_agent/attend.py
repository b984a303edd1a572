"""Looks after a capture between two lists of events: beats, health events, files that change, and the load.

Something new that is wrong is told at once, what lasts again in every report (``agent.health_seconds``), each with a
figure. What was wrong for a moment of the period stands in its report.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from schoolwacht.account import Account
from schoolwacht.event import Event
from schoolwacht_agent.health import Beats, Condition, Finding, Health, said
from schoolwacht_agent.shed import Shed
from schoolwacht_agent.sight import Sight
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.spool import Report, account, look
from schoolwacht_agent.standpoint.port import Standpoint

log = logging.getLogger(__name__)

#: Seconds between two looks at what may have changed.
LOOK_SECONDS = 1.0
#: Looks at counters and interface come every so many seconds: a second of traffic says little.
SIGHT_SECONDS = 5.0


class Attendant:
    """Looks after one capture.

    Args:
        source: what is captured from.
        standpoint: whose the traffic is.
        sight: judges the source.
        shed: decides what is not kept.
        beats: where this part says that it lives.
        spool: directory of the spool.
        period: seconds between two reports.
        parent: the process whose end ends this one, if there is one.
        figures: of what else has some, by name, for the report.
    """

    def __init__(
        self,
        source: Source,
        standpoint: Standpoint,
        sight: Sight,
        shed: Shed,
        beats: Beats,
        *,
        spool: Path,
        period: float,
        parent: int | None = None,
        figures: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self._figures = figures
        self._source = source
        self._standpoint = standpoint
        self._sight = sight
        self._shed = shed
        self._beats = beats
        self._spool = spool
        self._period = period
        self._parent = parent
        self._health = Health(source.counters)
        self._open: dict[Condition, Finding] = {}
        self._now: dict[Condition, Finding] = {}
        began = time.monotonic()
        self._report_due = began + period
        self._look_due = 0.0
        self._sight_due = began + SIGHT_SECONDS
        self.stop: Callable[[], None] = source.stop
        beats.beat(now=True)

    def tell(self, finding: Finding) -> None:
        """Put something that happened into the next report, and tell it at the next look."""
        self._open[finding.condition] = finding

    def attend(self) -> list[Event]:
        """Called after each list; the health events that are due."""
        if self._parent is not None and os.getppid() != self._parent:
            log.warning("the supervisor is gone; stopping")
            self._parent = None
            self.stop()
        now = time.monotonic()
        told: list[Event] = []
        if now >= self._look_due:
            self._look_due = now + LOOK_SECONDS
            self._beat("")
            self._shed.weigh(now)
            told = [said(finding, datetime.now(UTC)) for finding in [*self._standpoint.attend(), *self._see(now)]]
        if now >= self._report_due:
            self._report_due = now + self._period
            told += self._report()
        return told

    def hold(self, seconds: float) -> None:
        """The disk refused; the source was held back for so long."""
        self._health.hold(seconds)
        self._beat("the spool cannot be written; the source is held back")

    def _see(self, now: float) -> list[Finding]:
        """What is newly wrong."""
        if now < self._sight_due:
            return []
        self._sight_due = now + SIGHT_SECONDS
        found = {finding.condition: finding for finding in self._sight.look()}
        found |= {finding.condition: finding for finding in self._shed.finding()}
        new = [finding for condition, finding in found.items() if condition not in self._now]
        for condition, finding in found.items():
            worst = self._open.get(condition)
            if worst is None or abs(finding.value) >= abs(worst.value):
                self._open[condition] = finding
        self._now = found
        for finding in new:
            log.warning("%s", finding.text)
        return new

    def _report(self) -> list[Event]:
        self._open |= {finding.condition: finding for finding in self._shed.finding()}
        self._shed.begin_period()
        troubles = [*self._open.values(), *self._standpoint.troubles()]
        self._open = dict(self._now)
        figures = self._standpoint.figures() | self._shed.figures() | self._figures()
        self._beat("")
        return self._health.events(self._spooled(), troubles=troubles, figures=figures, account=self._account())

    def _beat(self, hindrance: str) -> None:
        counters = self._source.counters
        self._beats.beat(
            hindrance=hindrance,
            troubles=[*self._now.values(), *self._standpoint.troubles()],
            packets=counters.packets,
            dropped=counters.dropped,
            events=counters.events,
            evicted=counters.evicted,
            invalid=sum(counters.invalid.values()),
            shed=sum(self._shed.counts.values()),
            unknown=self._standpoint.figures().get("unknown.events", 0),
        )

    def _account(self) -> Account | None:
        with suppress(OSError):
            found = account(self._spool)
            shed = {run: count for run, count in self._beats.runs("shed").items() if count}
            return None if found is None else replace(found, shed=shed)
        return None

    def _spooled(self) -> Report | None:
        with suppress(OSError):
            return look(self._spool)
        return None

"""What the agent on this machine does right now: ``schoolwacht-agent status``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from schoolwacht_agent.app import CAPTURE, FORWARDER, spool_of
from schoolwacht_agent.config import Settings
from schoolwacht_agent.evidence.open import open_store
from schoolwacht_agent.evidence.store import Report as Evidence
from schoolwacht_agent.health import Beat, Trouble, last_beat
from schoolwacht_agent.indicators.command import describe
from schoolwacht_agent.spool import Report, look
from schoolwacht_agent.unable import REMEDY, read

#: A part whose beat is older, in seconds, does not run.
STALE = 30.0


class PartStatus(msgspec.Struct, frozen=True):
    """One part: whether it runs, since when, what hinders it, and its totals since it started."""

    runs: bool
    since: datetime | None = None
    hindrance: str = ""
    figures: dict[str, int] = {}
    #: What it does not see or not keep, and what to do about it.
    troubles: list[Trouble] = []
    #: Why it cannot work at all, since when and after how many attempts; empty if it can.
    unable: str = ""


class Status(msgspec.Struct, frozen=True):
    """The whole agent. ``last_delivery`` is None if nothing was ever delivered from this spool."""

    agent: str
    capture: PartStatus
    forwarder: PartStatus
    spool: Report | None
    last_delivery: datetime | None
    evidence: Evidence | None = None
    #: What known bad is matched here: number, version, and what waits to be confirmed.
    indicators: dict[str, object] = {}

    @property
    def problems(self) -> list[str]:
        """What is wrong, in plain words; empty if nothing is."""
        found = []
        for name, part in ((CAPTURE, self.capture), (FORWARDER, self.forwarder)):
            if part.unable:
                found.append(f"the {name} {part.unable}: {REMEDY}")
            elif not part.runs:
                found.append(f"the {name} does not run")
            else:
                found += [part.hindrance] if part.hindrance else []
                found += [f"{one.text}: {one.remedy}" if one.remedy else one.text for one in part.troubles]
        if "refused" in self.indicators:
            found.append(
                f"a set of {self.indicators['refused']} indicators was refused, for it is less than half of the one in "
                "use: `schoolwacht-agent indicators confirm` if it is meant"
            )
        return found


def status_of(settings: Settings) -> Status:
    """Read the status. Raises OSError if the state directory cannot be read."""
    state = Path(settings.agent.state)
    report = look(spool_of(settings))
    settled = report.settled_at if report is not None else 0.0
    return Status(
        settings.agent.name,
        _part(state, CAPTURE),
        _part(state, FORWARDER),
        report,
        datetime.fromtimestamp(settled, UTC) if settled else None,
        open_store(settings.evidence, state).report() if settings.evidence.enabled else None,
        describe(state),
    )


def lines(status: Status) -> list[str]:
    """The status for people."""
    shown = [f"agent      {status.agent}"]
    for name, part in ((CAPTURE, status.capture), (FORWARDER, status.forwarder)):
        figures = ", ".join(f"{count:,} {figure}" for figure, count in part.figures.items() if count)
        running = f"runs since {_moment(part.since)}" if part.runs and part.since else "does not run"
        shown.append(f"{name:10} {running}{f': {figures}' if figures else ''}")
    report = status.spool
    if report is None:
        shown.append("spool      none yet")
    else:
        size = report.bytes / (1 << 20)
        shown.append(
            f"spool      {size:.1f} MiB, {report.signals.waiting:,} signals and {report.events.waiting:,} events wait"
        )
        shown.append(f"delivered  {report.delivered:,}; set aside {report.rejected:,}")
        for name, count in report.lost.items():
            shown.append(f"lost       {count:,} {name}")
        if status.last_delivery is not None:
            age = time.time() - status.last_delivery.timestamp()
            shown.append(f"last delivery {age:,.0f} s ago ({_moment(status.last_delivery)})")
    if status.evidence is not None and status.evidence.bytes:
        kept, quarantined = status.evidence.kept, status.evidence.quarantined
        held = f"evidence   {kept:,} pieces, {status.evidence.bytes / (1 << 20):.1f} MiB"
        shown.append(f"{held}; {quarantined} could not be decoded" if quarantined else held)
    if status.indicators.get("number"):
        shown.append(f"indicators {status.indicators['number']:,}")
    return shown + [f"problem    {text}" for text in status.problems]


def is_alive(beat: Beat, age: float) -> bool:
    """Whether the part that said this ``age`` seconds ago still runs."""
    return age < STALE and Path(f"/proc/{beat.pid}").exists()


def _part(state: Path, name: str) -> PartStatus:
    found, cannot = last_beat(state, name), read(state, name)
    if found is None:
        return PartStatus(runs=False, unable=str(cannot) if cannot is not None else "")
    beat, age = found
    runs = is_alive(beat, age)
    # A beat after the last failure: it has worked since, and ended otherwise.
    if cannot is not None and (runs or time.time() - age > cannot.last):
        cannot = None
    return PartStatus(
        runs,
        beat.since,
        beat.hindrance if runs else "",
        beat.figures,
        beat.troubles if runs else [],
        str(cannot) if cannot is not None else "",
    )


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment is not None else "never"

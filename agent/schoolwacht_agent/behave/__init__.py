"""Behaviour: detections that the agent computes over its own events, whatever engine made them.

A new detector is one file beside this one, its settings struct in :class:`BehaveSettings`, and one line in
:func:`detectors`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.arp_scan import ArpScan, ArpScanSettings
from schoolwacht_agent.behave.baseline import LIMIT, Baselines, Keeper
from schoolwacht_agent.behave.beacon import Beacon, BeaconSettings
from schoolwacht_agent.behave.calendar import Calendar, CalendarSettings
from schoolwacht_agent.behave.dhcp_abuse import DhcpAbuse, DhcpAbuseSettings
from schoolwacht_agent.behave.dns_tunnel import DnsTunnel, DnsTunnelSettings
from schoolwacht_agent.behave.host_scan import HostScan, HostScanSettings
from schoolwacht_agent.behave.inbound_flood import InboundFlood, InboundFloodSettings
from schoolwacht_agent.behave.kerberos_spray import KerberosSpray, KerberosSpraySettings
from schoolwacht_agent.behave.look_alike import LookAlike, LookAlikeSettings
from schoolwacht_agent.behave.mail_exfiltration import MailExfiltration, MailExfiltrationSettings
from schoolwacht_agent.behave.mass_change import MassChange, MassChangeSettings
from schoolwacht_agent.behave.names import ServerNames
from schoolwacht_agent.behave.password_guessing import PasswordGuessing, PasswordGuessingSettings
from schoolwacht_agent.behave.port import Bounded, Detector
from schoolwacht_agent.behave.port_scan import PortScan, PortScanSettings
from schoolwacht_agent.behave.state import Recent
from schoolwacht_agent.behave.testers import Testers, TesterSettings
from schoolwacht_agent.behave.upload import Upload, UploadSettings

__all__ = ["BehaveSettings", "Behaviour", "detectors"]


log = logging.getLogger(__name__)

#: Traffic that lies so many seconds behind the newest, for so many events in a row, says that the clock went back.
_FAR, _MANY = 3600.0, 500


class BehaveSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave]``: windows and thresholds of the detectors."""

    port_scan: PortScanSettings = PortScanSettings()
    host_scan: HostScanSettings = HostScanSettings()
    arp_scan: ArpScanSettings = ArpScanSettings()
    password_guessing: PasswordGuessingSettings = PasswordGuessingSettings()
    kerberos_spray: KerberosSpraySettings = KerberosSpraySettings()
    beacon: BeaconSettings = BeaconSettings()
    dns_tunnel: DnsTunnelSettings = DnsTunnelSettings()
    dhcp_abuse: DhcpAbuseSettings = DhcpAbuseSettings()
    mass_change: MassChangeSettings = MassChangeSettings()
    look_alike: LookAlikeSettings = LookAlikeSettings()
    mail_exfiltration: MailExfiltrationSettings = MailExfiltrationSettings()
    upload: UploadSettings = UploadSettings()
    inbound_flood: InboundFloodSettings = InboundFloodSettings()
    calendar: CalendarSettings = CalendarSettings()
    testers: TesterSettings = TesterSettings()
    capacity: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="How many times as much the detectors remember as one school needs; more on a path of many.",
        ),
    ] = 1


def detectors(settings: BehaveSettings, baselines: Baselines) -> tuple[Detector, ...]:
    """Every detector, in the order in which they see an event."""
    guessing, names = PasswordGuessing(settings.password_guessing), ServerNames()
    return (
        PortScan(settings.port_scan),
        HostScan(settings.host_scan),
        ArpScan(settings.arp_scan),
        guessing,
        KerberosSpray(settings.kerberos_spray),
        # Lets the names be heard, so it stands before those that ask for them.
        Beacon(settings.beacon, guessing, names),
        DnsTunnel(settings.dns_tunnel),
        DhcpAbuse(settings.dhcp_abuse),
        MassChange(settings.mass_change, baselines),
        LookAlike(settings.look_alike),
        MailExfiltration(settings.mail_exfiltration),
        Upload(settings.upload, baselines, names),
        InboundFlood(settings.inbound_flood, baselines),
    )


class Behaviour:
    """The step of the line: shows each event to the detectors of its dataset.

    Args:
        settings: windows and thresholds.
        memory: file in which what is usual is kept over restarts; None keeps nothing (a replay must not learn).
    """

    def __init__(self, settings: BehaveSettings, memory: Path | None = None) -> None:
        self._baselines = Baselines(Calendar(settings.calendar), LIMIT * settings.capacity)
        self._keeper = Keeper(self._baselines, memory) if memory is not None else None
        self._testers = Testers(settings.testers)
        self._settings = settings
        self._newest = float("-inf")
        #: Events in a row that are far older than the newest, and how often the detectors began anew for it.
        self._behind = self._restarts = 0
        self._begin()

    def _begin(self) -> None:
        self._detectors = detectors(self._settings, self._baselines)
        for table in (table for detector in self._detectors for table in detector.state()):
            if isinstance(table, Recent):
                table.widen(self._settings.capacity)
        self._of: dict[Dataset, tuple[Callable[[Event], Iterable[Event]], ...]] = {
            dataset: tuple(one.see for one in self._detectors if dataset in one.datasets) for dataset in Dataset
        }

    def judge(self, events: list[Event]) -> list[Event]:
        """The events with the signals they complete, each behind the event that completed it."""
        if not events:
            return []
        judged: list[Event] = []
        self._pass_time(events[-1].timestamp.timestamp(), len(events))
        of, testers = self._of, self._testers
        for event in events:
            judged.append(event)
            for see in of[event.event_dataset]:
                for signal in see(event):
                    if not testers.excuse(signal, event):
                        judged.append(signal)  # noqa: PERF401 - the event itself stands between
        return judged

    def close(self) -> None:
        """Keep what is usual, at the end."""
        if self._keeper is not None:
            self._keeper.save()

    def _pass_time(self, at: float, events: int) -> None:
        if at >= self._newest - _FAR:
            self._newest, self._behind = max(self._newest, at), 0
        else:
            self._behind += events
            if self._behind > _MANY:
                # The clock went back: windows that follow the newest time would see nothing until it comes again.
                log.warning("the time of the traffic went back by %.0f s; the detectors begin anew", self._newest - at)
                self._newest, self._behind, self._restarts = at, 0, self._restarts + 1
                self._baselines.forget_after(at)
                self._begin()
        self._baselines.watch(at)
        if self._keeper is not None:
            self._keeper.pass_time(at)

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """All of them."""
        return self._detectors

    @property
    def evicted(self) -> int:
        """How much state was forgotten to stay within the bounds, all detectors together."""
        return sum(table.evicted for table in self._tables())

    @property
    def excused(self) -> int:
        """Signals about registered tests, which were not raised."""
        return self._testers.excused

    def figures(self) -> dict[str, int]:
        """Totals, by name, for the health report."""
        faults = self._keeper is not None and bool(self._keeper.fault)
        return {
            "behave.evicted": self.evicted,
            "behave.excused": self.excused,
            "behave.baselines": len(self._baselines),
            "behave.baselines_at_fault": int(faults),
            "behave.restarts": self._restarts,
        }

    def _tables(self) -> Iterator[Bounded]:
        yield self._baselines.series
        for detector in self._detectors:
            yield from detector.state()

"""Behaviour: detections that the agent computes over its own events, whatever engine made them.

A new detector is one file beside this one, its settings struct in :class:`BehaveSettings`, and one line in
:func:`detectors`.
"""

from __future__ import annotations

from msgspec import Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.arp_scan import ArpScan, ArpScanSettings
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.beacon import Beacon, BeaconSettings
from schoolwacht_agent.behave.calendar import Calendar, CalendarSettings
from schoolwacht_agent.behave.dhcp_abuse import DhcpAbuse, DhcpAbuseSettings
from schoolwacht_agent.behave.dns_tunnel import DnsTunnel, DnsTunnelSettings
from schoolwacht_agent.behave.host_scan import HostScan, HostScanSettings
from schoolwacht_agent.behave.kerberos_spray import KerberosSpray, KerberosSpraySettings
from schoolwacht_agent.behave.look_alike import LookAlike, LookAlikeSettings
from schoolwacht_agent.behave.mass_change import MassChange, MassChangeSettings
from schoolwacht_agent.behave.password_guessing import PasswordGuessing, PasswordGuessingSettings
from schoolwacht_agent.behave.port import Detector
from schoolwacht_agent.behave.port_scan import PortScan, PortScanSettings

__all__ = ["BehaveSettings", "Behaviour", "detectors"]


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
    calendar: CalendarSettings = CalendarSettings()


def detectors(settings: BehaveSettings, baselines: Baselines) -> tuple[Detector, ...]:
    """Every detector, in the order in which they see an event."""
    guessing = PasswordGuessing(settings.password_guessing)
    return (
        PortScan(settings.port_scan),
        HostScan(settings.host_scan),
        ArpScan(settings.arp_scan),
        guessing,
        KerberosSpray(settings.kerberos_spray),
        Beacon(settings.beacon, guessing),
        DnsTunnel(settings.dns_tunnel),
        DhcpAbuse(settings.dhcp_abuse),
        MassChange(settings.mass_change, baselines),
        LookAlike(settings.look_alike),
    )


class Behaviour:
    """The step of the line: shows each event to the detectors of its dataset."""

    def __init__(self, settings: BehaveSettings) -> None:
        self._baselines = Baselines(Calendar(settings.calendar))
        self._detectors = detectors(settings, self._baselines)
        self._of: dict[Dataset, tuple[Detector, ...]] = {
            dataset: tuple(one for one in self._detectors if dataset in one.datasets) for dataset in Dataset
        }

    def judge(self, events: list[Event]) -> list[Event]:
        """The events with the signals they complete, each behind the event that completed it."""
        judged: list[Event] = []
        of = self._of
        for event in events:
            judged.append(event)
            for detector in of[event.event_dataset]:
                judged.extend(detector.see(event))
        return judged

    @property
    def evicted(self) -> int:
        """How much state was forgotten to stay within the bounds, all detectors together."""
        return sum(table.evicted for detector in self._detectors for table in detector.state())

"""D02: one source tries one port of many destinations, and most do not answer (ATT&CK T1046).

Kept out: web, DNS and discovery ports, multicast and broadcast, conversations whose beginning nobody saw. Printers and
discovery talk to hosts that answer. UDP to high ports on the internet is low: programs look for their peers like that.
Measured: 28 hosts a minute in a scan, five at most in ordinary traffic.

Memory (measured): 0.7 kB a source and port, 0.25 kB a destination beyond the first; 4,096 and 32,768 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import is_group, opened_by_source, started, unanswered
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Distinct, Ladder, Recent

IGNORED_PORTS = frozenset({53, 80, 443, 853, 1900, 3702, 5353, 5355, 8080, 8443})
_EPHEMERAL = 1024
RULE = Rule("D02", "Horizontal scan", "Major", "Medium", "T1046", "scan")


class HostScanSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.host_scan]``."""

    seconds: Annotated[int, Meta(ge=1, le=3600, description="D02: window in seconds.")] = 60
    destinations: Annotated[
        int, Meta(ge=5, description="D02: different destinations on one port within the window.")
    ] = 20
    failed_percent: Annotated[int, Meta(ge=0, le=100, description="D02: share of them that must not answer.")] = 80


class _Sweep:
    __slots__ = ("ladder", "seen")

    def __init__(self) -> None:
        self.seen = Distinct()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.seen)


class HostScan:
    """Detector D02."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW})

    def __init__(self, settings: HostScanSettings) -> None:
        self._settings = settings
        self._sweeps: Recent[tuple[str | None, str | None, int | None], _Sweep] = Recent(4096, _Sweep, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes."""
        port, destination = event.destination_port, event.destination_ip
        if destination is None or port in IGNORED_PORTS or not opened_by_source(event) or is_group(destination):
            return ()
        return self._count(event, port, destination)

    def _count(self, event: Event, port: int | None, destination: str) -> Iterator[Event]:
        settings, at = self._settings, started(event)
        sweep = self._sweeps.of((event.source_ip, event.network_transport, port))
        if sweep.seen.full(at, settings.seconds):
            return
        count = sweep.seen.add(destination, at, settings.seconds, weight=int(unanswered(event)))
        if sweep.seen.weight * 100 < count * settings.failed_percent:
            return
        if sweep.ladder.speaks(count, settings.destinations, at, settings.seconds):
            # Programs that look for their peers on the internet meet as many silent hosts.
            peers = (
                event.network_transport == "udp"
                and (port or 0) >= _EPHEMERAL
                and event.network_direction is not Direction.INTERNAL
            )
            where = f"port {port}" if port else event.network_transport
            message = (
                f"{event.source_ip} tried {where} of {count} hosts within {settings.seconds} s; "
                f"{sweep.seen.weight} did not answer"
            )
            yield raise_signal(
                RULE,
                event,
                message,
                first=sweep.seen.first(),
                severity="Minor" if peers else None,
                confidence="Low" if peers else None,
                destination=False,
                detail={"hosts": count, "unanswered": sweep.seen.weight},
            )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._sweeps,)

"""D01: one source tries many ports of one destination (ATT&CK T1046).

Counted are different ports of one destination within ``seconds``; a few ports of administration services (SSH, SMB,
RDP, databases, …) are enough.

Kept out: ports of which nearly all answer (passive FTP, media) are low; conversations whose beginning nobody saw, so
that replies to many client ports do not count. In ordinary traffic no pair reaches twelve ports a minute. Registered
testers are a setting (``behave.testers``).

Memory (measured): 0.2 kB a pair with one port, 0.5 kB and 0.25 kB a port with several; 4,096 pairs, 32,768 ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.flows import opened_by_source, started, unanswered
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Recent, Watch

SENSITIVE = frozenset({22, 23, 135, 139, 445, 1433, 3306, 3389, 5432, 5900, 6379})
#: Share of ports that answer from which it is no scan but passive FTP or media, and low.
_AT_HOME = 90
RULE = Rule("D01", "Vertical port scan", "Major", "High", "T1046", "scan")


class PortScanSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.port_scan]``."""

    seconds: Annotated[int, Meta(ge=1, le=3600, description="D01: window in seconds.")] = 60
    ports: Annotated[int, Meta(ge=5, description="D01: different ports of one destination within the window.")] = 50
    sensitive_ports: Annotated[
        int, Meta(ge=2, description="D01: or that many different ports of administration services.")
    ] = 5


class _First:
    """The one port of a pair, or the window of its ports from the second one on."""

    __slots__ = ("answered", "at", "port", "watch")

    def __init__(self) -> None:
        self.port = 0
        self.answered = False
        self.at = float("-inf")
        self.watch: Watch | None = None

    def __len__(self) -> int:
        return 1 if self.watch is None else len(self.watch)


class PortScan:
    """Detector D01."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW})

    def __init__(self, settings: PortScanSettings) -> None:
        self._settings = settings
        self._first: Recent[tuple[str | None, str | None], _First] = Recent(4096, _First, VALUES)
        self._sensitive: Recent[tuple[str | None, str | None], Watch] = Recent(4096, Watch, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes."""
        port = event.destination_port
        if not port or event.network_transport not in {"tcp", "udp"} or not opened_by_source(event):
            return ()
        pair, at = (event.source_ip, event.destination_ip), started(event)
        first = self._first.of(pair)
        if first.watch is None:
            if first.port in {0, port}:
                # Most pairs never see a second port.
                first.port, first.at, first.answered = port, max(first.at, at), not unanswered(event)
                return ()
            settings, answered = self._settings, int(first.answered)
            first.watch = Watch()
            first.watch.grows(first.port, first.at, settings.seconds, settings.ports, answered)
            self._note_sensitive(pair, first.port, first.at)
        return self._count(event, pair, first.watch, port, at)

    def _note_sensitive(self, pair: tuple[str | None, str | None], port: int, at: float) -> None:
        if port in SENSITIVE:
            settings = self._settings
            self._sensitive.of(pair).grows(port, at, settings.seconds, settings.sensitive_ports)

    def _count(
        self, event: Event, pair: tuple[str | None, str | None], ports: Watch, port: int, at: float
    ) -> Iterator[Event]:
        settings = self._settings
        if count := ports.grows(port, at, settings.seconds, settings.ports, weight=int(not unanswered(event))):
            open_ports = ports.seen.weight
            yield self._signal(event, f"{count} ports", count, ports.seen.first(), open_ports=open_ports)
        elif port in SENSITIVE and not ports.ladder.said:
            services = self._sensitive.of(pair)
            if count := services.grows(port, at, settings.seconds, settings.sensitive_ports):
                yield self._signal(event, f"{count} ports of administration services", count, services.seen.first())

    def _signal(self, event: Event, what: str, count: int, first: float, *, open_ports: int | None = None) -> Event:
        message = f"{event.source_ip} tried {what} of {event.destination_ip} within {self._settings.seconds} s"
        # Who meets closed doors is looking around; who is let in at nearly all of them transfers files or talks.
        at_home = open_ports is not None and open_ports * 100 >= count * _AT_HOME
        return raise_signal(
            RULE,
            event,
            message,
            first=first,
            port=False,
            severity="Minor" if at_home else None,
            confidence="Low" if at_home else None,
            detail={"ports": count, "open": open_ports},
        )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._first, self._sensitive)

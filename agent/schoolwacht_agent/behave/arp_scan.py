"""D03: one machine asks for many addresses of its own network (ATT&CK T1018).

Kept out: machines of the setting ``allowed_macs`` (DHCP servers probing before they lend, access control). Limits:
only our own reader and Suricata 8 see ARP.

Memory (measured): 0.6 kB a machine, 0.25 kB an address beyond the first; 1,024 machines and 32,768 addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Recent, Watch

RULE = Rule("D03", "ARP scan", "Minor", "High", "T1018", "scan")


class ArpScanSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.arp_scan]``."""

    seconds: Annotated[int, Meta(ge=1, le=3600, description="D03: window in seconds.")] = 60
    targets: Annotated[int, Meta(ge=5, description="D03: different addresses asked for within the window.")] = 50
    allowed_macs: Annotated[
        tuple[str, ...], Meta(description="D03: machines that may, as lower-case MAC addresses with colons.")
    ] = ()


class ArpScan:
    """Detector D03."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.ARP})

    def __init__(self, settings: ArpScanSettings) -> None:
        self._settings = settings
        self._allowed = frozenset(settings.allowed_macs)
        self._senders: Recent[str, Watch] = Recent(1024, Watch, VALUES)

    def see(self, event: Event) -> Iterator[Event]:
        """Signals that this request completes."""
        sender = event.source_mac or event.nsm_arp_sender_ip
        if event.nsm_arp_operation != "request" or sender is None or sender in self._allowed:
            return
        at, settings = event.timestamp.timestamp(), self._settings
        watch = self._senders.of(sender)
        if count := watch.grows(event.nsm_arp_target_ip, at, settings.seconds, settings.targets):
            message = (
                f"{event.nsm_arp_sender_ip} asked for {count} addresses of its network within {settings.seconds} s"
            )
            yield raise_signal(
                RULE, event, message, first=watch.seen.first(), destination=False, detail={"targets": count}
            )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._senders,)

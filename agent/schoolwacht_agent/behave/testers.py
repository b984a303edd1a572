"""Registered testers: machines that scan and guess by order, whose finds are noted but not raised.

A signal whose source is a registered address is not sent. The event that completed it carries the tags
``registered-test`` and the detection's id instead, so that a search can find the test, and how many were excused is
counted. Only detections of this package are excused, and only of those kinds that a test consists of: what a tester's
machine does else (a beacon, a tunnel, a mass rename) is raised as from anybody.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Annotated

from msgspec import Meta, Struct

from schoolwacht.event import LIST_MAX, Event

TAG = "registered-test"
EXCUSED = frozenset({"D01", "D02", "D03", "D04", "D05", "D08"})
_ADDRESS = r"^[0-9a-fA-F.:]+(/[0-9]{1,3})?$"


class TesterSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.testers]``."""

    addresses: Annotated[
        tuple[Annotated[str, Meta(pattern=_ADDRESS)], ...],
        Meta(description="Addresses or networks of registered testers, whose scans are tagged and not raised."),
    ] = ()


class Testers:
    """Knows the registered testers."""

    def __init__(self, settings: TesterSettings) -> None:
        self._networks = tuple(ip_network(address, strict=False) for address in settings.addresses)
        self._is_tester = lru_cache(maxsize=1024)(self._look_up)
        self.excused = 0

    def excuse(self, signal: Event, event: Event) -> bool:
        """Whether a signal is a registered test's; if so the event that completed it is tagged."""
        if not self._networks or signal.rule_id not in EXCUSED or not self._is_tester(_source(signal, event)):
            return False
        tags = event.tags or []
        event.tags = [*tags, *(tag for tag in (TAG, signal.rule_id or "") if tag not in tags)][:LIST_MAX]
        self.excused += 1
        return True

    def _look_up(self, text: str) -> bool:
        try:
            address = ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _source(signal: Event, event: Event) -> str:
    return signal.source_ip or event.nsm_arp_sender_ip or ""

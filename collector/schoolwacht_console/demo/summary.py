"""What a demo came to: the accounts of the agents beside those of the store, and of the alerts beside the CERT's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Accounts(NamedTuple):
    """The figures of one demo.

    ``seen`` is what each agent's spool says was made of its packets, ``stored`` what the store holds of each agent,
    both without what the collector made itself (``derived``). ``alerts`` are ids in the store, ``arrived`` those at the
    CERT.
    ``delays`` are the seconds from the packet to the CERT of each alert's first notification. ``failed`` names agents
    that did not end well, with their exit codes (-1: still playing).
    """

    seen: Mapping[str, int]
    stored: Mapping[str, int]
    derived: int
    alerts: frozenset[str]
    arrived: frozenset[str]
    delays: Sequence[float]
    notifications: int
    refused: int
    failed: Mapping[str, int]
    seconds: float

    @property
    def lost(self) -> int:
        """Events that an agent saw and the store does not hold."""
        return sum(max(0, number - self.stored.get(name, 0)) for name, number in self.seen.items())

    @property
    def whole(self) -> bool:
        """Whether every event is accounted for and every alert arrived."""
        return (
            not self.failed
            and dict(self.seen) == dict(self.stored)
            and sum(self.seen.values()) > 0
            and self.alerts == self.arrived
            and self.refused == 0
        )

    def as_json(self) -> dict[str, Any]:
        """The summary as one flat object."""
        return {
            "ok": self.whole,
            "agents": len(self.seen),
            "events": sum(self.seen.values()),
            "stored": sum(self.stored.values()),
            "lost": self.lost,
            "derived_signals": self.derived,
            "alerts": len(self.alerts),
            "delivered": len(self.alerts & self.arrived),
            "notifications": self.notifications,
            "refused": self.refused,
            "seconds_packet_to_cert_p50": percentile(self.delays, 0.5),
            "seconds_packet_to_cert_p95": percentile(self.delays, 0.95),
            "seconds": round(self.seconds, 1),
            "failed": dict(self.failed),
        }


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that ``share`` of all values do not exceed (nearest rank); None without values."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 3)

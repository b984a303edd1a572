"""A notifier in memory: notes what it is given and answers as told. For tests of what stands above a notifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from schoolwacht.wire import Verdict
from schoolwacht_collector.notify.port import Attempt
from schoolwacht_collector.records import Severity
from schoolwacht_collector.tlp import Tlp

ARRIVED = Attempt(Verdict.DELIVERED, "HTTP 204")
BUSY = Attempt(Verdict.RETRY, "HTTP 503")
REFUSED = Attempt(Verdict.REJECTED, "HTTP 410")


@dataclass
class Target:
    """``answer`` is asked for each attempt with the delivery's id."""

    name: str = "cert"
    min_severity: Severity = Severity.LOW
    max_tlp: Tlp = Tlp.AMBER_STRICT
    answer: Callable[[str], Attempt] = field(default=lambda _: ARRIVED)
    given: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [name for name, _ in self.given]

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def deliver(self, delivery_id: str, body: str, at: datetime) -> Attempt:
        self.given.append((delivery_id, body))
        return self.answer(delivery_id)

"""What a notifier is: it carries one body to one target and says what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from schoolwacht.wire import Verdict
from schoolwacht_collector.records import Severity
from schoolwacht_collector.tlp import Tlp


class Attempt(NamedTuple):
    """What became of one attempt. ``detail`` is for people: why not, or how the receiver answered.

    ``wait`` is how long the receiver asked to be left alone.
    """

    verdict: Verdict
    detail: str
    wait: timedelta | None = None


class Notifier(Protocol):
    """Implementations: :mod:`.webhook`; wired by ``NOTIFIERS``."""

    @property
    def name(self) -> str:
        """The target's name, unique in the configuration; kept with each delivery."""
        ...

    @property
    def min_severity(self) -> Severity:
        """Alerts below it are not for this target."""
        ...

    @property
    def max_tlp(self) -> Tlp:
        """Alerts from an indicator with a narrower label are not for this target."""
        ...

    async def open(self) -> None:
        """Get ready; again does nothing, and after :meth:`close` it works anew. No connection is made yet."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...

    async def deliver(self, delivery_id: str, body: str, at: datetime) -> Attempt:
        """Carry one body; bounded in time; never raises for what the target or the network does.

        Args:
            delivery_id: the same in each attempt, so that the receiver can tell a repeat.
            body: JSON.
            at: the time of the attempt, which the signature covers.
        """
        ...

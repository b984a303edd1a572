"""The steps between source and spool, in their order: place, behave, settle."""

from __future__ import annotations

from pathlib import Path

from schoolwacht.event import Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.standpoint.port import Standpoint


class Steps:
    """What every event goes through before it is kept. One object for one stretch of traffic.

    Args:
        standpoint: says which way an event goes and whose it is.
        behave: thresholds of the detectors.
        memory: file in which the detectors keep what is usual; None for traffic that they must not learn from.
    """

    def __init__(self, standpoint: Standpoint, behave: BehaveSettings, memory: Path | None = None) -> None:
        self._standpoint = standpoint
        self._behaviour = Behaviour(behave, memory)

    def through(self, events: list[Event]) -> list[Event]:
        """The events of schools with their direction and place, and the signals that they complete."""
        return self._standpoint.settle(self._behaviour.judge(self._standpoint.place(events)))

    def close(self) -> None:
        """At the end of the traffic: keep what the steps have learned."""
        self._behaviour.close()

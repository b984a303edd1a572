"""The steps between source and spool, in their order: direct, behave."""

from __future__ import annotations

from schoolwacht.event import Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.direction import Homes


class Steps:
    """What every event goes through before it is kept. One object for one stretch of traffic.

    Args:
        homes: the networks of the school.
        behave: thresholds of the detectors.
    """

    def __init__(self, homes: Homes, behave: BehaveSettings) -> None:
        self._homes = homes
        self._behaviour = Behaviour(behave)

    def through(self, events: list[Event]) -> list[Event]:
        """The events with their direction, and the signals that they complete."""
        for event in events:
            self._homes.direct(event)
        return self._behaviour.judge(events)

"""The steps between source and spool, in their order: place, behave, match, settle, evidence, minimise."""

from __future__ import annotations

from pathlib import Path

from schoolwacht.event import Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.evidence.collect import Evidence
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.standpoint.port import Standpoint


class Steps:
    """What every event goes through before it is kept. One object for one stretch of traffic.

    Args:
        standpoint: says which way an event goes and whose it is.
        behave: thresholds of the detectors.
        memory: file in which the detectors keep what is usual; None for traffic that they must not learn from.
        matcher: the indicators of the agent; None for none.
        minimise: what may be kept; None keeps everything as it is, for one's own machine.
        evidence: keeps the packets of grave signals; None keeps none.
    """

    def __init__(
        self,
        standpoint: Standpoint,
        behave: BehaveSettings,
        memory: Path | None = None,
        minimise: Minimise | None = None,
        evidence: Evidence | None = None,
        *,
        matcher: Matcher | None = None,
    ) -> None:
        self._standpoint = standpoint
        self._behaviour = Behaviour(behave, memory)
        self._matcher = matcher or Matcher()
        self._minimise = minimise
        if minimise is not None:
            minimise.told_by(self._matcher.has_told)
        self._evidence = evidence

    def through(self, events: list[Event]) -> list[Event]:
        """The events of schools with their direction and place, and the signals that they complete."""
        judged = self._behaviour.judge(self._standpoint.place(events))
        judged = self._standpoint.settle(self._matcher.through(judged))
        if self._evidence is not None:
            # Before minimising, which takes away by what packets are found.
            self._evidence.note(judged)
            judged = judged + self._evidence.ready()
        return self._minimised(judged)

    def idle(self) -> list[Event]:
        """Called when no event came: what is due by the clock."""
        ready = [] if self._evidence is None else self._minimised(self._evidence.ready())
        return ready if self._minimise is None else ready + self._minimise.idle()

    def finish(self) -> list[Event]:
        """What is still held at the end of the stretch."""
        ready = [] if self._evidence is None else self._minimised(self._evidence.finish())
        return ready if self._minimise is None else ready + self._minimise.finish()

    def _minimised(self, events: list[Event]) -> list[Event]:
        return events if self._minimise is None or not events else self._minimise.through(events)

    def figures(self) -> dict[str, int]:
        """Totals of the steps, by name, for the health report."""
        figures = self._behaviour.figures() | self._matcher.figures()
        for part in (self._evidence, self._minimise):
            figures |= {} if part is None else part.figures()
        return figures

    def close(self) -> None:
        """At the end of the traffic: keep what the steps have learned."""
        self._behaviour.close()

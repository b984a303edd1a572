"""What a behaviour detector is. One detector = one file here and one line in ``DETECTORS``.

A detector sees the agent's own events, whatever engine made them, and yields signals. It keeps state in
:class:`~.state.Recent`, so that its memory is bounded and what it forgets is counted. It knows no clock but the
events' own: the same events give the same signals, on replay too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from schoolwacht.event import Dataset, Event


class Bounded(Protocol):
    """State that forgets what was used longest ago."""

    evicted: int

    def __len__(self) -> int: ...


class Detector(Protocol):
    """A detection of the catalogue (docs/detections.md), computed at the agent."""

    #: The catalogue's id, such as ``D01``.
    id: ClassVar[str]
    #: The datasets it wants to see.
    datasets: ClassVar[frozenset[Dataset]]

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this event completes; most often none."""
        ...

    def state(self) -> Iterable[Bounded]:
        """Its bounded tables, for the counters of what had to be forgotten."""
        ...

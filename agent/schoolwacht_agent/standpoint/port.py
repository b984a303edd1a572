"""What a standpoint is: the step between source and behaviour, and what is left to do after behaviour."""

from __future__ import annotations

from typing import Protocol

from schoolwacht.event import Event
from schoolwacht_agent.health import Finding


class Standpoint(Protocol):
    """Says of events which way they go and whose they are."""

    def place(self, events: list[Event]) -> list[Event]:
        """Set direction, zone and school in place; the events that are of a school, in their order."""
        ...

    def settle(self, events: list[Event]) -> list[Event]:
        """After behaviour has judged: an event between two schools once for each of them, each with its own view."""
        ...

    def is_home(self, address: str | None, vlan: str | None = None) -> bool:
        """Whether an address belongs to a school here."""
        ...

    def attend(self) -> list[Finding]:
        """Called about once a second: take in what has changed on disk. What is wrong and new since the last call."""
        ...

    def troubles(self) -> list[Finding]:
        """What is wrong now, for as long as it is."""
        ...

    def reload(self) -> None:
        """Read everything again at the next :meth:`attend`, changed or not. Safe in a signal handler."""
        ...

    def figures(self) -> dict[str, int]:
        """Figures for health and status, by name; totals only grow."""
        ...

"""Sources of events: Suricata's EVE, and our own packet reader. The one table of them all.

An engine is a package here that offers the functions of :class:`Engine`. It is imported when it is first asked
for, so that a small box that runs one engine does not load the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset
from schoolwacht_agent.config import EngineName, SourceTable
from schoolwacht_agent.sources.port import Source


class Engine(Protocol):
    """What an engine's package offers, as functions of the module."""

    def missing(self, settings: SourceTable) -> str | None:
        """Why the engine cannot run on this machine and what to do about it, in plain words; None if it can."""
        ...

    def sees(self, settings: SourceTable) -> frozenset[Dataset]:
        """The datasets of the events it gives here; SIGNAL among them says that it has signatures."""
        ...

    def offline(self, capture: Path, settings: SourceTable) -> Source:
        """Open a capture file. Raises CaptureError naming the file, here or from ``read``."""
        ...

    def live(self, settings: SourceTable, state: Path, mark: bytes) -> Source:
        """Open the configured interface, going on at ``mark`` (empty: from now on). Raises SourceError.

        ``state`` is a directory of the engine's own below the agent's state directory; it may not exist yet.
        """
        ...


def _suricata() -> Engine:
    from schoolwacht_agent.sources import suricata  # noqa: PLC0415 - loads only the engine that is asked for

    return suricata


def _packets() -> Engine:
    from schoolwacht_agent.sources import packets  # noqa: PLC0415 - loads only the engine that is asked for

    return packets


def _both() -> Engine:
    from schoolwacht_agent.sources import both  # noqa: PLC0415 - loads only the engine that is asked for

    return both


#: Engine name → how to load it. The order is the preference of ``auto``.
SOURCES: MappingProxyType[EngineName, Callable[[], Engine]] = MappingProxyType(
    {
        EngineName.BOTH: _both,
        EngineName.SURICATA: _suricata,
        EngineName.PACKETS: _packets,
    }
)


def choose(settings: SourceTable) -> tuple[EngineName, Engine]:
    """The configured engine; for ``auto`` the first of :data:`SOURCES` that can run on this machine.

    Raises SourceError with what to do if the engine (for ``auto``: every engine) cannot run here.
    """
    names = list(SOURCES) if settings.engine is EngineName.AUTO else [settings.engine]
    reasons = []
    for name in names:
        engine = SOURCES[name]()
        reason = engine.missing(settings)
        if reason is None:
            return name, engine
        reasons.append(f"{name}: {reason}")
    raise SourceError("; ".join(reasons), field="source.engine")

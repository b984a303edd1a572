"""The own packet engine: capture files or an interface in, events out.

What the table of engines (``sources/__init__.py``) asks for is here.
"""

from __future__ import annotations

from pathlib import Path

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset
from schoolwacht_agent.config import SourceTable
from schoolwacht_agent.sources import bpf
from schoolwacht_agent.sources.packets.ring import hindrance
from schoolwacht_agent.sources.packets.source import PacketsSource

__all__ = ["PacketsSource", "live", "missing", "offline", "sees"]

_SEEN = frozenset(
    {
        Dataset.ARP, Dataset.DHCP, Dataset.DNS, Dataset.FLOW, Dataset.HEALTH, Dataset.HTTP, Dataset.SNMP, Dataset.SSH,
        Dataset.TLS,
    }
)  # fmt: skip


def missing(settings: SourceTable) -> str | None:
    """Why this engine cannot run here, in plain words; None if it can. Files can be read anywhere by anybody."""
    if not settings.interface:
        return None
    return hindrance() or (bpf.hindrance() if settings.filter else None)


def sees(settings: SourceTable) -> frozenset[Dataset]:
    """What it gives, wherever it runs. It has no signatures."""
    del settings
    return _SEEN


def offline(capture: Path, settings: SourceTable) -> PacketsSource:
    """A capture file. Its faults come from ``read``."""
    return PacketsSource.from_files([capture], settings.packets)


def live(settings: SourceTable, state: Path, mark: bytes) -> PacketsSource:
    """The configured interface, from now on. Raises SourceError if there is none in the settings."""
    del state, mark  # packets from an interface cannot be read again
    if not settings.interface:
        raise SourceError("name the interface that sees the traffic", field="source.interface")
    return PacketsSource.from_interface(settings.interface, settings.packets, expression=settings.filter)

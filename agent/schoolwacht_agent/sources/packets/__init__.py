"""The own packet engine: capture files or an interface in, events out.

What the table of engines (``sources/__init__.py``) asks for is here.
"""

from __future__ import annotations

import socket
from pathlib import Path

from schoolwacht.errors import SourceError
from schoolwacht_agent.config import PacketsTable, SourceTable
from schoolwacht_agent.sources.packets.settings import PacketsSettings
from schoolwacht_agent.sources.packets.source import PacketsSource

__all__ = ["PacketsSettings", "PacketsSource", "live", "missing", "offline"]


def missing(settings: SourceTable) -> str | None:
    """Why this engine cannot run here, in plain words; None if it can. Files can be read anywhere."""
    if settings.interface and not hasattr(socket, "AF_PACKET"):
        return "reading from an interface needs Linux (AF_PACKET); capture files can be read"
    return None


def offline(capture: Path, settings: SourceTable) -> PacketsSource:
    """A capture file. Its faults come from ``read``."""
    return PacketsSource.from_files([capture], _settings(settings.packets))


def live(settings: SourceTable, state: Path, mark: bytes) -> PacketsSource:
    """The configured interface, from now on. Raises SourceError if there is none in the settings."""
    del state, mark  # packets from an interface cannot be read again
    if not settings.interface:
        raise SourceError("name the interface that sees the traffic", field="source.interface")
    return PacketsSource.from_interface(settings.interface, _settings(settings.packets))


def _settings(table: PacketsTable) -> PacketsSettings:
    return PacketsSettings(max_flows=table.max_flows, ring_mib=table.ring_mib, promiscuous=table.promiscuous)

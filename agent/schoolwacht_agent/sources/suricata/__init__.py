"""The Suricata engine: Suricata itself captures and dissects, this package runs it and turns its EVE into events.

What the table of engines (``sources/__init__.py``) asks for is here; ``eve.py`` states the conventions of the events.
"""

from __future__ import annotations

from pathlib import Path

from schoolwacht.errors import SourceError
from schoolwacht.event import Dataset
from schoolwacht_agent.config import DEFAULT_HOME, SourceTable
from schoolwacht_agent.sources.suricata.configuration import version_of
from schoolwacht_agent.sources.suricata.eve import MAPPINGS
from schoolwacht_agent.sources.suricata.source import SuricataSource

__all__ = ["SuricataSource", "live", "missing", "offline", "sees"]

_SEEN = frozenset(dataset for dataset in Dataset if dataset.value in MAPPINGS) | {
    Dataset.FILE, Dataset.SIGNAL, Dataset.HEALTH,
}  # fmt: skip


def missing(settings: SourceTable) -> str | None:
    """Why Suricata cannot run here, in plain words; None if it can (or if only an EVE file is to be read)."""
    if settings.suricata.eve:
        return None
    try:
        version_of(settings.suricata.binary)
    except SourceError as error:
        return error.message
    return None


def sees(settings: SourceTable) -> frozenset[Dataset]:
    """Everything; ARP from Suricata 8 on. Of somebody else's Suricata we cannot know what it writes."""
    try:
        is_new = not settings.suricata.eve and version_of(settings.suricata.binary).major >= 8
    except SourceError:
        is_new = False
    return _SEEN if is_new else _SEEN - {Dataset.ARP}


def offline(capture: Path, settings: SourceTable) -> SuricataSource:
    """A capture file through Suricata. Raises SourceError; the file's faults come from ``read``."""
    return SuricataSource.from_files([capture], home=settings.home or DEFAULT_HOME, settings=settings.suricata)


def live(settings: SourceTable, state: Path, mark: bytes) -> SuricataSource:
    """The configured EVE file, or else Suricata at the configured interface. Raises SourceError."""
    if settings.suricata.eve:
        return SuricataSource.attach(Path(settings.suricata.eve), mark, settings=settings.suricata)
    if not settings.interface:
        raise SourceError("name the interface that sees the traffic", field="source.interface")
    home = settings.home or DEFAULT_HOME
    return SuricataSource.live(
        settings.interface, state, mark, home=home, expression=settings.filter, settings=settings.suricata
    )

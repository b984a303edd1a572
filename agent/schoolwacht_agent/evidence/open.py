"""How evidence is made from the settings."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from schoolwacht_agent.evidence.collect import Evidence
from schoolwacht_agent.evidence.make import Maker
from schoolwacht_agent.evidence.policy import Treat
from schoolwacht_agent.evidence.recent import Packets, Recent, Written
from schoolwacht_agent.evidence.settings import EvidenceTable, Medium
from schoolwacht_agent.evidence.signing import Signer
from schoolwacht_agent.evidence.store import Store
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.sources.packets.records import HandsOn
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.sources.suricata.configuration import ALERT_PACKETS


def directory_of(state: Path) -> Path:
    """Where evidence lives below the state directory."""
    return state / "evidence"


def open_store(table: EvidenceTable, state: Path) -> Store:
    """The kept evidence."""
    return Store(directory_of(state) / "kept", table.store_mib << 20, timedelta(days=table.store_days))


def keep_recent(table: EvidenceTable, state: Path, source: Source) -> Recent | None:
    """Have a source that reads packets itself hand the recent ones to a ring; None if there is none.

    Raises OSError if its directory cannot be made.
    """
    if not table.enabled or not isinstance(source, HandsOn):
        return None
    directory = directory_of(state) / "recent" if table.recent is Medium.DISK else None
    recent = Recent(table.flow_packets, table.recent_mib << 20, table.recent_hours * 3600.0, directory)
    source.keeper = recent
    return recent


def written_by_suricata(table: EvidenceTable, directory: Path) -> Written:
    """The packets of flows with alerts that the agent's own Suricata writes into its directory."""
    return Written(directory, f"{ALERT_PACKETS}.*", table.recent_hours * 3600.0)


def open_evidence(
    table: EvidenceTable,
    agent: str,
    state: Path,
    packets: Packets | None,
    minimise: Minimise | None,
    *,
    live: bool = True,
) -> Evidence | None:
    """The step that makes evidence of signals; None if it is switched off or there is nowhere to look for packets.

    Args:
        table: ``[evidence]``.
        agent: its name.
        state: the agent's state directory.
        packets: where to look for packets.
        minimise: the step that minimises events; None if everything stays as it is.
        live: whether packets after a signal are still to come.

    Raises ConfigError if the agent's key cannot be used, OSError if the directory cannot be made.
    """
    if not table.enabled or packets is None:
        return None
    directory = directory_of(state)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(table, state)
    treat: Treat = (lambda _: None) if minimise is None else minimise.through
    maker = Maker(table, agent, directory, store, packets, Signer(directory / "key"), treat)
    return Evidence(table, maker, store, live=live)

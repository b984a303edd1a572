"""Whether a cluster takes our writes: asked of its state, since a trial write would only say so for one index."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from elasticsearch import AsyncElasticsearch

from schoolwacht_collector.index.port import Health

#: Set by Elasticsearch itself at the flood stage of disk use; it takes it off when there is room again.
_FLOOD_STAGE = "index.blocks.read_only_allow_delete"
_BLOCKS = ("index.blocks.read_only", "index.blocks.write")
_CLUSTER_BLOCKS = ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete")


async def look(client: AsyncElasticsearch, prefix: str) -> Health:
    """Ask the cluster. Raises the client's errors."""
    state = await client.cluster.health(index=f"{prefix}-*", expand_wildcards="all")
    settings = await client.indices.get_settings(
        index=f"{prefix}-*", name="index.blocks.*", flat_settings=True, allow_no_indices=True
    )
    cluster = await client.cluster.get_settings(flat_settings=True)
    blocks = {name: one["settings"] for name, one in settings.body.items()}
    wrong = _cluster_faults(state.body, cluster.body) + _index_faults(blocks, datetime.now(UTC))
    if wrong:
        return Health(writable=False, detail="; ".join(wrong))
    return Health(
        writable=True,
        detail=f"Elasticsearch {state['cluster_name']}, {state['number_of_nodes']} nodes, {state['status']}",
    )


def _cluster_faults(state: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    wrong = []
    if state["status"] == "red":
        wrong.append("Elasticsearch has lost the primary of a shard of ours (status red)")
    for level in ("persistent", "transient"):
        wrong += [
            f"the cluster is blocked for writing ({name})"
            for name in _CLUSTER_BLOCKS
            if settings.get(level, {}).get(name) == "true"
        ]
    return wrong


def _index_faults(blocks: dict[str, dict[str, Any]], now: datetime) -> list[str]:
    """Blocked indices. An older day's index may be closed for writing on purpose; a full disk is never meant."""
    wrong = [
        f"{name} is blocked because a disk is full ({_FLOOD_STAGE})"
        for name, found in sorted(blocks.items())
        if found.get(_FLOOD_STAGE) == "true"
    ]
    for name, found in sorted(blocks.items()):
        dated = name[-10:].replace(".", "").isdecimal()
        if not dated or name.endswith(f"{now:%Y.%m.%d}"):
            wrong += [f"{name} is blocked for writing ({block})" for block in _BLOCKS if found.get(block) == "true"]
    return wrong[:5]

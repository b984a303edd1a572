"""What a cluster has and how it stands, for ``doctor``: asked of it, changing nothing.

Promise: what our store needs is in every distribution (see :mod:`.templates`); what it does not need and this cluster
has, or lacks, is told and never a fault. Each question is asked by itself: an account that may not ask one gets the
answers to the others. Limits: as the cluster says it at this moment.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from elasticsearch import ApiError, AsyncElasticsearch

from schoolwacht_collector.index.elasticsearch import client as connection
from schoolwacht_collector.index.elasticsearch import templates
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings

#: The major version that this was written and tested against.
MAJOR = "9"
#: Shares of the shards that a cluster may have, and of a disk, from which on it is time to act.
_SHARDS_SHARE = 0.8
_LOW_WATERMARK = 0.85
_SHARDS_A_NODE = 1000
#: Seconds that the cluster's clock may differ from ours: half of the future that intake takes unmarked by default.
_CLOCK = 150.0
#: What we do not need: how a build without it says so is the same for all, that there is no such way.
_EXTRAS = {
    "delete by query": ("POST", "/schoolwacht-none-*/_delete_by_query?allow_no_indices=true"),
    "lifecycle policies": ("GET", "/_ilm/status"),
    "ES|QL": ("GET", "/_query/queries"),
    "API keys": ("GET", "/_security/_authenticate"),
}


class Trait(NamedTuple):
    """One thing that was looked at; ``good`` is False where somebody should act."""

    subject: str
    good: bool
    detail: str


async def probe(client: AsyncElasticsearch, settings: ElasticsearchSettings) -> list[Trait]:
    """Ask everything. Raises nothing for a question that is refused: that is an answer too."""
    asked: tuple[tuple[str, Callable[[], Awaitable[list[Trait]]]], ...] = (
        ("version", lambda: _version(client)),
        ("licence", lambda: _licence(client)),
        ("build", lambda: _build(client)),
        ("fields", lambda: _fields(client, settings.prefix)),
        ("shards", lambda: _shards(client, settings)),
        ("cluster's disks", lambda: _disks(client)),
        ("cluster's clock", lambda: _clock(client)),
        ("snapshots", lambda: _snapshots(client)),
    )
    found: list[Trait] = []
    for subject, ask in asked:
        try:
            found += await ask()
        except connection.FAULTS as error:
            found.append(Trait(subject, False, f"cannot be asked: {connection.fault(error)}"))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            found.append(Trait(subject, False, f"was answered in a way that this version does not know: {error!r}"))
    return found


async def _version(client: AsyncElasticsearch) -> list[Trait]:
    nodes = (await client.nodes.info(node_id="_all", metric="settings", filter_path=_VERSIONS)).body["nodes"].values()
    versions = sorted({str(node["version"]) for node in nodes})
    text = f"Elasticsearch {', '.join(versions)} on {len(nodes)} nodes"
    if len(versions) > 1:
        return [Trait("version", False, f"{text}: finish the upgrade of the cluster")]
    if versions[0].partition(".")[0] != MAJOR:
        return [Trait("version", False, f"{text}: tested with {MAJOR} only")]
    return [Trait("version", True, text)]


async def _licence(client: AsyncElasticsearch) -> list[Trait]:
    answer = (await client.perform_request("GET", "/_license", headers=_JSON)).body
    found = answer.get("license", {}) if isinstance(answer, dict) else {}
    kind, status = found.get("type", "none"), found.get("status", "unknown")
    return [Trait("licence", status != "expired", f"{kind} ({status}); the store uses no feature beyond basic")]


_VERSIONS = "nodes.*.version"
_JSON = {"Accept": "application/json"}


async def _build(client: AsyncElasticsearch) -> list[Trait]:
    has: list[str] = []
    lacks: list[str] = []
    for name, (method, path) in _EXTRAS.items():
        (has if await _is_there(client, method, path) else lacks).append(name)
    parts = [f"{word} {', '.join(names)}" for word, names in (("has", has), ("lacks", lacks)) if names]
    return [Trait("build", True, f"{'; '.join(parts)}; none of these is needed")]


async def _is_there(client: AsyncElasticsearch, method: str, path: str) -> bool:
    body: dict[str, Any] | None = {"query": {"match_none": {}}} if method == "POST" else None
    headers = _JSON | ({"Content-Type": "application/json"} if body else {})
    try:
        await client.perform_request(method, path, headers=headers, body=body)
    except ApiError as error:
        said = str(error.body)
        return not ("no handler found" in said or "Incorrect HTTP method" in said or "is not available" in said)
    return True


async def _fields(client: AsyncElasticsearch, prefix: str) -> list[Trait]:
    """Whether the newest index of events is mapped as our templates say: another template may have come between."""
    kinds = {name: str(one.get("type")) for name, one in _event_mapping().items()}
    answer = (
        await client.indices.get_mapping(
            index=f"{prefix}-*-2*", ignore_unavailable=True, allow_no_indices=True, filter_path="*.mappings.properties"
        )
    ).body
    if not answer:
        return [
            Trait("fields", True, f"{len(kinds)} fields of {len(set(kinds.values()))} types; no index of a day yet")
        ]
    newest = max(answer, key=lambda name: str(name)[-10:])
    mapped = answer[newest].get("mappings", {}).get("properties", {})
    wrong = sorted(name for name, kind in kinds.items() if mapped.get(name, {}).get("type") != kind)
    if wrong:
        return [
            Trait(
                "fields",
                False,
                f"{newest} maps {len(wrong)} fields otherwise than this version ({', '.join(wrong[:3])}): run"
                " schoolwacht-collector init; is another template of higher priority in the way?",
            )
        ]
    return [Trait("fields", True, f"{newest} maps all {len(kinds)} fields as this version does")]


def _event_mapping() -> dict[str, Any]:
    found: dict[str, Any] = templates.mapping(Kind.EVENT)["properties"]
    return found


async def _shards(client: AsyncElasticsearch, settings: ElasticsearchSettings) -> list[Trait]:
    ours = (await client.cluster.health(index=f"{settings.prefix}-*", expand_wildcards="all")).body
    whole = (await client.cluster.health()).body
    options = await client.cluster.get_settings(flat_settings=True, include_defaults=True)
    a_node = int(_setting(options.body, "cluster.max_shards_per_node", _SHARDS_A_NODE))
    return list(_of_shards(ours, whole, settings.replicas, a_node))


def _of_shards(ours: dict[str, Any], whole: dict[str, Any], replicas: int, a_node: int) -> Iterator[Trait]:
    nodes = whole["number_of_data_nodes"]
    if replicas >= nodes:
        yield Trait("copies", False, f"replicas = {replicas} needs {replicas + 1} data nodes, there are {nodes}")
    elif nodes > 1 and not replicas:
        yield Trait(
            "copies", False, f"replicas = 0 on {nodes} nodes: each that is lost takes its events with it; set 1"
        )
    else:
        yield Trait("copies", True, f"replicas = {replicas} on {nodes} data nodes")
    missing = ours["unassigned_shards"]
    if missing:
        yield Trait("shards", False, f"{missing} of ours are not assigned to a node (status {ours['status']})")
    used, most = whole["active_shards"] + whole["unassigned_shards"], a_node * max(1, nodes)
    text = f"{used:,} of at most {most:,} in the cluster"
    if used > _SHARDS_SHARE * most:
        yield Trait("shards", False, f"{text}: beyond, a new day has no index and nothing is stored; add nodes")
    elif not missing:
        yield Trait("shards", True, text)


async def _disks(client: AsyncElasticsearch) -> list[Trait]:
    options = (await client.cluster.get_settings(flat_settings=True, include_defaults=True)).body
    name = "cluster.routing.allocation.disk."
    if str(_setting(options, f"{name}threshold_enabled", "true")) == "false":
        found = [Trait("watermarks", False, "are switched off (threshold_enabled): a full disk would not be held off")]
    else:
        marks = ", ".join(
            str(_setting(options, f"{name}watermark.{each}", "?")) for each in ("low", "high", "flood_stage")
        )
        found = [Trait("watermarks", True, f"low, high, flood stage: {marks}")]
    stats = (await client.nodes.stats(metric="fs")).body["nodes"].values()
    for node in sorted(stats, key=lambda each: str(each["name"])):
        total = node["fs"]["total"]
        used = 1 - total["available_in_bytes"] / total["total_in_bytes"]
        free = total["available_in_bytes"] / (1 << 30)
        text = f"{node['name']}: {used:.0%} used, {free:,.0f} GiB free"
        good = used < _LOW_WATERMARK
        found.append(Trait("cluster's disks", good, text if good else f"{text}: expire earlier or add disk"))
    return found


async def _clock(client: AsyncElasticsearch) -> list[Trait]:
    before = time.time()
    stats = (await client.nodes.stats(metric="fs")).body["nodes"].values()
    after = time.time()
    return list(_of_clocks({str(node["name"]): node["timestamp"] / 1000 for node in stats}, before, after))


def _of_clocks(clocks: dict[str, float], before: float, after: float) -> Iterator[Trait]:
    """Each node's clock against ours, which moved from ``before`` to ``after`` while they were asked."""
    for name, told in sorted(clocks.items()):
        # The file system's figures may be a second old.
        off = max(before - 2.0 - told, told - after, 0.0)
        if off > _CLOCK:
            yield Trait("cluster's clock", False, f"{name} is {off:,.0f} s apart from this machine: run an NTP client")
            return
    yield Trait("cluster's clock", True, "agrees with this machine's")


async def _snapshots(client: AsyncElasticsearch) -> list[Trait]:
    names = sorted((await client.snapshot.get_repository()).body)
    if not names:
        return [Trait("snapshots", False, "no repository: nothing is backed up (docs/operating.md, Elasticsearch)")]
    return [Trait("snapshots", True, f"repositories: {', '.join(names)}")]


def _setting(options: dict[str, Any], name: str, default: object) -> Any:
    for level in ("transient", "persistent", "defaults"):
        if name in options.get(level, {}):
            return options[level][name]
    return default

"""Names, mapping and templates, all made from the table of fields.

``<prefix>-<dataset>-<yyyy.mm.dd>`` holds the events of one dataset and day, by their own time, so that an event
delivered twice meets itself; ``<prefix>-events`` and ``<prefix>-signals`` are the aliases that searches read;
``<prefix>-alert`` and so on hold the records. Indices come into being by templates when they are first written.

Needs nothing beyond the basic features: no data streams, lifecycle policies, pipelines, scripts or runtime fields.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import DOCUMENTS, Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.query.fields import SEARCHABLE_MAX, Field, Type, of_kind

Body = dict[str, Any]

#: Of an event, kept by column only: queries on them give the same answers, read from the column instead of an index.
#: They are copies of indexed fields (a query reaches them through those, see query/elasticsearch.py), and figures that
#: one compares after having narrowed down by something else. An index on each of them costs half of the whole writing.
_SCANNED = frozenset(
    {
        "source.address", "destination.address", "client.ip", "client.port", "server.ip", "server.port",
        "source.bytes", "source.packets", "destination.bytes", "destination.packets", "network.bytes",
        "network.packets", "source.port", "event.duration", "event.start", "event.end", "event.sequence",
        "event.id", "event.ingested", "ecs.version", "event.category", "event.type", "dns.id", "observer.vendor",
        "observer.type", "observer.product", "observer.version", "related.ip", "related.hosts", "related.hash",
        "nsm.flow.source_tcp_flags", "nsm.flow.destination_tcp_flags", "dns.header_flags", "dns.op_code",
        "network.type", "source.mac", "destination.mac", "nsm.icmp.type", "nsm.icmp.code", "dns.answers.name",
        "dns.answers.type",
    }
)  # fmt: skip
#: Above the 200 of the vendor's own templates.
_PRIORITY = 500


def dated_index(prefix: str, dataset: Dataset, day: date) -> str:
    """The index of a dataset's events of one day (UTC)."""
    return f"{prefix}-{dataset.value}-{day:%Y.%m.%d}"


def dated_indices(prefix: str, dataset: Dataset) -> str:
    """A pattern for the names of all indices of a dataset."""
    return f"{prefix}-{dataset.value}-*"


class Dated(NamedTuple):
    """What the name of an index says."""

    dataset: Dataset
    day: date


def dated(prefix: str, name: str) -> Dated | None:
    """The dataset and day of an index of ours, None if the name is no such one."""
    head, _, day = name.rpartition("-")
    try:
        found = Dated(Dataset(head.removeprefix(f"{prefix}-")), datetime.strptime(day, "%Y.%m.%d").date())
    except ValueError:
        return None
    return found if name == dated_index(prefix, found.dataset, found.day) else None


def readable(prefix: str, kind: Kind) -> str:
    """What a search of this kind reads: an alias for documents, an index for records."""
    return f"{prefix}-{kind.value}s" if kind in DOCUMENTS else f"{prefix}-{kind.value}"


def mapping(kind: Kind) -> Body:
    """The mapping of the rows of a kind. A field that has no place in the table is kept and not searchable.

    Names keep their dots (``subobjects``): taking the names of an event apart costs as much as a third of its indexing.
    """
    properties = {known.name: _type(known) for known in of_kind(kind) if known.type is not Type.OPAQUE}
    if kind is Kind.EVENT:
        for name in _SCANNED:
            properties[name]["index"] = False
    return {"dynamic": False, "date_detection": False, "subobjects": False, "properties": properties}


def _type(known: Field) -> Body:
    match known.type:
        case Type.DATE:
            return {"type": "date" if known.wide else "date_nanos"}
        case Type.KEYWORD if not known.bounded:
            return {"type": "keyword", "ignore_above": SEARCHABLE_MAX}
        case _:
            return {"type": known.type.value}


#: The shape of what is kept in a cluster. It grows when a change cannot be made by adding fields; how a cluster comes
#: from one to the next: :mod:`.schema`.
SCHEMA = 2


def version(settings: ElasticsearchSettings) -> str:
    """A name for this state of the templates: another one means that ``init`` has to run again."""
    content = msgspec.json.encode([_COMMON, index_templates(settings, "")], order="deterministic")
    return hashlib.sha256(content).hexdigest()[:16]


def component_templates(settings: ElasticsearchSettings) -> dict[str, Body]:
    """The component templates by name."""
    return {
        common_name(settings.prefix): {"template": _COMMON, "_meta": {"version": version(settings), "schema": SCHEMA}}
    }


def index_templates(settings: ElasticsearchSettings, meta: str) -> dict[str, Body]:
    """The index templates by name, one a kind."""
    return {
        f"{settings.prefix}-{kind.value}": {
            "index_patterns": patterns(settings.prefix, kind),
            "composed_of": [common_name(settings.prefix)],
            "priority": _PRIORITY,
            "template": _template(settings, kind),
            "_meta": {"version": meta, "schema": SCHEMA},
        }
        for kind in Kind
    }


def patterns(prefix: str, kind: Kind) -> list[str]:
    """Names of the indices of a kind."""
    if kind not in DOCUMENTS:
        return [readable(prefix, kind)]
    datasets = [dataset for dataset in Dataset if (dataset is Dataset.SIGNAL) == (kind is Kind.SIGNAL)]
    return [dated_indices(prefix, dataset) for dataset in datasets]


def _template(settings: ElasticsearchSettings, kind: Kind) -> Body:
    found: Body = {"number_of_shards": 1, "number_of_replicas": settings.replicas}
    if kind is Kind.EVENT:
        found |= {"number_of_shards": settings.shards, "refresh_interval": f"{settings.refresh_seconds}s"}
    aliases: Body = {readable(settings.prefix, kind): {}} if kind in DOCUMENTS else {}
    return {"settings": found, "aliases": aliases, "mappings": mapping(kind)}


# An explicit refresh interval also keeps shards that nobody searches from going idle.
_COMMON: Body = {"settings": {"index": {"codec": "best_compression", "refresh_interval": "1s"}}}


def common_name(prefix: str) -> str:
    """The component template that all indices share, which carries the version."""
    return f"{prefix}-common"

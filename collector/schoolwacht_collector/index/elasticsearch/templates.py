"""Names, mapping and templates, all made from the table of fields.

``<prefix>-<dataset>-<yyyy.mm.dd>`` holds the events of one dataset and day, by their own time, so that an event
delivered twice meets itself; ``<prefix>-events`` and ``<prefix>-signals`` are the aliases that searches read;
``<prefix>-alert`` and so on hold the records. Indices come into being by templates when they are first written.

Needs nothing beyond the basic features: no data streams, lifecycle policies, pipelines, scripts or runtime fields.
"""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

import msgspec

from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import DOCUMENTS, Kind
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.query.fields import FIELDS, SEARCHABLE_MAX, Field, Type
from schoolwacht_collector.records import RECORDS

Body = dict[str, Any]

#: Kept by column only: queries on them give the same answers and read the column instead of an index. They are copies
#: of indexed fields, and figures that one compares after having narrowed down by something else. An index on each of
#: them costs a third of the whole writing.
_SCANNED = frozenset(
    {
        "source.address", "destination.address", "client.ip", "client.port", "server.ip", "server.port",
        "source.bytes", "source.packets", "destination.bytes", "destination.packets", "network.bytes",
        "network.packets",
        "source.port", "event.duration", "event.start", "event.end", "event.sequence", "ecs.version", "event.category",
        "event.type", "dns.id", "observer.vendor", "observer.type", "observer.product", "observer.version",
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


def readable(prefix: str, kind: Kind) -> str:
    """What a search of this kind reads: an alias for documents, an index for records."""
    return f"{prefix}-{kind.value}s" if kind in DOCUMENTS else f"{prefix}-{kind.value}"


def mapping() -> Body:
    """The mapping of every index. A field that has no place in the table is kept and not searchable."""
    properties: Body = {}
    for known in FIELDS.values():
        place = properties
        *parents, leaf = known.name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {"properties": {}})["properties"]
        place[leaf] = _field_type(known)
    return {"dynamic": False, "date_detection": False, "properties": properties}


def _field_type(known: Field) -> Body:
    body = _type(known)
    if known.name in _SCANNED:
        body["index"] = False
    return body


def _type(known: Field) -> Body:
    match known.type:
        case Type.DATE:
            return {"type": "date" if known.wide else "date_nanos"}
        case Type.OPAQUE:
            return {"type": "object", "enabled": False}
        case Type.KEYWORD if not known.bounded:
            return {"type": "keyword", "ignore_above": SEARCHABLE_MAX}
        case _:
            return {"type": known.type.value}


def version(settings: ElasticsearchSettings) -> str:
    """A name for this state of the templates: another one means that ``init`` has to run again."""
    content = msgspec.json.encode([_fields(), index_templates(settings, "")], order="deterministic")
    return hashlib.sha256(content).hexdigest()[:16]


def component_templates(settings: ElasticsearchSettings) -> dict[str, Body]:
    """The component templates by name."""
    return {_fields_name(settings.prefix): {"template": _fields(), "_meta": {"version": version(settings)}}}


def index_templates(settings: ElasticsearchSettings, meta: str) -> dict[str, Body]:
    """The index templates by name: events, signals and records differ in names, aliases and settings."""
    prefix = settings.prefix
    events = [f"{prefix}-{dataset.value}-*" for dataset in Dataset if dataset is not Dataset.SIGNAL]
    records = [readable(prefix, kind) for kind in RECORDS]
    return {
        f"{prefix}-events": _index_template(settings, events, meta, readable(prefix, Kind.EVENT), settings.shards),
        f"{prefix}-signals": _index_template(
            settings, [f"{prefix}-{Dataset.SIGNAL.value}-*"], meta, readable(prefix, Kind.SIGNAL), 1
        ),
        f"{prefix}-records": _index_template(settings, records, meta, None, 1),
    }


def _index_template(
    settings: ElasticsearchSettings, patterns: list[str], meta: str, alias: str | None, shards: int
) -> Body:
    template: Body = {"settings": {"index": {"number_of_shards": shards, "number_of_replicas": settings.replicas}}}
    if alias is not None:
        template["aliases"] = {alias: {}}
    return {
        "index_patterns": patterns,
        "composed_of": [_fields_name(settings.prefix)],
        "priority": _PRIORITY,
        "template": template,
        "_meta": {"version": meta},
    }


def _fields() -> Body:
    # An explicit refresh interval also keeps shards that nobody searches from going idle.
    return {
        "settings": {"index": {"codec": "best_compression", "refresh_interval": "1s"}},
        "mappings": mapping(),
    }


def _fields_name(prefix: str) -> str:
    return f"{prefix}-fields"

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


def readable(prefix: str, kind: Kind) -> str:
    """What a search of this kind reads: an alias for documents, an index for records."""
    return f"{prefix}-{kind.value}s" if kind in DOCUMENTS else f"{prefix}-{kind.value}"


def mapping() -> Body:
    """The mapping of signals and records. A field that has no place in the table is kept and not searchable."""
    return _mapping({known.name: _type(known) for known in FIELDS.values()})


def event_mapping() -> Body:
    """The mapping of events: there are a hundred times as many, and each index costs."""
    lean = {name: {"index": False} for name in _SCANNED}
    return _mapping({known.name: _type(known) | lean.get(known.name, {}) for known in FIELDS.values()})


def event_patterns(prefix: str) -> list[str]:
    """Names of the indices of events, without signals."""
    return [f"{prefix}-{dataset.value}-*" for dataset in Dataset if dataset is not Dataset.SIGNAL]


def _mapping(types: dict[str, Body]) -> Body:
    properties: Body = {}
    for name, body in types.items():
        place = properties
        *parents, leaf = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {"properties": {}})["properties"]
        place[leaf] = body
    return {"dynamic": False, "date_detection": False, "properties": properties}


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
    """The index templates by name: events, signals and records differ in settings, aliases and what is indexed."""
    prefix = settings.prefix
    events = {
        "settings": _shards(settings, settings.shards) | {"refresh_interval": f"{settings.refresh_seconds}s"},
        "aliases": {readable(prefix, Kind.EVENT): {}},
        "mappings": event_mapping(),
    }
    signals = {"settings": _shards(settings, 1), "aliases": {readable(prefix, Kind.SIGNAL): {}}}
    records = {"settings": _shards(settings, 1)}
    return {
        f"{prefix}-{name}": {
            "index_patterns": patterns,
            "composed_of": [_fields_name(prefix)],
            "priority": _PRIORITY,
            "template": template,
            "_meta": {"version": meta},
        }
        for name, patterns, template in (
            ("events", event_patterns(prefix), events),
            ("signals", [f"{prefix}-{Dataset.SIGNAL.value}-*"], signals),
            ("records", [readable(prefix, kind) for kind in RECORDS], records),
        )
    }


def _shards(settings: ElasticsearchSettings, shards: int) -> Body:
    return {"number_of_shards": shards, "number_of_replicas": settings.replicas}


def _fields() -> Body:
    # An explicit refresh interval also keeps shards that nobody searches from going idle.
    return {
        "settings": {"index": {"codec": "best_compression", "refresh_interval": "1s"}},
        "mappings": mapping(),
    }


def _fields_name(prefix: str) -> str:
    return f"{prefix}-fields"

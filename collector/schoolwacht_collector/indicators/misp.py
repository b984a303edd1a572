"""MISP: an event, several, or a list of attributes, as its API and feeds write them.

Attributes that are deleted or not meant for detection (``to_ids``) are context and left out without a word. Kept:
who made the event, comments, TLP tags (an attribute's own before its event's), the confidence taxonomy, and the
attribute's UUID as reference. Source: MISP core format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from schoolwacht.errors import IndicatorError
from schoolwacht_collector import tlp
from schoolwacht_collector.indicators.make import plain
from schoolwacht_collector.indicators.port import (
    Format,
    Found,
    Record,
    Text,
    line_of,
    list_of,
    record_of,
    text_of,
    whole_json,
)

#: The types of attributes that are compared, with ours; of two values with ``|`` each, None for one that is not.
_TYPES: MappingProxyType[str, tuple[str | None, ...]] = MappingProxyType(
    {
        "ip-src": ("ip",),
        "ip-dst": ("ip",),
        "ip-src|port": ("ip", None),
        "ip-dst|port": ("ip", None),
        "domain": ("domain",),
        "hostname": ("domain",),
        "domain|ip": ("domain", "ip"),
        "hostname|port": ("domain", None),
        "url": ("url",),
        "link": ("url",),
        "md5": ("file-md5",),
        "sha1": ("file-sha1",),
        "sha256": ("file-sha256",),
        "filename|md5": (None, "file-md5"),
        "filename|sha1": (None, "file-sha1"),
        "filename|sha256": (None, "file-sha256"),
        "malware-sample": (None, "file-md5"),
        "ja3-fingerprint-md5": ("ja3",),
        "x509-fingerprint-sha1": ("certificate-sha1",),
        "x509-fingerprint-sha256": ("certificate-sha256",),
    }
)
_CONFIDENCE = re.compile(r'misp:confidence-level="([a-z-]+)"')
_CONFIDENCES = {
    "completely-confident": "High",
    "usually-confident": "High",
    "fairly-confident": "Medium",
    "rarely-confident": "Low",
    "unconfident": "Low",
}


def _fits(text: Text) -> bool:
    head = text.head
    return head.startswith(("{", "[")) and ('"Event"' in head or '"Attribute"' in head or '"to_ids"' in head)


def _read(text: Text) -> Iterator[Found]:
    after = found = 0
    for place, (attribute, event) in enumerate(_attributes(whole_json(text))):
        found += 1
        if attribute.get("deleted") in (True, "1") or attribute.get("to_ids") in (False, "0", 0, None):
            continue
        line, after = line_of(text, attribute.get("uuid"), after)
        where = f"attribute {place + 1} {plain(text_of(attribute.get('uuid')), 40)}".strip()
        kind, value = text_of(attribute.get("type")), text_of(attribute.get("value"))
        types = _TYPES.get(kind)
        if types is None:
            yield IndicatorError(f"type {plain(kind, 40)!r} is not compared", path=text.path, line=line, field=where)
            continue
        parts = value.split("|") if len(types) > 1 else [value]
        if len(parts) < len(types):
            yield IndicatorError(f"has no two values as {kind} needs", path=text.path, line=line, field=where)
            continue
        common = _common(attribute, event)
        for wanted, part in zip(types, parts, strict=False):
            if wanted is not None:
                yield Record(line, {"value": part, "type": _type(wanted, part), **common}, where)
    if not found:
        yield IndicatorError("holds no MISP attributes", path=text.path)


def _type(wanted: str, value: str) -> str:
    if wanted != "ip":
        return wanted
    return "network" if "/" in value else "address"


def _attributes(value: object) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each attribute with the event that it is of, wherever the file has them."""
    for item in value if isinstance(value, list) else [value]:
        each = record_of(item)
        if "response" in each:
            yield from _attributes(each["response"])
            continue
        event = record_of(each.get("Event", each))
        if "type" in event and "value" in event:
            yield event, record_of(event.get("Event"))
            continue
        holders = [event, *map(record_of, list_of(event.get("Object")))]
        for holder in holders:
            for attribute in map(record_of, list_of(holder.get("Attribute"))):
                yield attribute, event


def _common(attribute: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, str]:
    parts = (text_of(event.get("info")), text_of(attribute.get("comment")))
    found = {
        "description": plain(": ".join(part for part in parts if part)),
        "provider": plain(text_of(record_of(event.get("Orgc") or event.get("Org")).get("name")), 256),
        "reference": plain(text_of(attribute.get("uuid")), 256),
        "valid_from": text_of(attribute.get("first_seen")),
        "tlp": _label(attribute) or _label(event) or "",
        "confidence": _confidence(attribute) or _confidence(event) or "",
    }
    return {name: value for name, value in found.items() if value}


def _tags(holder: Mapping[str, Any]) -> list[str]:
    return [text_of(record_of(tag).get("name")).lower() for tag in list_of(holder.get("Tag"))]


def _label(holder: Mapping[str, Any]) -> str | None:
    labels = [tag.replace("tlp:ex:chr", "tlp:red") for tag in _tags(holder) if tag.startswith("tlp:")]
    return tlp.strictest(*labels)


def _confidence(holder: Mapping[str, Any]) -> str | None:
    found = (_CONFIDENCE.fullmatch(tag) for tag in _tags(holder))
    return next((_CONFIDENCES.get(each[1], "Low") for each in found if each), None)


FORMAT = Format(_fits, _read, "MISP: the attributes of events that are meant for detection")

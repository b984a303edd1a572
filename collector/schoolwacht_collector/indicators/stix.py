"""STIX 2.1: a bundle, or the envelope of a TAXII 2.1 collection. Its indicators; everything else in it is context.

Kept: validity, confidence (0-100 as STIX's scale has it: 1-29 Low, 30-69 Medium, from 70 High), the name of who made
it, the TLP of its markings (1 and 2; one that the bundle does not hold is taken for RED), and its id as reference. A
revoked indicator ends at the moment of its revocation. Source: STIX 2.1, and TLP 2.0's extension to it.
"""

from __future__ import annotations

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
from schoolwacht_collector.indicators.stix_pattern import PatternError, values_of

_TLP_IDS: MappingProxyType[str, str] = MappingProxyType(
    {
        "94868c89-83c2-464b-929b-a1a8aa3c8487": "CLEAR",
        "bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "GREEN",
        "55d920b0-5e8b-4f79-9ee9-91f868d9b421": "AMBER",
        "939a9414-2ddd-4d32-a0cd-375ea402b003": "AMBER+STRICT",
        "e828b379-4e03-4974-9ac4-e53a884c97c1": "RED",
        # Those of version 1.
        "613f2e26-407d-48c7-9eca-b8e91df99dc9": "CLEAR",
        "34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
        "f88d31f6-486f-44da-b317-01333bde0b82": "AMBER",
        "5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "RED",
    }
)
_TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"


def _fits(text: Text) -> bool:
    head = text.head
    return head.startswith("{") and '"objects"' in head and ('"bundle"' in head or '"spec_version"' in head)


def _read(text: Text) -> Iterator[Found]:
    objects = list_of(record_of(whole_json(text)).get("objects"))
    if not objects:
        yield IndicatorError("holds no STIX objects", path=text.path, field="objects")
        return
    names = {text_of(each.get("id")): text_of(each.get("name")) for each in objects if isinstance(each, dict)}
    markings = {
        text_of(each.get("id")): _tlp(each)
        for each in map(record_of, objects)
        if each.get("type") == "marking-definition"
    }
    after = 0
    for place, each in enumerate(objects):
        if not isinstance(each, dict) or each.get("type") != "indicator":
            continue
        line, after = line_of(text, each.get("id"), after)
        where = f"objects[{place}] {plain(text_of(each.get('id')), 80)}".strip()
        try:
            values = _values(each)
        except PatternError as error:
            yield IndicatorError(str(error), path=text.path, line=line, field=where)
            continue
        common = _common(each, names, markings)
        for value in values:
            kind = {} if value.type is None else {"type": value.type.value}
            yield Record(line, {"value": value.value, **kind, **common}, where)


def _values(indicator: Mapping[str, Any]) -> list[Any]:
    language = indicator.get("pattern_type", "stix")
    if language != "stix":
        raise PatternError(f"has a pattern of type {plain(str(language), 40)}, not stix")
    pattern = indicator.get("pattern")
    if not isinstance(pattern, str):
        raise PatternError("has no pattern")
    return values_of(pattern)


def _common(
    indicator: Mapping[str, Any], names: Mapping[str, str], markings: Mapping[str, str | None]
) -> dict[str, str]:
    title, described = text_of(indicator.get("name")), text_of(indicator.get("description"))
    found = {
        "description": plain(": ".join(part for part in (title, described) if part)),
        "valid_from": text_of(indicator.get("valid_from")),
        "valid_until": text_of(indicator.get("modified" if indicator.get("revoked") is True else "valid_until")),
        "provider": plain(names.get(text_of(indicator.get("created_by_ref")), ""), 256),
        "reference": plain(text_of(indicator.get("id")), 256),
    }
    confidence = indicator.get("confidence")
    if isinstance(confidence, int) and confidence > 0:
        found["confidence"] = "High" if confidence >= 70 else "Medium" if confidence >= 30 else "Low"
    labels = [_of_reference(text_of(each), markings) for each in list_of(indicator.get("object_marking_refs"))]
    if (label := tlp.strictest(*labels)) is not None:
        found["tlp"] = label
    return {name: value for name, value in found.items() if value}


def _of_reference(reference: str, markings: Mapping[str, str | None]) -> str | None:
    if reference in markings:
        return markings[reference]
    return _TLP_IDS.get(reference.removeprefix("marking-definition--"), "RED")


def _tlp(marking: Mapping[str, Any]) -> str | None:
    """The label of a marking; None if it is about something else (a copyright)."""
    known = _TLP_IDS.get(text_of(marking.get("id")).removeprefix("marking-definition--"))
    extension = record_of(record_of(marking.get("extensions")).get(_TLP_EXTENSION))
    given = extension.get("tlp_2_0") or record_of(marking.get("definition")).get("tlp")
    if known is None and isinstance(given, str):
        try:
            return tlp.read(given).value
        except ValueError:
            return "RED"
    return known


FORMAT = Format(_fits, _read, "STIX 2.1: the indicators of a bundle")

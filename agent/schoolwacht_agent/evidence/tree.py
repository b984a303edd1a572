"""The decoded packets as what leaves the school: treated, bounded, in plain form. Pure, save the treatment it is given.

The result is a JSON text (:class:`Tree`): packets, their layers from the outside in, and of each layer the fields as
name, label and value. ``left_out`` says how many fields the policy kept back and how many packets found no room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.evidence.dissect import DecodedPacket, FieldKind
from schoolwacht_agent.evidence.policy import Treat, is_noise, plain, probe, unprobe

_LAYER = re.compile(r"[\w.() /-]{1,40}")
#: Layers that say nothing of the traffic.
_WITHOUT = frozenset({"fake-field-wrapper", "DATA", "data", "_ws.malformed"})
_VALUE_MAX = 200


class Layer(msgspec.Struct, frozen=True):
    """A layer: its name, and its fields as name, label and value."""

    name: str
    fields: list[tuple[str, str, str]]


class TreePacket(msgspec.Struct, frozen=True):
    """A packet: when, how long, and its layers from the outside in."""

    time: str
    bytes: int
    layers: list[Layer]


class LeftOut(msgspec.Struct, frozen=True):
    """How many fields the policy kept back, and how many packets found no room."""

    fields: int
    packets: int


class Tree(msgspec.Struct, frozen=True):
    """What is sent."""

    packets: list[TreePacket]
    left_out: LeftOut


def unknown(packets: list[DecodedPacket], known: Mapping[str, FieldKind]) -> frozenset[str]:
    """The fields of which nothing is known yet."""
    return frozenset(name for name, shown in _fields(packets) if name not in known and not is_noise(name, shown))


def make_tree(
    packets: list[DecodedPacket], known: Mapping[str, FieldKind], signal: Event, treat: Treat, max_bytes: int
) -> bytes:
    """The tree as JSON, ``max_bytes`` long at most.

    Args:
        packets: as decoded.
        known: what tshark says of fields.
        signal: of which they are; says whose pseudonyms are used.
        treat: see :data:`~schoolwacht_agent.evidence.policy.Treat`.
        max_bytes: the bound.
    """
    treated = _treat(packets, known, signal, treat)
    kept: list[TreePacket] = []
    left_out, room = 0, max_bytes - 100
    for packet in packets:
        made, missing = _packet(packet, known, treated)
        size = len(msgspec.json.encode(made)) + 1
        if size > room:
            break
        room -= size
        left_out += missing
        kept.append(made)
    return msgspec.json.encode(Tree(kept, LeftOut(left_out, len(packets) - len(kept))))


def _fields(packets: list[DecodedPacket]) -> Iterator[tuple[str, str]]:
    for packet in packets:
        for _, fields in packet.layers:
            yield from fields


def _treat(
    packets: list[DecodedPacket], known: Mapping[str, FieldKind], signal: Event, treat: Treat
) -> dict[tuple[str, str], str | None]:
    """Every value that needs treatment, treated: (event's field, value) → shown."""
    probes: dict[tuple[str, str], Event] = {}
    for name, shown in _fields(packets):
        kind = known.get(name)
        if kind is None or is_noise(name, shown):
            continue
        found = probe(name, kind.type, shown)
        if found is not None and found not in probes:
            event = Event(
                timestamp=signal.timestamp,
                event_dataset=Dataset.SIGNAL,
                network_direction=signal.network_direction,
                network_vlan_id=signal.network_vlan_id,
                school_location=signal.school_location,
                school_zone=signal.school_zone,
            )
            setattr(event, *found)
            probes[found] = event
    # Sentences last: a name in one is known by the field that had it.
    treat([event for (attribute, _), event in sorted(probes.items(), key=lambda item: item[0][0] == "message")])
    return {(attribute, value): getattr(event, attribute) for (attribute, value), event in probes.items()}


def _packet(
    packet: DecodedPacket, known: Mapping[str, FieldKind], treated: Mapping[tuple[str, str], str | None]
) -> tuple[TreePacket, int]:
    layers = []
    missing = 0
    for name, fields in packet.layers:
        shown: list[tuple[str, str, str]] = []
        for field, value in fields:
            if is_noise(field, value):
                continue
            kind = known.get(field)
            text = None if kind is None else _value(field, kind, value, treated)
            if kind is None or text is None:
                missing += 1
            else:
                shown.append((field, kind.label, text[:_VALUE_MAX]))
        if name not in _WITHOUT and _LAYER.fullmatch(name):
            layers.append(Layer(name, shown))
    return TreePacket(_moment(packet.seconds), packet.length, layers), missing


def _value(name: str, kind: FieldKind, shown: str, treated: Mapping[tuple[str, str], str | None]) -> str | None:
    if plain(name, kind.type, shown):
        called = kind.values.get(_number(shown))
        return f"{called} ({shown})" if called else shown
    found = probe(name, kind.type, shown)
    text = None if found is None else treated.get(found)
    return None if found is None or not text else unprobe(found[0], text)


def _number(shown: str) -> str:
    try:
        return str(int(shown, 0))
    except ValueError:
        return shown


def _moment(seconds: str) -> str:
    try:
        return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""

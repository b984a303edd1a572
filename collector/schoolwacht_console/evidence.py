"""The evidence of an alert as its page shows it: what is kept at the school, and its decoded packets.

What an agent sent is read by its shape and no further: a tree that has another is shown as one that cannot be read.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schoolwacht_collector.index.port import Row


class Layer(msgspec.Struct, frozen=True):
    """A layer: its name, and its fields as name, label and value."""

    name: str
    fields: list[tuple[str, str, str]]


class Packet(msgspec.Struct, frozen=True):
    """A packet: when, how long, and its layers from the outside in."""

    time: str
    bytes: int
    layers: list[Layer]

    @property
    def what(self) -> str:
        """The protocols in it."""
        return " · ".join(layer.name for layer in self.layers)


class LeftOut(msgspec.Struct, frozen=True):
    """How many fields the school's policy kept back, and how many packets found no room."""

    fields: int
    packets: int


class Tree(msgspec.Struct, frozen=True):
    """The decoded packets."""

    packets: list[Packet]
    left_out: LeftOut


class Evidence(NamedTuple):
    """A piece of evidence: its row, and its tree if there is one that can be read."""

    row: Row
    tree: Tree | None
    fault: str


def evidence_of(row: Row) -> Evidence:
    """An event of evidence for the page."""
    fault = str(row.get("evidence.fault") or "")
    text = row.get("evidence.tree")
    if not isinstance(text, str):
        return Evidence(row, None, fault)
    try:
        return Evidence(row, msgspec.json.decode(text, type=Tree), fault)
    except msgspec.MsgspecError:
        return Evidence(row, None, fault or "what the agent sent of the packets cannot be read")

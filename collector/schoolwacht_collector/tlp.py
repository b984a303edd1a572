"""The Traffic Light Protocol, version 2.0 (FIRST): who may see what the CERT shared."""

from __future__ import annotations

from enum import StrEnum


class Tlp(StrEnum):
    """A label, from the widest audience to the narrowest."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    AMBER_STRICT = "AMBER+STRICT"
    RED = "RED"


_ORDER = {label: place for place, label in enumerate(Tlp)}


def read(text: str) -> Tlp:
    """A label as people write it: any case, with or without ``TLP:``; WHITE of version 1 is CLEAR.

    Raises ValueError.
    """
    bare = text.strip().upper().removeprefix("TLP:").strip()
    return Tlp.CLEAR if bare == "WHITE" else Tlp(bare)


def allows(limit: Tlp, label: str | None) -> bool:
    """Whether something of this label may go where at most ``limit`` may; no label means free, an unknown one RED."""
    return label is None or _ORDER[limit] >= _ORDER[_known(label)]


def strictest(*labels: str | None) -> str | None:
    """The narrowest of some labels; None if there is none."""
    known = [_known(label) for label in labels if label is not None]
    return max(known, key=_ORDER.__getitem__).value if known else None


def _known(label: str) -> Tlp:
    try:
        return read(label)
    except ValueError:
        return Tlp.RED

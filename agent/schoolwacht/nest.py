"""A flat document with dotted names as the nested object that ECS draws: for people and for JSON lines.

Pure and independent of the order of the fields. Both stores and the wire keep the flat form.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def nest(row: Mapping[str, Any]) -> dict[str, Any]:
    """``{"source.ip": "10.0.0.1"}`` as ``{"source": {"ip": "10.0.0.1"}}``.

    Values are taken as they are; a value that is itself an object (``nsm.detail``) is not looked into. Where one name
    is a value and also the beginning of a longer name, the longer one keeps its dots, so that nothing is overwritten.
    """
    nested: dict[str, Any] = {}
    for name, value in row.items():
        above, last = _steps(name)
        if not above or any(outer in row for outer, _ in above):
            nested[name] = value
        else:
            place = nested
            for _, step in above:
                place = place.setdefault(step, {})
            place[last] = value
    return nested


@lru_cache(maxsize=4096)
def _steps(name: str) -> tuple[tuple[tuple[str, str], ...], str]:
    """The objects around a name, outermost first, each as (its own full name, its last step), and the leaf's name."""
    *steps, last = name.split(".")
    above = tuple((".".join(steps[: depth + 1]), step) for depth, step in enumerate(steps))
    return above, last

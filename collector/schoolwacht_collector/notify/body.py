"""What a notification says: JSON as Standard Webhooks lays it out (``type``, ``timestamp``, ``data``). Pure.

::

    {"type": "alert.opened", "timestamp": "2026-11-24T09:00:00Z", "data": {
        "id": "…", "link": "https://…/alerts/…", "title": "…", "state": "open", "severity": "high", "score": 70,
        "count": 1, "opened": "…", "first": "…", "last": "…",
        "board": "…", "school": "00AB00", "agent": "…", "entity": "10.0.0.5", "detection": "D24",
        "rule": {"id": "D24", "name": "…", "ruleset": "indicator", "category": "…"},
        "tactic": [{"id": "TA0011", "name": "Command and Control"}],
        "technique": [{"id": "T1071", "name": "Application Layer Protocol"}],
        "indicator": {"id": "…", "type": "domain", "value": "…", "tlp": "AMBER"},
        "examples": ["id of a signal", …]}}

``type`` is ``alert.opened`` for the first notification of an alert and ``alert.grew`` when its count has reached
another power of ten, ``alert.continues`` when it is open and still goes on after the interval of reminders,
``alert.spread`` when an alert of the sector is at more schools than was told. ``retro`` is true where a new indicator
was found in traffic of before. An alert of the sector has empty ``board`` and ``school``, and ``schools`` and
``boards`` (up to 500 of each) with ``school_count`` and ``board_count``. What is unknown is absent. Times are UTC;
``opened`` is system time, ``first`` and ``last`` are of the traffic. The text in it partly comes from the network: a
receiver must treat it as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from schoolwacht_collector.attack import TACTICS, TECHNIQUES
from schoolwacht_collector.records import Alert


class Reason(StrEnum):
    """Why a notification is sent."""

    OPENED = "alert.opened"
    GREW = "alert.grew"
    REMINDER = "alert.continues"
    SPREAD = "alert.spread"


def body_of(alert: Alert, reason: Reason, *, link: str | None, now: datetime) -> str:
    """The body as JSON text. ``link`` is the alert's page in the console, ``now`` when the notification is made."""
    data = {
        "id": alert.id,
        "link": link,
        "title": alert.title,
        "state": alert.state,
        "severity": alert.severity,
        "score": alert.score,
        "count": alert.count,
        "opened": alert.opened,
        "first": alert.first,
        "last": alert.last,
        "board": alert.board,
        "school": alert.school,
        "agent": alert.agent or None,
        "schools": alert.schools,
        "boards": alert.boards,
        "entity": alert.entity,
        "detection": alert.detection,
        "rule": _known(
            id=alert.rule_id, name=alert.rule_name, ruleset=alert.rule_ruleset, category=alert.rule_category
        ),
        "tactic": _named(alert.tactic_id, TACTICS),
        "technique": _named(alert.technique_id, {key: each.name for key, each in TECHNIQUES.items()}),
        "indicator": _known(
            id=alert.indicator_id, type=alert.indicator_type, value=alert.indicator_name, tlp=alert.tlp
        ),
        "examples": alert.examples,
        "retro": True if alert.retro else None,
        "school_count": alert.school_count or None,
        "board_count": alert.board_count or None,
    }
    body = {"type": reason, "timestamp": now, "data": _known(**data)}
    return msgspec.json.encode(body).decode()


def count_in(body: str) -> int:
    """The count that a body of :func:`body_of` told."""
    return int(msgspec.json.decode(body)["data"]["count"])


def schools_in(body: str) -> int:
    """How many schools a body of :func:`body_of` told of; 0 for an alert of one school."""
    return int(msgspec.json.decode(body)["data"].get("school_count", 0))


def _named(ids: Iterable[str], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_known(id=each, name=names.get(each)) for each in ids]


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value not in ([], {}, ())}

"""What an alert of the sector has that a school's has not: schools, boards, how many, and which signals. Pure.

Tenancy: an alert of the sector carries no board, so no scope of boards ever holds it or anything of it. Who may see
some boards only learns from :func:`elsewhere` that others have the same, and from five on how many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from schoolwacht.event import clip
from schoolwacht_collector.correlate.signal import NOBODY, RULESET, counted
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.prevalence.ask import COHORT
from schoolwacht_collector.query.ast import And, Equals, Exists, Node, OneOf
from schoolwacht_collector.records import Alert, AlertState

#: Schools and boards that an alert names; the counts go on.
NAMED = 500


def is_sector(signal: Row) -> bool:
    """Whether a stored signal is the sector's and no school's."""
    return signal.get("rule.ruleset") == RULESET and signal.get("organization.id") == NOBODY


def title(signal: Row) -> str:
    """What, about which value, at how many schools of how many boards."""
    detail: Mapping[str, str] = signal.get("nsm.detail") or {}
    schools, boards = int(detail.get("schools", 0)), int(detail.get("boards", 0))
    text = (
        f"{signal.get('rule.name', 'Unnamed rule')}: {signal.get('signal.entity', 'unknown')} at "
        f"{counted(schools, 'school')} of {counted(boards, 'board')}"
    )
    return clip("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))


def facts(signals: Sequence[Row]) -> dict[str, Any]:
    """The fields of an alert that follow from signals of the sector; empty for others."""
    found = [signal for signal in signals if is_sector(signal)]
    if not found:
        return {}
    details = [signal.get("nsm.detail") or {} for signal in found]
    return {
        "school_count": max(int(detail.get("schools", 0)) for detail in details),
        "board_count": max(int(detail.get("boards", 0)) for detail in details),
        "schools": _union(detail.get("school_list", "") for detail in details),
        "boards": _union(detail.get("board_list", "") for detail in details),
        "members": details[0].get("members"),
    }


def grown(alert: Alert, newest: Sequence[Row]) -> Alert:
    """The alert with what its newest signals say of schools and boards: nothing of it ever shrinks."""
    found = facts(newest)
    if not found:
        return alert
    largest = max(newest, key=lambda signal: int((signal.get("nsm.detail") or {}).get("schools", 0)))
    if found["school_count"] >= alert.school_count:
        alert = replace(alert, title=title(largest))
    return replace(
        alert,
        school_count=max(alert.school_count, found["school_count"]),
        board_count=max(alert.board_count, found["board_count"]),
        schools=_union([" ".join(alert.schools), " ".join(found["schools"])]),
        boards=_union([" ".join(alert.boards), " ".join(found["boards"])]),
        members=alert.members or found["members"],
    )


async def elsewhere(store: Store, alert: Alert) -> str | None:
    """One sentence for an alert of a school whose like is at other schools, fit for the eyes of any board; or None.

    It names no school, and no number below five. Raises StoreError.
    """
    if not alert.school:
        return None
    wanted: list[Node] = []
    if alert.indicator_id:
        wanted.append(Equals("threat.indicator.id", alert.indicator_id))
    elif alert.detection:
        wanted.append(OneOf("signal.entity", (alert.entity, alert.detection)))
    if not wanted:
        return None
    where = And(
        (
            *wanted,
            Equals("organization.id", NOBODY),
            Equals("rule.ruleset", RULESET),
            Exists("alert.school_count"),
            OneOf("alert.state", (AlertState.OPEN.value, AlertState.ACKNOWLEDGED.value)),
        )
    )
    rows = (await store.search(Search(Kind.ALERT, where, SECTOR, limit=1))).rows
    if not rows or alert.school not in rows[0].get("alert.schools", ()):
        return None
    return others(int(rows[0]["alert.school_count"]) - 1)


def others(number: int) -> str:
    """How many other schools, without a number below five."""
    return f"Also at {number:,} other schools." if number >= COHORT else "Also at other schools."


def _union(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({each for text in texts for each in text.split()}))[:NAMED]

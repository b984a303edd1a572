"""What an alert is, as a function of its signals. Pure; :mod:`.alerts` asks the store.

The signals of a key are cut into alerts by their arrival (``event.ingested``). An alert begins with the first signal
that no earlier alert covers, and covers what arrives until it is closed, or until nothing has arrived for
:data:`QUIET`; what arrives then begins the next one. Its own start, ``since``, is where the one before it ended, so
that a signal which becomes visible late still falls to exactly one alert.

Count, first, last and score are what the store counts over that span, never a sum of what was seen: counting again,
after a crash or by another leader, changes nothing. They never go down either, because the signals of a long alert
expire before it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from schoolwacht.event import Direction, clip
from schoolwacht.identity import identify
from schoolwacht_collector import tlp
from schoolwacht_collector.correlate import sector
from schoolwacht_collector.index.port import Row, Tally
from schoolwacht_collector.records import Alert, AlertState
from schoolwacht_collector.score import severity_of

QUIET = timedelta(hours=24)
EXAMPLES = 5


class Evidence(NamedTuple):
    """What the store says of the signals that an alert covers.

    ``newest`` holds up to four of them, newest first; ``score`` is the greatest of all.
    """

    tally: Tally
    arrived: datetime
    newest: Sequence[Row]
    score: int


def arrival(signal: Row) -> datetime:
    """When a stored signal came in."""
    return datetime.fromisoformat(signal["event.ingested"])


def score_of(signal: Row) -> int:
    """The score of a stored signal."""
    return int(signal.get("signal.score", 0))


def begin(signal: Row, *, since: datetime | None, previous: Alert | None) -> Alert:
    """An alert that has counted nothing yet, from its first signal. :func:`fold` completes it.

    Its id follows from the alert before it, so that two leaders at work at once cannot open two (the second finds the
    id taken). The first alert of a key is named after its day, so that it is a new one after all older have expired.

    Args:
        signal: the first signal that no earlier alert covers.
        since: where the previous alert ended; None if there is none.
        previous: the key's alert before this one.
    """
    arrived = arrival(signal)
    score = score_of(signal)
    key = signal["signal.key"]
    return Alert(
        id=identify("alert", key, previous.id if previous else arrived.date().isoformat()),
        timestamp=arrived,
        state=AlertState.OPEN,
        key=key,
        title=title(signal),
        severity=severity_of(score),
        score=score,
        count=0,
        opened=arrived,
        since=arrived - QUIET if since is None else since,
        arrived=arrived,
        first=datetime.fromisoformat(signal["@timestamp"]),
        last=datetime.fromisoformat(signal["@timestamp"]),
        entity=signal.get("signal.entity", "unknown"),
        rule_id=signal.get("rule.id", "unknown"),
        rule_name=signal.get("rule.name", "Unnamed rule"),
        rule_ruleset=signal.get("rule.ruleset", "unknown"),
        detection=signal.get("signal.detection"),
        rule_category=signal.get("rule.category"),
        board=signal.get("organization.id", ""),
        school=signal.get("school.location", ""),
        agent=signal.get("observer.name", ""),
        tactic_id=tuple(signal.get("threat.tactic.id", ())),
        tactic_name=tuple(signal.get("threat.tactic.name", ())),
        technique_id=tuple(signal.get("threat.technique.id", ())),
        technique_name=tuple(signal.get("threat.technique.name", ())),
        indicator_id=signal.get("threat.indicator.id"),
        indicator_type=signal.get("threat.indicator.type"),
        indicator_name=signal.get("threat.indicator.name"),
        tlp=signal.get("threat.indicator.marking.tlp"),
        examples=(signal["event.id"],),
        retro=_is_retro(signal),
        **sector.facts([signal]),
    )


def fold(alert: Alert, evidence: Evidence, *, now: datetime) -> Alert | None:
    """The alert as its signals make it, or None if nothing has changed. What people set stays as it is."""
    tally = evidence.tally
    score = max(alert.score, evidence.score)
    folded = replace(
        sector.grown(alert, evidence.newest),
        count=max(alert.count, tally.number),
        first=min(alert.first, tally.first),
        last=max(alert.last, tally.last),
        arrived=max(alert.arrived, evidence.arrived),
        score=score,
        severity=severity_of(score),
        tlp=tlp.strictest(alert.tlp, *(row.get("threat.indicator.marking.tlp") for row in evidence.newest)),
        retro=alert.retro and all(map(_is_retro, evidence.newest)),
        examples=_examples(alert.examples, [row["event.id"] for row in reversed(evidence.newest)]),
    )
    return None if folded == alert else replace(folded, timestamp=max(now, alert.timestamp))


def end_of(alert: Alert) -> datetime | None:
    """The arrival from which on an alert covers nothing more because it was closed; None while it is open.

    Quiet ends an alert too: that is known only when the next signal comes.
    """
    if alert.state is not AlertState.CLOSED:
        return None
    return alert.changed_at or alert.timestamp


def title(signal: Row) -> str:
    """One line in plain English: what, and which host of the school; or at how many schools."""
    if sector.is_sector(signal):
        return sector.title(signal)
    what = signal.get("rule.name", "Unnamed rule")
    if value := signal.get("threat.indicator.name"):
        what = f"{what} {value}"
    entity = signal.get("signal.entity", "unknown")
    way = "to" if signal.get("network.direction") == Direction.INBOUND else "from"
    text = f"{what}: traffic {way} {entity}"
    if "sighting.kind" in signal and entity == signal.get("observer.name"):
        # A sighting names the outside only (docs/privacy.md); the agent is not to blame.
        text = f"{what}: seen at the school, by {entity}; which host is not told"
    return clip("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))


def _is_retro(signal: Row) -> bool:
    """Whether a look back found it (:mod:`.indicators.hunt`)."""
    return "retro" in signal.get("tags", ())


def _examples(known: tuple[str, ...], newest: list[str]) -> tuple[str, ...]:
    """The first signal and the latest, oldest first."""
    fresh = set(newest)
    first, *others = known
    latest = [each for each in others if each not in fresh] + [each for each in newest if each != first]
    return (first, *latest[-(EXAMPLES - 1) :])

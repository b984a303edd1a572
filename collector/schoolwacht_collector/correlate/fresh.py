"""Values that are new to the sector and come up at several schools within hours (X4, X5). Pure, save its questions.

The prevalence of a value (:mod:`schoolwacht_collector.prevalence`) holds its first schools with their times, so that
one record says all that there is to know: no state is kept here, and another leader comes to the same.
"""

from __future__ import annotations

from datetime import UTC, datetime

from schoolwacht_collector.correlate.checks import Judged, Verdict
from schoolwacht_collector.correlate.engine import Match
from schoolwacht_collector.correlate.rule import CorrelationRule
from schoolwacht_collector.correlate.window import Filled, Member, Need, step, weighed
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.prevalence.ask import JA4_CIPHERS, Answer, ask
from schoolwacht_collector.prevalence.count import ciphers_of
from schoolwacht_collector.query.ast import And, Equals


def match_of(rule: CorrelationRule, answer: Answer, need: Need, free: frozenset[str]) -> Match | None:
    """The match of a value that is new: enough schools within the span after its first sighting."""
    start = answer.since.timestamp()
    members = [
        Member(at, f"{school}:{at}", 0, school, school, board, agent)
        for at, school, board, agent in answer.early
        if at < start + rule.span.total_seconds()
    ]
    counted = weighed(members, rule, free)
    schools, boards = _distinct(counted)
    if len(schools) < need.schools or len(boards) < need.boards:
        return None
    window = Filled(start, counted[-1].time, len(schools), schools, boards, tuple(counted))
    return Match(rule, (answer.value,), start, step(len(schools)), window, {})


async def judge(store: Store, match: Match, answer: Answer, *, connected: int) -> Judged:
    """Whether a new value is worth a signal. Raises StoreError."""
    rule = match.rule
    share = answer.schools / connected if answer.schools is not None and connected else None
    judged = Judged(Verdict.RAISE, match=match, prevalence=share)
    if rule.variant and (ciphers := ciphers_of(answer.value)):
        known = await ask(store, JA4_CIPHERS, ciphers)
        if known is not None and _is_established(known, answer, rule, connected):
            return Judged(Verdict.DROP, f"another release of what {known.schools} schools have since {known.first:%F}")
    if rule.reputation and not await _imitates(store, match):
        if answer.value.rpartition(".")[2] not in rule.reputation:
            return Judged(Verdict.DROP, "a new domain, and nothing speaks against it")
        return judged._replace(severity="Informational")
    return judged


def _is_established(known: Answer, answer: Answer, rule: CorrelationRule, connected: int) -> bool:
    """Whether a program with these ciphers was about before the new value came."""
    return (
        known.first <= answer.since - rule.learn
        and known.schools is not None
        and known.schools >= max(2, rule.variant * connected)
    )


async def _imitates(store: Store, match: Match) -> bool:
    """Whether some school's agent said that the domain imitates another (D27)."""
    where = And((Equals("signal.detection", "D27"), Equals("nsm.detail.domain", match.group[0])))
    since = datetime.fromtimestamp(match.window.start, UTC) - match.rule.span
    return bool((await store.search(Search(Kind.SIGNAL, where, SECTOR, since=since, limit=1))).rows)


def _distinct(members: list[Member]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        tuple(dict.fromkeys(member.school for member in members)),
        tuple(dict.fromkeys(member.board for member in members)),
    )

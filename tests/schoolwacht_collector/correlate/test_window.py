"""Windows against a model that looks at every window of all members, whatever the order in which they arrive."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import event as label
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht_collector.correlate.engine import Engine
from schoolwacht_collector.correlate.rule import CorrelationRule, Form, Level, Selection
from schoolwacht_collector.correlate.window import step
from schoolwacht_collector.query.ast import Equals

_SPAN = 100
_START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

#: One signal: second of its own, school (which has one agent), value, selection, group.
Signal = tuple[int, int, int, int, int]
_SIGNALS = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 6), st.integers(0, 2), st.integers(0, 2), st.sampled_from((0, 0, 0, 1))
    ),
    max_size=40,
)


def _rule(form: Form, least: int, boards: int, weight: int) -> CorrelationRule:
    return CorrelationRule(
        id="X1",
        uuid="u",
        title="A rule",
        level=Level.SECTOR,
        severity="Major",
        confidence="High",
        form=form,
        selections=tuple(Selection(f"s{slot}", Equals("rule.id", f"s{slot}")) for slot in range(3)),
        group_by=("signal.entity",),
        span=timedelta(seconds=_SPAN),
        counted="school.location" if form is Form.VALUE_COUNT else None,
        least=least,
        boards=boards,
        weight=weight,
    )


def _row(place: int, signal: Signal, arrived: int) -> dict[str, Any]:
    second, school, _value, slot, group = signal
    return {
        "event.id": f"{place:04}",
        "@timestamp": (_START + timedelta(seconds=second)).isoformat(),
        "event.ingested": (_START + timedelta(seconds=arrived)).isoformat(),
        "rule.id": f"s{slot}",
        "rule.ruleset": "suricata",
        "signal.entity": f"group {group}",
        "school.location": f"school {school}",
        "organization.id": f"board {school % 3}",
        "observer.name": f"agent {school}",
    }


def _model(rule: CorrelationRule, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The largest step of each group that has a window which satisfies the rule, by looking at all of them."""
    groups: dict[str, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
    for row in rows:
        groups[row["signal.entity"]].append((datetime.fromisoformat(row["@timestamp"]).timestamp(), row))
    found: dict[str, int] = {}
    for name, members in groups.items():
        members.sort(key=lambda each: (each[0], each[1]["event.id"]))
        for end, _ in members:
            window = [row for moment, row in members if end - _SPAN < moment <= end]
            size = _size(rule, window)
            if size is not None:
                found[name] = max(found.get(name, 0), step(size))
    return found


def _size(rule: CorrelationRule, window: list[dict[str, Any]]) -> int | None:
    counted: list[dict[str, Any]] = []
    per_agent: dict[str, int] = defaultdict(int)
    for row in window:
        if rule.form is Form.EVENT_COUNT and per_agent[row["observer.name"]] >= rule.weight:
            continue
        per_agent[row["observer.name"]] += 1
        counted.append(row)
    schools = {row["school.location"] for row in counted}
    if len({row["organization.id"] for row in counted}) < rule.boards:
        return None
    slots = [row["rule.id"] for row in counted]
    match rule.form:
        case Form.EVENT_COUNT:
            enough = len(counted) >= rule.least
        case Form.VALUE_COUNT:
            enough = len(schools) >= rule.least
        case Form.TEMPORAL:
            enough = {"s0", "s1", "s2"} <= set(slots)
        case Form.TEMPORAL_ORDERED:
            at = 0
            for slot in slots:
                at += slot == f"s{at}"
            enough = at == 3
    return len(schools) if enough else None


@given(
    signals=_SIGNALS,
    order=st.randoms(use_true_random=False),
    form=st.sampled_from(Form),
    least=st.integers(1, 4),
    boards=st.integers(1, 3),
    weight=st.integers(1, 3),
)
@settings(max_examples=250, deadline=None)
def test_whatever_the_order_of_arrival_the_same_groups_are_raised_as_large(
    signals: list[Signal], order: Any, form: Form, least: int, boards: int, weight: int
) -> None:
    rule = _rule(form, least, boards, weight)
    arriving = list(range(len(signals)))
    order.shuffle(arriving)
    rows = [_row(place, signals[place], 500 + number) for number, place in enumerate(arriving)]
    engine = Engine([rule])
    raised: dict[str, int] = {}
    for row in rows:
        for match in engine.take(row):
            (name,) = match.group
            raised[name] = max(raised.get(name, 0), match.step)
    expected = _model(rule, rows)
    label(f"{form}: {'some' if expected else 'none'}")
    assert raised == expected


@given(signals=_SIGNALS, order=st.randoms(use_true_random=False), cut=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_another_leader_that_reads_it_all_again_raises_what_is_missing_and_nothing_twice(
    signals: list[Signal], order: Any, cut: int
) -> None:
    rule = _rule(Form.VALUE_COUNT, 3, 2, 1)
    arriving = list(range(len(signals)))
    order.shuffle(arriving)
    rows = [_row(place, signals[place], 500 + number) for number, place in enumerate(arriving)]
    first = Engine([rule])
    before = [match for row in rows[:cut] for match in first.take(row)]
    second = Engine([rule])
    for match in before:
        second.told(rule.id, match.group, match.anchor, match.step)
    after = [match for row in rows for match in second.take(row)]
    whole = _model(rule, rows)
    raised: dict[str, int] = {}
    for match in [*before, *after]:
        raised[match.group[0]] = max(raised.get(match.group[0], 0), match.step)
    assert raised == whole
    told = {(match.group, match.anchor, match.step) for match in before}
    assert not told & {(match.group, match.anchor, match.step) for match in after}

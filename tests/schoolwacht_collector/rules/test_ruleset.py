from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.rules import derived
from schoolwacht_collector.rules.compile import single
from schoolwacht_collector.rules.ruleset import MOST, SAMPLE, WINDOW, RuleSet
from schoolwacht_collector.rules.sigma import SigmaMatcher, matcher
from tests.schoolwacht_collector.rules.test_sigma import NOW, rule_of


def made(name: str, selection: dict[str, object], *, service: str = "flow", level: str = "low") -> SigmaMatcher:
    return matcher(rule_of({"s": selection, "condition": "s"}, name=name, service=service, level=level))


def flow(port: int = 80, **fields: object) -> Event:
    return Event(timestamp=NOW, event_dataset=Dataset.FLOW, destination_port=port, **fields)  # type: ignore[arg-type]


def test_rules_of_other_datasets_do_not_match() -> None:
    rules = RuleSet([made("S1", {"destination.port": 80}), made("S2", {"destination.port": 80}, service="tls")])
    assert [each.name for each in rules.match(flow())] == ["S1"]


def test_the_gravest_come_first_and_no_more_than_the_most() -> None:
    rules = RuleSet(
        [made(f"S{n}", {"destination.port": 80}, level="high" if n == 19 else "low") for n in range(10, 20)]
    )
    found = rules.match(flow())
    assert len(found) == MOST
    assert found[0].name == "S19"


def test_a_rule_that_throws_is_taken_out_and_the_others_match(monkeypatch: pytest.MonkeyPatch) -> None:
    # A derived field that fails, as a fault in one would.
    def broken(_event: Event) -> bool:
        raise ZeroDivisionError("broken")

    monkeypatch.setitem(derived.DERIVED, "derived.http.host_is_address", broken)
    rules = RuleSet([made("S1", {"derived.http.host_is_address": True}), made("S2", {"destination.port": 80})])
    assert [each.name for each in rules.match(flow())] == ["S2"]
    assert "ZeroDivisionError" in rules.removed["S1"]
    assert [each.name for each in rules.match(flow())] == ["S2"]
    assert rules.size == 1


def ticking(nanoseconds: int) -> Iterator[int]:
    return count(0, nanoseconds)


def test_a_rule_beyond_its_budget_is_taken_out() -> None:
    clock = ticking(50_000)
    rules = RuleSet([made("S1", {"destination.port": 80})], budget_us=25.0, clock=lambda: next(clock))
    for _ in range(SAMPLE * WINDOW):
        rules.match(flow())
    assert "25 µs" in rules.removed["S1"]
    assert rules.match(flow()) == []


def test_a_rule_that_is_slow_now_and_then_stays() -> None:
    times = iter([0, *[0, 90_000] * (WINDOW // 4), *[0, 1000] * WINDOW * 2])
    rules = RuleSet([made("S1", {"destination.port": 80})], budget_us=25.0, clock=lambda: next(times, 0))
    for _ in range(SAMPLE * WINDOW):
        rules.match(flow())
    assert rules.removed == {}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["destination.port", "url.path", "url.domain"]), st.integers(0, 3), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_grouping_changes_no_result(selections: list[dict[str, int]], port: int, path: int) -> None:
    matchers = [
        made(f"S{n}", {key: value if key == "destination.port" else str(value) for key, value in each.items()})
        for n, each in enumerate(selections)
    ]
    event = flow(port, url_path=str(path))
    assert {each.name for each in RuleSet(matchers).match(event)} == {
        each.name for each in matchers if single(each.tree)(event)
    }

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.health import Condition
from schoolwacht_agent.shed import SIGNALS_KEPT, Kind, Shed
from schoolwacht_agent.sources.port import Counters


def event(dataset: Dataset, rule: str | None = None) -> Event:
    return Event(datetime(2026, 1, 1, tzinfo=UTC), dataset, rule_id=rule)


ALL = [event(Dataset.DNS), event(Dataset.FLOW), event(Dataset.SIGNAL, "D01"), event(Dataset.HEALTH)]


def kept(shed: Shed) -> list[Dataset]:
    return [one.event_dataset for one in shed.keep(list(ALL))]


def test_an_agent_that_keeps_up_sheds_nothing() -> None:
    shed = Shed(Counters())
    shed.weigh(1.0)
    assert shed.keep(ALL) is ALL
    assert shed.finding() == []


def test_details_go_first_then_summaries_and_of_signals_only_floods() -> None:
    counters = Counters(behind=0.6)
    shed = Shed(counters)
    shed.weigh(1.0)
    assert kept(shed) == [Dataset.FLOW, Dataset.SIGNAL, Dataset.HEALTH]
    shed.weigh(2.0)
    assert kept(shed) == [Dataset.SIGNAL, Dataset.HEALTH]
    shed.weigh(3.0)
    shed.weigh(4.0)
    flood = [event(Dataset.SIGNAL, "D01")] * 1000 + [event(Dataset.SIGNAL, "D02")]
    rules = [one.rule_id for one in shed.keep(flood)]
    assert rules == ["D01"] * SIGNALS_KEPT + ["D02"]
    shed.weigh(5.0)
    assert len(shed.keep(flood)) == SIGNALS_KEPT + 1
    (finding,) = shed.finding()
    assert (finding.condition, finding.value) == (Condition.SHEDDING, 1 + 2 + 2 * (1000 - SIGNALS_KEPT))


def test_dropped_packets_are_being_behind() -> None:
    counters = Counters()
    shed = Shed(counters)
    counters.dropped += 1
    shed.weigh(1.0)
    assert shed.level == Kind.DETAILS
    shed.weigh(2.0)
    assert shed.level == Kind.DETAILS


def test_it_gets_better_step_by_step_and_only_where_there_is_room() -> None:
    counters = Counters(behind=1.0)
    shed = Shed(counters)
    for now in range(1, 4):
        shed.weigh(float(now))
    counters.behind = 0.3
    for now in range(4, 30):
        shed.weigh(float(now))
    assert shed.level == 3
    counters.behind = 0.0
    levels = []
    for now in range(30, 70):
        shed.weigh(float(now))
        levels.append(shed.level)
    assert levels == [3] * 9 + [2] * 10 + [1] * 10 + [0] * 11


def test_a_finding_is_of_its_period() -> None:
    shed = Shed(Counters(behind=1.0))
    shed.weigh(1.0)
    shed.keep(list(ALL))
    assert [one.value for one in shed.finding()] == [1]
    shed.begin_period()
    assert shed.finding() == []
    assert shed.figures()["shed.details"] == 1


@given(st.lists(st.sampled_from(list(Dataset)), max_size=60), st.integers(0, 3))
def test_every_event_is_kept_or_counted(datasets: list[Dataset], level: int) -> None:
    shed = Shed(Counters())
    shed.level = level
    events = [event(dataset, "D01") for dataset in datasets]
    left = shed.keep(list(events))
    assert len(left) + sum(shed.counts.values()) == len(events)
    assert sum(one.event_dataset is Dataset.HEALTH for one in left) == datasets.count(Dataset.HEALTH)

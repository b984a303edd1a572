"""Registered testers: tagged, not raised."""

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.testers import TAG, TesterSettings
from tests.schoolwacht_agent.behave.traffic import REFUSED, flow


def scan(source: str = "10.21.0.9") -> list[Event]:
    return [flow(n / 10, source, "10.21.8.10", n, reply=REFUSED, direction=Direction.INTERNAL) for n in range(1, 80)]


def judged(events: list[Event], *addresses: str) -> tuple[list[Event], Behaviour]:
    behaviour = Behaviour(BehaveSettings(testers=TesterSettings(addresses=addresses)))
    return behaviour.judge(events), behaviour


def test_a_registered_tester_s_scan_is_tagged_and_not_raised() -> None:
    events, behaviour = judged(scan(), "10.21.0.9")
    assert all(event.event_dataset is not Dataset.SIGNAL for event in events)
    tagged = [event.tags for event in events if event.tags]
    assert tagged
    assert all(tags == [TAG, "D01"] for tags in tagged)
    assert behaviour.excused == len(tagged)


def test_a_network_of_testers_may_be_registered() -> None:
    assert all(event.rule_id is None for event in judged(scan(), "10.21.0.0/28")[0])


def test_the_same_scan_of_somebody_else_is_raised() -> None:
    assert any(event.rule_id == "D01" for event in judged(scan("10.21.0.10"), "10.21.0.9")[0])


def test_a_tester_s_machine_that_calls_home_is_raised() -> None:
    calls = [flow(n * 120, "10.21.0.9") for n in range(20)]
    assert any(event.rule_id == "D18" for event in judged(calls, "10.21.0.9")[0])

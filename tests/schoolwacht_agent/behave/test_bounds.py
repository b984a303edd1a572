"""What a detector remembers is bounded, and what it forgets is counted."""

import pytest

from schoolwacht_agent.behave import BehaveSettings, Behaviour, detectors
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.calendar import Calendar, CalendarSettings
from schoolwacht_agent.behave.port import Detector
from schoolwacht_agent.behave.state import VALUES, Distinct, Recent, Watch
from tests.schoolwacht_agent.behave.floods import FLOODS
from tests.schoolwacht_agent.behave.traffic import REFUSED, flow

MANY = 9000


def detector(name: str) -> Detector:
    baselines = Baselines(Calendar(CalendarSettings()), 100)
    return next(one for one in detectors(BehaveSettings(), baselines) if one.id == name)


def test_every_detector_has_a_flood() -> None:
    assert set(FLOODS) == {one.id for one in detectors(BehaveSettings(), Baselines(Calendar(CalendarSettings())))}


@pytest.mark.parametrize("name", list(FLOODS))
def test_many_different_things_push_out_the_oldest_and_are_counted(name: str) -> None:
    flooded = detector(name)
    seen = 0
    for event in FLOODS[name](MANY):
        if event.event_dataset in flooded.datasets:
            seen += 1
            list(flooded.see(event))
    assert seen >= MANY
    tables = [table for table in flooded.state() if isinstance(table, Recent)]
    assert tables
    for table in tables:
        assert len(table) <= table.limit
    assert sum(table.evicted for table in tables) > 0


def test_large_windows_push_each_other_out_before_they_fill_the_memory() -> None:
    table: Recent[int, Watch] = Recent(4096, Watch, VALUES)
    for source in range(100):
        for value in range(1500):
            table.of(source).grows(value, 0.0, 60, 10**9)
    assert table.held() <= VALUES + 2 * 4096
    assert table.evicted > 50


def test_a_window_that_was_full_takes_in_again_once_it_has_emptied() -> None:
    watch = Watch()
    for value in range(5000):
        watch.grows(value, 0.0, 60, 10)
    assert watch.grows("later", 100.0, 60, 1) == 1
    assert len(watch) == 1


def test_an_empty_window_is_full_of_nothing() -> None:
    assert not Distinct().full(5.0, 60)


def test_a_clock_that_went_back_does_not_blind_the_detectors(caplog: pytest.LogCaptureFixture) -> None:
    behaviour = Behaviour(BehaveSettings())
    # Events of a time that is still to come, such as before a clock was set right.
    behaviour.judge([flow(10 * 86_400 + n, "10.1.1.1", "10.9.9.9", 22 + n % 2, reply=REFUSED) for n in range(10)])
    ordinary = [flow(n / 10) for n in range(600)]
    for n in range(0, 600, 100):
        behaviour.judge(ordinary[n : n + 100])
    assert "went back" in caplog.text
    scan = [flow(100 + n / 10, "10.1.1.1", "10.9.9.9", 1000 + n, reply=REFUSED) for n in range(60)]
    assert "D01" in {event.rule_id for event in behaviour.judge(scan)}
    assert behaviour.figures()["behave.restarts"] == 1


def test_a_few_late_events_are_no_clock_that_went_back() -> None:
    behaviour = Behaviour(BehaveSettings())
    behaviour.judge([flow(10_000)])
    behaviour.judge([flow(n) for n in range(100)])
    behaviour.judge([flow(10_001)])
    assert behaviour.figures()["behave.restarts"] == 0


def test_a_path_of_many_schools_may_remember_more() -> None:
    assert [8 * limit for limit in limits(1)] == limits(8)


def limits(capacity: int) -> list[int]:
    found = Behaviour(BehaveSettings(capacity=capacity)).detectors
    return [table.limit for one in found for table in one.state() if isinstance(table, Recent)]


def test_forgetting_is_told_for_all_detectors_together() -> None:
    behaviour = Behaviour(BehaveSettings())
    behaviour.judge([flow(n / 1000, f"10.1.{n >> 8}.{n & 255}", "10.9.9.9", 22, reply=REFUSED) for n in range(5000)])
    assert behaviour.figures()["behave.evicted"] == behaviour.evicted > 0

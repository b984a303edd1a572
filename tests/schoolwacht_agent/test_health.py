from __future__ import annotations

import os
from pathlib import Path

from schoolwacht.event import Dataset
from schoolwacht_agent.health import REMEDIES, Beats, Condition, Finding, Health, beat_path, last_beat
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.spool import Report
from schoolwacht_agent.spool.report import LaneReport


def report(lost: int = 0, rejected: int = 0) -> Report:
    return Report(
        "0" * 16, LaneReport(10, 1, {}), LaneReport(20, 2, {"evicted": lost} if lost else {}), 5, rejected, 1.0
    )


def conditions(health: Health, spool: Report | None = None) -> list[str | None]:
    return [event.health_condition for event in health.events(spool)]


def test_a_healthy_agent_tells_its_totals() -> None:
    counters = Counters(packets=100, dropped=0, events=7, evicted=3, invalid={"short": 2, "odd": 1})
    health = Health(Counters())
    health = Health(counters)
    counters.packets += 50
    (event,) = health.events(report())
    assert (event.event_dataset, event.health_condition) == (Dataset.HEALTH, "ok")
    assert (event.health_packets, event.health_evicted, event.health_invalid) == (150, 3, 3)
    assert event.health_memory_bytes
    detail = event.nsm_detail or {}
    assert detail["invalid.short"] == "2"
    assert detail["spool.waiting"] == "3"
    assert detail["uplink.delivered"] == "5"


def test_what_others_find_is_told_with_the_totals_first() -> None:
    finding = Finding(Condition.DROPPING, 3.0, "3.0 % of the packets were dropped")
    first, second = Health(Counters()).events(report(), troubles=[finding, finding], figures={"shed.details": 4})
    assert (first.health_condition, first.health_value, first.message) == finding
    assert first.health_packets is not None
    assert (first.nsm_detail or {})["shed.details"] == "4"
    assert (second.health_condition, second.health_packets) == ("dropping", None)


def test_every_condition_says_what_to_do() -> None:
    assert set(REMEDIES) == set(Condition) - {Condition.OK}


def test_new_losses_and_rejections_of_the_spool_are_told_once() -> None:
    counters = Counters()
    health = Health(counters)
    assert conditions(health, report(lost=5, rejected=1)) == ["losing"]
    assert conditions(health, report(lost=5, rejected=1)) == ["ok"]
    events = health.events(report(lost=8, rejected=3))
    assert [(event.health_condition, event.health_value) for event in events] == [("losing", 3), ("rejected", 2)]
    assert [event.health_packets is not None for event in events] == [True, False]


def test_a_source_that_was_held_back_is_told() -> None:
    health = Health(Counters())
    health.hold(0.5)
    health.hold(0.5)
    (event,) = health.events(None)
    assert (event.health_condition, event.health_value) == ("held", 1.0)
    assert conditions(health) == ["ok"]


def test_a_beat_says_which_process_lives_and_what_hinders_it(tmp_path: Path) -> None:
    beats = Beats(tmp_path, "capture")
    beats.beat(hindrance="the disk is full", now=True, packets=3)
    found = last_beat(tmp_path, "capture")
    assert found is not None
    beat, age = found
    assert (beat.pid, beat.hindrance, beat.figures) == (os.getpid(), "the disk is full", {"packets": 3})
    assert age < 60


def test_no_beat_or_a_torn_one_is_none(tmp_path: Path) -> None:
    assert last_beat(tmp_path, "capture") is None
    beat_path(tmp_path, "capture").parent.mkdir()
    beat_path(tmp_path, "capture").write_text('{"part": ')
    assert last_beat(tmp_path, "capture") is None

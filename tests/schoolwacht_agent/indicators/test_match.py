"""The step: signals behind their events, another set without a restart, and a faulty file that costs nothing."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Known, encode_set, read_set
from schoolwacht.match import IndicatorSet, in_memory
from schoolwacht_agent.indicators.keep import note_checked, path_of, put
from schoolwacht_agent.indicators.match import LOOK_SECONDS, Matcher

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def known(*names: str) -> list[Known]:
    return [Known(IndicatorType.DOMAIN, name) for name in names]


def use(state: Path, *names: str) -> None:
    put(state, read_set(encode_set(known(*names)).raw, path="set"), confirmed=True)


def dns(name: str, port: int = 50_000) -> Event:
    return Event(
        NOW,
        Dataset.DNS,
        "packets",
        source_ip="10.0.0.7",
        source_port=port,
        destination_ip="10.0.0.2",
        destination_port=53,
        network_transport="udp",
        dns_question_name=name,
        school_location="00AB00",
        school_zone="leerlingen",
    )


def names(events: list[Event]) -> list[str | None]:
    return [event.threat_indicator_name or event.dns_question_name for event in events]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_an_event_that_hits_has_a_signal_behind_it(tmp_path: Path, clock: Clock) -> None:
    use(tmp_path, "evil.example")
    events = Matcher(tmp_path, clock=clock).through([dns("a.example"), dns("www.evil.example"), dns("b.example")])
    assert names(events) == ["a.example", "www.evil.example", "evil.example", "b.example"]
    signal = events[2]
    assert (signal.event_dataset, signal.rule_ruleset, signal.signal_detection) == (Dataset.SIGNAL, "indicator", "D24")
    assert signal.threat_indicator_id == known("evil.example")[0].id
    assert (signal.school_zone, signal.source_ip, signal.timestamp) == ("leerlingen", "10.0.0.7", NOW)


def test_another_set_is_used_within_a_second_and_by_the_same_matcher(tmp_path: Path, clock: Clock) -> None:
    matcher = Matcher(tmp_path, clock=clock)
    assert names(matcher.through([dns("one.example")])) == ["one.example"]
    use(tmp_path, "one.example")
    clock.now += LOOK_SECONDS
    assert names(matcher.through([dns("one.example")])) == ["one.example", "one.example"]
    use(tmp_path, "two.example")
    assert names(matcher.through([dns("one.example", 2)])) == ["one.example", "one.example"]
    clock.now += LOOK_SECONDS
    assert names(matcher.through([dns("one.example", 3), dns("two.example")])) == [
        "one.example",
        "two.example",
        "two.example",
    ]


def test_a_damaged_file_is_told_once_and_the_old_set_stays(tmp_path: Path, clock: Clock) -> None:
    use(tmp_path, "one.example")
    matcher = Matcher(tmp_path, clock=clock)
    matcher.through([])
    path_of(tmp_path).write_bytes(b"iets anders")
    clock.now += LOOK_SECONDS
    _, signal, told = matcher.through([dns("one.example")])
    assert signal.threat_indicator_name == "one.example"
    assert (told.event_dataset, told.health_condition) == (Dataset.HEALTH, "indicators")
    assert "stay in use" in (told.message or "")
    clock.now += LOOK_SECONDS
    assert matcher.through([]) == []


def test_a_set_that_was_refused_is_told(tmp_path: Path, clock: Clock) -> None:
    use(tmp_path, "one.example", "two.example", "three.example")
    matcher = Matcher(tmp_path, clock=clock)
    matcher.through([])
    with pytest.raises(Exception, match="less than half"):
        put(tmp_path, read_set(b"", path="set"))
    clock.now += LOOK_SECONDS
    (told,) = matcher.through([])
    assert "a set of 0 indicators was refused, for 3 are in use" in (told.message or "")


def test_an_alert_of_suricata_on_an_indicator_becomes_that_indicators_signal() -> None:
    matcher = Matcher(indicators=IndicatorSet(in_memory(known("evil.example"))))
    alert = dns("evil.example")
    alert.event_dataset, alert.rule_ruleset, alert.rule_id = Dataset.SIGNAL, "suricata", "9102401"
    alert.signal_detection = "D24"
    (signal,) = matcher.through([alert])
    assert (signal.rule_ruleset, signal.threat_indicator_name) == ("indicator", "evil.example")
    # The record of the same packet tells the same hit.
    assert names(matcher.through([dns("evil.example")])) == ["evil.example"]
    alert.dns_question_name = "other.example"
    assert matcher.through([alert]) == [alert]


def test_signals_of_other_rules_are_left_alone() -> None:
    matcher = Matcher(indicators=IndicatorSet(in_memory(known("evil.example"))))
    alert = dns("evil.example")
    alert.event_dataset, alert.rule_ruleset, alert.signal_detection = Dataset.SIGNAL, "suricata", "D16"
    assert matcher.through([alert]) == [alert]


def test_a_set_that_no_collector_has_confirmed_for_a_day_is_told_once(tmp_path: Path, clock: Clock) -> None:
    use(tmp_path, "evil.example")
    note_checked(tmp_path)
    matcher = Matcher(tmp_path, clock=clock)
    assert matcher.through([]) == []
    two_days_ago = time.time() - 48 * 3600
    os.utime(tmp_path / "indicators.checked", (two_days_ago, two_days_ago))
    for expected in (1, 0):
        clock.now += LOOK_SECONDS
        assert len(matcher.through([])) == expected

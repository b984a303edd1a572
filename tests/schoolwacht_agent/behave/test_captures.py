"""Recorded captures of real programs: each detector's positive and its innocent twin (tests/captures/behaviour)."""

import re
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.behave.testers import TAG, TesterSettings
from schoolwacht_agent.config import EngineName, SourceTable
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.sources import SOURCES
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from schoolwacht_collector.score import score
from tests.bench.detections import expectations
from tests.parts import CAPTURES, suricata

FOLDER = CAPTURES / "behaviour"
EXPECTED = expectations(FOLDER)
#: What only Suricata takes apart. Of the rest the embedded engine is asked; the bench compares both.
BY_SURICATA = {name for name in EXPECTED if name.startswith(("kerberos-", "smb-"))}
MEDIUM = 40


def judged(name: str, settings: BehaveSettings | None = None) -> list[Event]:
    """The events of a capture with their signals."""
    engine = EngineName.PACKETS
    if name in BY_SURICATA:
        suricata()
        engine = EngineName.SURICATA
    source = SOURCES[engine]().offline(FOLDER / name, SourceTable(engine=engine))
    steps = Steps(Gateway(Homes()), settings or BehaveSettings())
    return [event for events in source.read() for event in steps.through(events)]


def captures(*, innocent: bool) -> list[str]:
    return [
        name for name, what in EXPECTED.items() if what.startswith("nothing") == innocent and (FOLDER / name).exists()
    ]


@pytest.mark.parametrize("name", captures(innocent=False))
def test_what_a_capture_shows_is_found_and_nothing_else(name: str) -> None:
    wanted, _, unwanted = EXPECTED[name].partition("not ")
    rules = {event.rule_id for event in judged(name) if event.event_dataset is Dataset.SIGNAL}
    assert set(re.findall(r"D\d\d", wanted)) == rules
    assert rules.isdisjoint(re.findall(r"D\d\d", unwanted))


@pytest.mark.parametrize("name", captures(innocent=True))
def test_its_innocent_twin_gives_nothing_at_medium_or_above(name: str) -> None:
    for event in judged(name):
        if event.event_dataset is Dataset.SIGNAL:
            value = score(severity=event.signal_severity, priority=None, confidence=event.signal_confidence)
            assert value < MEDIUM, event.message


def test_every_capture_in_the_folder_says_what_is_expected_of_it() -> None:
    files = {path.name for path in Path(FOLDER).iterdir() if ".pcap" in path.name}
    assert files <= set(EXPECTED)


def test_the_same_scan_by_a_registered_tester_is_tagged_and_not_raised() -> None:
    tester = BehaveSettings(testers=TesterSettings(addresses=("10.22.0.66",)))
    events = judged("host-scan.pcap", tester)
    assert all(event.event_dataset is not Dataset.SIGNAL for event in events)
    assert any(TAG in (event.tags or []) for event in events)


@pytest.mark.parametrize("name", ["host-scan.pcap", "look-alike.pcap", "dhcp-rogue.pcap"])
def test_the_same_capture_gives_the_same_signals_again(name: str) -> None:
    assert judged(name) == judged(name)

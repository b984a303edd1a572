"""D31: a flood of packets from outside."""

from collections.abc import Iterator
from typing import Any

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.inbound_flood import InboundFloodSettings
from tests.schoolwacht_agent.behave.traffic import ANSWERED, SILENT, flow

SETTINGS = BehaveSettings(inbound_flood=InboundFloodSettings(least_packets=100))
SCHOOL, WEB_SERVER = "10.21.0.1", "10.21.0.9"


def packets(at: float, number: int, target: str = SCHOOL, source: str = "203.0.113.9", **how: Any) -> Event:
    usual: dict[str, Any] = {"direction": Direction.INBOUND, "transport": "udp", "reply": SILENT, "source_port": 53}
    event = flow(at, source, target, 40_000, **({"seconds": 0.5} | usual | how))
    event.source_packets = number
    return event


def quiet(begin: int, end: int, number: int = 20) -> Iterator[Event]:
    """What a school gets: ``number`` packets a second."""
    return (packets(at, number, WEB_SERVER, transport="tcp", reply=ANSWERED) for at in range(begin, end))


def flood(begin: int, end: int, number: int = 2000) -> Iterator[Event]:
    """A reflected flood: each second 20 reflectors."""
    return (packets(at + n / 20, number // 20, source=f"203.0.113.{n}") for at in range(begin, end) for n in range(20))


def told(*events: Iterator[Event], settings: BehaveSettings = SETTINGS) -> list[Event]:
    behaviour = Behaviour(settings)
    judged = behaviour.judge([event for some in events for event in some])
    return [event for event in judged if event.rule_id == "D31"]


def test_two_minutes_of_flood_are_told_with_target_and_rate() -> None:
    (signal,) = told(quiet(0, 600), flood(600, 740))
    assert (signal.signal_severity, signal.signal_confidence) == ("Major", "Medium")
    assert (signal.destination_ip, signal.source_ip) == (SCHOOL, None)
    assert signal.network_direction is Direction.INBOUND
    assert (signal.nsm_detail or {})["packets_per_second"] == "2000"
    assert (signal.nsm_detail or {})["usual_packets_per_second"] == "20"


def test_less_than_two_minutes_are_not() -> None:
    assert told(quiet(0, 600), flood(600, 710), quiet(710, 1200)) == []


def test_a_flood_is_told_at_its_begin_and_at_its_end_only() -> None:
    begin, end = told(quiet(0, 600), flood(600, 1200), quiet(1200, 2000))
    assert (begin.nsm_detail or {})["state"] == "going on"
    assert (end.nsm_detail or {})["state"] == "over"
    assert (end.nsm_detail or {})["seconds"] == "600"


def test_a_flood_that_grows_tenfold_is_told_again() -> None:
    assert len(told(quiet(0, 600), flood(600, 900), flood(900, 1100, 25_000))) == 2


def test_downloads_of_any_size_are_not() -> None:
    def updates() -> Iterator[Event]:
        for at in range(600, 900):
            event = flow(at)
            event.destination_packets = 50_000
            yield event

    assert told(quiet(0, 600), updates()) == []


def test_the_tail_of_a_download_whose_beginning_nobody_saw_is_not() -> None:
    tails = (packets(at, 50_000, transport="tcp", reply=("10", "10", 500), source_port=443) for at in range(600, 900))
    assert told(quiet(0, 600), tails) == []


def test_twice_as_much_as_is_usual_at_this_hour_is_not() -> None:
    behaviour = Behaviour(SETTINGS)
    hour = 3600
    for day in range(-7, -3):
        begin = day * 24 * hour
        behaviour.judge([*quiet(begin - 60, begin + hour, 1000), *quiet(begin + hour, begin + hour + 1200, 10)])
    judged = behaviour.judge([*quiet(-600, 0, 10), *quiet(0, 600, 2000), *quiet(600, 1200, 9000)])
    (signal,) = (event for event in judged if event.rule_id == "D31")
    assert (signal.nsm_detail or {})["packets_per_second"] == "9000"


def test_without_anything_before_it_a_flood_must_be_higher_and_weighs_less() -> None:
    assert told(flood(0, 300, 400)) == []
    (signal,) = told(flood(0, 300, 2000))
    assert signal.signal_confidence == "Low"


def test_a_flood_in_one_single_conversation_is_told_at_its_end_with_its_source() -> None:
    one = packets(600, 400_000, source="203.0.113.77", seconds=180)
    (signal,) = told(quiet(0, 600), iter([one]))
    assert signal.source_ip == "203.0.113.77"


def test_each_school_of_a_shared_path_has_a_measure_of_its_own() -> None:
    def at(location: str, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            event.school_location = location
            yield event

    (signal,) = told(at("00AA00", quiet(0, 600)), at("00BB00", quiet(0, 600, 3)), at("00BB00", flood(600, 740)))
    assert signal.event_dataset is Dataset.SIGNAL
    assert told(at("00AA00", quiet(0, 600)), at("00BB00", quiet(600, 740, 80)), at("00AA00", quiet(600, 740, 80))) == []


def test_defaults_do_not_call_a_busy_web_server_a_flood() -> None:
    assert told(quiet(0, 1200, 900), settings=BehaveSettings()) == []

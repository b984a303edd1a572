import random
from datetime import timedelta

import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.beacon import score
from tests.schoolwacht_agent.behave.traffic import MORNING, flow, found, signals


def calls(interval: float, jitter: float, number: int = 20, port: int = 443) -> list[Event]:
    chance = random.Random(7)
    at, flows = 0.0, []
    for _ in range(number):
        flows.append(flow(at, port=port))
        at += interval * (1 + chance.uniform(-jitter, jitter))
    return flows


def test_twenty_even_calls_are_a_beacon_and_the_scores_say_why() -> None:
    (signal,) = signals(calls(120, 0.1))
    assert signal.rule_id == "D18"
    assert (signal.signal_severity, signal.signal_confidence) == ("Minor", "Low")
    assert signal.nsm_detail is not None
    assert float(signal.nsm_detail["variation"]) < 0.2
    assert float(signal.nsm_detail["size_score"]) == 1


def test_calls_every_ten_minutes_or_slower_weigh_more() -> None:
    (signal,) = signals(calls(900, 0.1))
    assert (signal.signal_severity, signal.signal_confidence) == ("Minor", "Medium")


def test_nineteen_calls_are_not() -> None:
    assert found(calls(120, 0.1, number=19)) == []


def test_calls_at_uneven_intervals_are_people() -> None:
    assert found(calls(120, 0.9, number=60)) == []


def test_calls_within_a_minute_of_each_other_are_information_only() -> None:
    (signal,) = signals(calls(5, 0.0))
    assert signal.signal_severity == "Informational"


def test_password_guessing_is_reported_as_that_and_not_as_a_beacon() -> None:
    assert found(flow(n * 61, port=22) for n in range(9)) == []
    regular = [flow(n * 10, port=22) for n in range(60)]
    assert set(found(regular)) == {"D04"}


def test_traffic_inside_the_school_is_no_beacon() -> None:
    assert found(flow(n * 120, direction=Direction.INTERNAL) for n in range(40)) == []


def test_two_sites_behind_one_address_are_told_apart_by_server_name() -> None:
    events: list[Event] = []
    for n in range(20):
        conversation = f"1:{n}"
        tls = Event(
            timestamp=MORNING + timedelta(seconds=n * 120),
            event_dataset=Dataset.TLS,
            network_community_id=conversation,
            tls_client_server_name=f"site{n % 2}.example",
        )
        events += [tls, flow(n * 120, conversation=conversation)]
    assert found(events) == []


def test_the_scores_of_calls_at_one_moment_are_none() -> None:
    assert score([5.0, 5.0, 5.0], [1, 1, 1]) is None


def test_perfectly_even_calls_score_one() -> None:
    scores = score([float(n * 60) for n in range(20)], [100] * 20)
    assert scores is not None
    assert scores.variation == 0
    assert scores.interval == pytest.approx(1)

import random
from datetime import timedelta
from itertools import pairwise
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.behave.beacon import Beacon, BeaconSettings, evenness, score
from schoolwacht_agent.behave.names import ServerNames
from schoolwacht_agent.behave.password_guessing import PasswordGuessing, PasswordGuessingSettings
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


def test_what_many_hosts_of_the_school_call_is_low_at_most() -> None:
    behaviour = Behaviour(BehaveSettings())
    class_room = [flow(n, f"10.21.0.{100 + n}") for n in range(30)]
    behaviour.judge(class_room)
    (signal,) = [event for event in behaviour.judge(calls(900, 0.1)) if event.rule_id]
    assert (signal.signal_severity, signal.signal_confidence) == ("Minor", "Low")
    assert (signal.nsm_detail or {})["callers"] == "more than 5"


def test_a_slow_beacon_is_found_among_tens_of_thousands_of_conversations() -> None:
    beacon = Beacon(BeaconSettings(flows=5), PasswordGuessing(PasswordGuessingSettings()), ServerNames())
    told: list[Event] = []
    for call in range(5):
        told += beacon.see(flow(call * 700, "10.21.99.1", "198.51.100.7"))
        for n in range(8500):
            told += beacon.see(flow(call * 700, f"10.21.{n % 40}.{n % 250}", f"203.{call}.{n >> 8}.{n & 255}"))
    (signal,) = told
    assert (signal.source_ip, signal.signal_confidence) == ("10.21.99.1", "Medium")


def test_a_page_that_reloads_for_a_whole_class_is_not_told_at_all() -> None:
    reloads = [flow(n * 5 + host / 100, f"10.21.0.{host}") for n in range(40) for host in range(30)]
    assert found(reloads) == []


@pytest.mark.parametrize("port", [53, 123])
def test_time_and_name_servers_are_asked_evenly_by_design(port: int) -> None:
    assert found(flow(n * 1024, port=port, transport="udp") for n in range(60)) == []


def test_a_beacon_is_told_once_and_again_at_ten_times_as_many_calls() -> None:
    told = signals(flow(n * 120) for n in range(250))
    assert [(signal.nsm_detail or {})["flows"] for signal in told] == ["20", "200"]


def test_a_capture_whose_home_nobody_named_still_shows_its_beacon() -> None:
    assert found(flow(n * 120, "147.32.80.37", direction=Direction.EXTERNAL) for n in range(20)) == ["D18"]


def test_calls_at_one_moment_are_not_even() -> None:
    assert evenness([5.0, 5.0, 5.0]) == (0.0, float("inf"))


def test_perfectly_even_calls_over_half_a_day_score_one() -> None:
    scores = score([float(n * 2400) for n in range(20)], [100.0] * 20, since=0.0)
    assert scores.variation == pytest.approx(0, abs=1e-6)
    assert scores.total == pytest.approx(1)


def test_each_score_says_what_it_is_about() -> None:
    even = [float(n * 60) for n in range(32)]
    assert score(even, [100.0] * 16 + [9000.0] * 16, since=0.0).size < 0.6
    assert score([*even[:16], *(50_000 + one for one in even[16:])], [100.0] * 32, since=0.0).histogram < 0.5
    assert score(even, [100.0] * 32, since=0.0).duration == pytest.approx(31 * 60 / 43_200)
    assert score(even, [100.0] * 32, since=-90_000.0).duration == 1
    assert score(sorted(n * n * 7.0 for n in range(32)), [100.0] * 32, since=0.0).timestamp < 0.8


@given(st.lists(st.floats(0, 1e6), min_size=20, max_size=64), st.lists(st.floats(0, 1e9), min_size=20, max_size=64))
def test_every_score_lies_between_nought_and_one(starts: list[float], sizes: list[float]) -> None:
    scores = score(sorted(starts), sizes, since=min(starts))
    assert all(0 <= one <= 1 for one in (*scores[2:], scores.total))


@given(st.lists(st.floats(1e9, 1.7e9), min_size=20, max_size=64, unique=True))
def test_the_variation_is_that_of_the_statistics_module(starts: list[float]) -> None:
    starts = sorted(starts)
    intervals = [later - earlier for earlier, later in pairwise(starts)]
    mean, variation = evenness(starts)
    assert mean == pytest.approx(fmean(intervals))
    assert variation == pytest.approx(pstdev(intervals) / fmean(intervals), rel=1e-6, abs=1e-6)

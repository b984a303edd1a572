from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.minimise.settings import Level
from tests.schoolwacht_agent.minimise.made import NOW, event, flow, shown, step

NAMES = st.sampled_from(["www.example.nl", "img.example.nl", "example.org", "pc-jan.local", None])
EVENTS = st.lists(
    st.builds(
        event, st.just(Dataset.TLS), st.floats(0, 90_000), tls_client_server_name=NAMES, nsm_tls_ja4=st.just("t1")
    ),
    max_size=60,
)


def sightings(events: list[Event]) -> list[Event]:
    found = [one for one in events if one.event_dataset is Dataset.SIGHTING]
    for one in found:
        derive(one)
    return found


def counted(events: list[Event]) -> Counter[tuple[str | None, str | None]]:
    found: Counter[tuple[str | None, str | None]] = Counter()
    for one in sightings(events):
        found[one.sighting_kind, one.sighting_value] += one.sighting_count or 0
    return found


@given(EVENTS, st.sampled_from(Level))
@settings(max_examples=80, deadline=None)
def test_counts_add_up_to_the_events_at_every_level(events: list[Event], level: Level) -> None:
    expected = Counter(
        ("domain", "example.nl" if name.endswith("example.nl") else name)
        for one in events
        if (name := one.tls_client_server_name) and not name.endswith(".local")
    )
    expected["ja4", "t1"] = len(events)
    made = step(level)
    kept = [out for one in events for out in made.through([one])] + made.finish()
    assert counted(kept) == +expected


def test_a_new_value_goes_out_within_its_minute_and_then_once_an_hour() -> None:
    made = step(Level.ALERTS)
    made.through([event(Dataset.HTTP, 0, user_agent_original="curl/8.5.0")])
    first = sightings(made.through([flow(60)]))
    assert [(one.sighting_value, one.sighting_count) for one in first] == [("curl/8.5.0", 1)]
    quiet = [made.through([event(Dataset.HTTP, second, user_agent_original="curl/8.5.0")]) for second in (70, 130, 190)]
    assert [one.sighting_value for each in quiet for one in sightings(each)] == ["203.0.113.9"]
    later = sightings(made.through([flow(3600)]))
    assert [(one.sighting_value, one.sighting_count) for one in later] == [("curl/8.5.0", 3)]


def test_a_sighting_has_no_client() -> None:
    made = step(Level.ALERTS)
    made.through([flow(), event(Dataset.TLS, nsm_tls_ja4="t1", tls_client_server_name="www.example.nl")])
    for one in made.finish():
        fields = shown(one)
        assert not [name for name in fields if name.startswith("source_")]
        assert "network_community_id" not in fields


@pytest.mark.parametrize(
    ("level", "found"),
    [(Level.FULL, set()), (Level.SUMMARY, {"address", "ja4"}), (Level.ALERTS, {"address", "ja4", "domain"})],
)
def test_indicators_find_a_value_where_no_other_event_goes_out_with_it(level: Level, found: set[str]) -> None:
    made = step(level)
    made.through([flow(), event(Dataset.TLS, nsm_tls_ja4="t1", tls_client_server_name="www.example.nl")])
    natural = {"address": "destination_ip", "ja4": "nsm_tls_ja4", "domain": "dns_question_name"}
    kept = sightings(made.finish())
    assert {one.sighting_kind for one in kept} == {"address", "ja4", "domain"}
    assert {one.sighting_kind for one in kept if getattr(one, natural[one.sighting_kind or ""])} == found


def test_own_addresses_and_unanswered_ones_from_outside_are_not_sighted() -> None:
    made = step(Level.ALERTS)
    made.through(
        [
            flow(destination_ip="10.0.0.9", network_direction=Direction.INTERNAL),
            flow(source_ip="198.51.100.9", network_direction=Direction.INBOUND, destination_packets=0),
            flow(source_ip="198.51.100.8", network_direction=Direction.INBOUND),
            # A path of many schools: outbound to another school's client.
            flow(destination_ip="10.9.9.9"),
        ]
    )
    assert counted(made.finish()) == {("address", "198.51.100.8"): 1}


def test_beyond_the_bound_all_go_out_and_are_counted() -> None:
    made = step(Level.ALERTS, sightings=100)
    out = made.through([flow(destination_ip=f"198.51.100.{number}") for number in range(200)])
    assert sum(counted(out).values()) == 200
    assert made.figures()["minimise.sightings_early"] == 1
    assert made.figures()["minimise.sightings"] == 0


def test_a_value_is_new_again_on_the_next_day() -> None:
    made = step(Level.ALERTS)
    days = [flow(seconds) for seconds in (0, 60, 86_400, 86_460)]
    out = [len([one for one in sightings(made.through([each])) if one.sighting_kind == "address"]) for each in days]
    assert out == [0, 1, 1, 1]


def test_first_and_last_are_those_of_the_events_to_the_minute() -> None:
    made = step(Level.ALERTS)
    made.through([flow(20), flow(5), flow(30)])
    (one,) = sightings(made.finish())
    assert (one.event_start, one.timestamp) == (None, NOW)
    made.through([flow(3000), flow(20), flow(150)])
    (one,) = sightings(made.finish())
    assert (one.event_start, one.timestamp) == (NOW, NOW + timedelta(minutes=50))

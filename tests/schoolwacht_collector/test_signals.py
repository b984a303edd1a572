from __future__ import annotations

import pytest
from msgspec.structs import replace

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.known_bad import MOST
from schoolwacht.match import IndicatorSet
from schoolwacht_collector.index import documents
from schoolwacht_collector.records import Indicator
from schoolwacht_collector.signals import complete_signal, entity_of, key_of, signals_of
from tests.schoolwacht_collector.made import NOW, indicator, signal

JA3 = "e7d705a3286e19ea42f587b344ee6865"


def tls(**fields: object) -> Event:
    base = {
        "timestamp": NOW,
        "event_dataset": Dataset.TLS,
        "event_id": "0197-abc",
        "event_ingested": NOW,
        "organization_id": "41000",
        "school_location": "00AB00",
        "observer_name": "agent-one",
        "source_ip": "10.1.0.5",
        "source_port": 50_000,
        "destination_ip": "185.220.101.5",
        "destination_port": 443,
        "network_direction": Direction.OUTBOUND,
        "network_community_id": "1:abc=",
        "tls_client_server_name": "www.evil.example",
        "tls_client_ja3": JA3,
        "dns_answers_data": ["not copied"],
    }
    return Event(**(base | fields))  # type: ignore[arg-type]


def made(event: Event, *indicators: Indicator) -> list[Event]:
    return signals_of(event, IndicatorSet.build(indicators, now=NOW).match(event))


def test_a_hit_becomes_a_complete_signal() -> None:
    (one,) = made(tls(), indicator("domain", "evil.example", tlp="GREEN"))
    assert (one.event_dataset, one.event_kind, one.rule_ruleset) == (Dataset.SIGNAL, "alert", "indicator")
    assert (one.rule_id, one.signal_detection, one.rule_name) == ("D24", "D24", "Known bad domain")
    assert one.message == "Known bad domain evil.example of cert: TLS server name www.evil.example"
    assert (one.threat_technique_id, one.threat_technique_name) == (["T1071"], ["Application Layer Protocol"])
    assert (one.threat_tactic_id, one.threat_tactic_name) == (["TA0011"], ["Command and Control"])
    assert (one.threat_indicator_type, one.threat_indicator_name) == ("domain", "evil.example")
    assert (one.threat_indicator_marking_tlp, one.threat_indicator_provider) == ("GREEN", "cert")
    assert (one.signal_event_id, one.signal_entity, one.signal_score) == ("0197-abc", "10.1.0.5", 70)


def test_a_signal_keeps_whose_it_is_and_what_the_traffic_was() -> None:
    event = tls()
    (one,) = made(event, indicator("domain", "evil.example"))
    for name in ("organization_id", "school_location", "observer_name", "event_ingested", "timestamp", "source_port"):
        assert getattr(one, name) == getattr(event, name)
    assert (one.network_community_id, one.tls_client_ja3) == ("1:abc=", JA3)
    assert one.dns_answers_data is None


def test_a_signals_id_follows_from_event_and_indicator_and_sorts_with_the_event() -> None:
    bad = [indicator("domain", "evil.example"), indicator("address", "185.220.101.5")]
    first, again = made(tls(), *bad), made(tls(), *bad)
    assert [one.event_id for one in first] == [one.event_id for one in again]
    assert len({one.event_id for one in first}) == 2
    assert all(str(one.event_id).startswith("0197-abc-") for one in first)


def test_an_indicator_in_two_fields_makes_one_signal() -> None:
    assert len(made(tls(url_domain="evil.example"), indicator("domain", "evil.example"))) == 1


def test_two_indicators_make_two_signals_with_keys_of_their_own() -> None:
    signals = made(tls(), indicator("domain", "evil.example"), indicator("network", "185.220.0.0/16"))
    assert len({one.signal_key for one in signals}) == 2


def test_a_ja3_alone_has_low_confidence() -> None:
    (one,) = made(tls(), indicator("ja3", JA3))
    assert (one.signal_confidence, one.signal_score) == ("Low", 50)


def test_a_ja3_beside_another_hit_keeps_its_confidence() -> None:
    signals = made(tls(), indicator("ja3", JA3), indicator("domain", "evil.example"))
    assert {one.signal_confidence for one in signals} == {"High"}


def test_an_event_without_hits_makes_no_signal() -> None:
    assert made(tls()) == []


def test_the_store_takes_what_is_made_of_the_longest_values() -> None:
    long = "a." * 120 + "evil.example"
    (one,) = made(tls(tls_client_server_name=long), indicator("domain", "evil.example"))
    documents.prepare(one)
    assert documents.encode(one)


@pytest.mark.parametrize(
    ("direction", "entity"),
    [
        (Direction.OUTBOUND, "10.1.0.5"),
        (Direction.INTERNAL, "10.1.0.5"),
        (Direction.INBOUND, "185.220.101.5"),
        (Direction.EXTERNAL, "10.1.0.5"),
        (None, "10.1.0.5"),
    ],
)
def test_the_entity_is_the_host_of_the_school(direction: Direction | None, entity: str) -> None:
    assert entity_of(tls(network_direction=direction)) == entity


def test_of_a_sighting_the_entity_is_the_agent_and_not_the_address_outside() -> None:
    sighted = tls(event_dataset=Dataset.SIGHTING, source_ip=None, source_mac=None, network_direction=None)
    assert entity_of(sighted) == "agent-one"


def test_without_addresses_the_entity_is_the_mac_and_at_last_the_agent() -> None:
    bare = tls(source_ip=None, destination_ip=None, source_mac="aa:bb")
    assert entity_of(bare) == "aa:bb"
    assert entity_of(tls(source_ip=None, destination_ip=None)) == "agent-one"


def test_what_an_agent_claims_of_entity_key_and_score_is_replaced() -> None:
    one = signal("a")
    honest = (one.signal_entity, one.signal_key, one.signal_score)
    one.signal_entity, one.signal_key, one.signal_score = "other", "other", 100
    complete_signal(one)
    assert (one.signal_entity, one.signal_key, one.signal_score) == honest


@pytest.mark.parametrize("field", ["organization_id", "school_location", "signal_entity", "signal_detection"])
def test_the_key_tells_apart(field: str) -> None:
    one, other = signal("a"), signal("a")
    setattr(other, field, "different")
    assert key_of(one) != key_of(other)


def test_an_event_has_few_signals_however_many_indicators_it_holds() -> None:
    addresses = [f"45.33.7.{number}" for number in range(1, 65)]
    found = made(tls(dns_resolved_ip=addresses), *(indicator("address", each) for each in addresses))
    assert len(found) == MOST
    assert len({one.event_id for one in found}) == MOST
    assert all(f"{64 - MOST} further indicators hit the same event" in (one.message or "") for one in found)


def test_the_surest_indicators_have_the_signals() -> None:
    doubtful = [replace(indicator("address", f"45.33.7.{number}"), confidence="Low") for number in range(1, 20)]
    sure = indicator("address", "45.33.7.64")
    found = made(tls(dns_resolved_ip=[each.value for each in (*doubtful, sure)]), *doubtful, sure)
    assert found[0].threat_indicator_id == sure.id


def test_rules_of_one_detection_share_a_key_and_others_do_not() -> None:
    one, other = signal("a", rule="1"), signal("b", rule="2")
    assert key_of(one) != key_of(other)
    one.signal_detection = other.signal_detection = "D16"
    assert key_of(one) == key_of(other)


def test_names_that_the_agent_gave_stay() -> None:
    one = signal("a")
    one.threat_technique_name, one.threat_tactic_id, one.threat_tactic_name = ["Exploit"], ["TA0002"], None
    complete_signal(one)
    found: list[object] = [one.threat_technique_name, one.threat_tactic_name]
    assert found == [["Exploit"], ["Execution"]]


def test_an_unknown_technique_keeps_its_id_and_gets_no_name() -> None:
    one = signal("a")
    one.threat_technique_id, one.threat_technique_name, one.threat_tactic_id = ["T9999"], None, None
    complete_signal(one)
    found: list[object] = [one.threat_technique_id, one.threat_technique_name, one.threat_tactic_id]
    assert found == [["T9999"], None, None]


def test_a_suricata_priority_scores_where_the_rule_has_no_severity() -> None:
    one = signal("a")
    one.signal_severity, one.event_severity = None, 2
    complete_signal(one)
    assert one.signal_score == 50

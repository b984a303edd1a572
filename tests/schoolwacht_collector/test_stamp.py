from __future__ import annotations

import ipaddress
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import LIST_MAX, Dataset, Event
from schoolwacht_collector.records import Agent, School, Standpoint
from schoolwacht_collector.stamp import CLAIMED_TIME, CLAMPED, BatchStamp, Bounds, Stamper, canonical
from tests.schoolwacht_collector.serving import EPOCH, NOW, SCHOOL, SECRET, flow

OTHER = School(location="11CD01", board="23456", sector="vo")
BOUNDS = Bounds(timedelta(minutes=5), timedelta(days=14))


def agent(*schools: School, name: str = "gateway-1") -> Agent:
    """A gateway of one school, a sensor on the NDC path of several."""
    if len(schools) == 1:
        return Agent(id=name, timestamp=NOW, key_hash="", board=schools[0].board, schools=schools)
    return Agent(id=name, timestamp=NOW, key_hash="", board="ndc", schools=schools, standpoint=Standpoint.NDC)


def batch_stamp(
    *schools: School,
    name: str = "gateway-1",
    epoch: str = EPOCH,
    now: datetime = NOW,
    secret: bytes = SECRET,
    bounds: Bounds = BOUNDS,
) -> BatchStamp:
    return Stamper(agent(*(schools or (SCHOOL,)), name=name), secret, bounds).batch(epoch, now=now, version="0.1.0")


def test_the_registration_says_whose_an_event_is() -> None:
    event = flow()
    assert batch_stamp().stamp(event, 7) is None
    assert (event.organization_id, event.school_location, event.school_brin) == ("12345", "00AB00", "00AB")
    assert (event.school_sector, event.school_region) == ("po", "Utrecht")
    assert (event.observer_name, event.observer_version, event.observer_type) == ("gateway-1", "0.1.0", "ids")
    assert (event.event_sequence, event.event_ingested) == (7, NOW)
    assert event.related_ip == ["10.0.0.7", "198.51.100.9"]
    assert (event.client_ip, event.server_port) == ("10.0.0.7", 443)


# Fields that a source may set; everything else is the collector's, or follows from the event.
_ALLOWED_CLAIMS = {"school_location", "school_zone"}
_COLLECTORS = [
    "organization_id", "school_brin", "school_sector", "school_region", "observer_name", "observer_product",
    "observer_type", "observer_vendor", "observer_version", "event_id", "event_sequence", "event_ingested",
    "event_kind", "event_category", "event_type",
    "ecs_version", "source_address", "destination_address", "client_ip", "client_port", "server_ip", "server_port",
    "related_ip", "related_hosts", "related_hash", "related_user", "dns_question_registered_domain",
    "dns_question_subdomain", "signal_entity", "signal_key", "signal_score", "signal_event_id",
    "threat_indicator_id", "threat_indicator_type", "threat_indicator_name", "threat_indicator_provider",
    "threat_indicator_confidence", "threat_indicator_marking_tlp",
]  # fmt: skip


def _forged(name: str) -> Any:
    annotation = str(next(item.type for item in msgspec.structs.fields(Event) if item.name == name))
    if "datetime" in annotation:
        return datetime(2001, 1, 1, tzinfo=UTC)
    if "list" in annotation:
        return ["forged"]
    return 99 if "int" in annotation else "forged"


@pytest.mark.parametrize("name", _COLLECTORS)
@pytest.mark.parametrize("dataset", [Dataset.FLOW, Dataset.DNS, Dataset.ARP, Dataset.HEALTH])
def test_what_an_agent_claims_of_the_collectors_fields_is_replaced(name: str, dataset: Dataset) -> None:
    honest, forger = flow(event_dataset=dataset), flow(event_dataset=dataset, **{name: _forged(name)})
    assert batch_stamp().stamp(honest, 1) is None
    assert batch_stamp().stamp(forger, 1) is None
    assert msgspec.to_builtins(forger) == msgspec.to_builtins(honest)


@pytest.mark.parametrize("verdict", ["allowed", "denied"])
def test_a_signal_says_whether_the_engine_let_it_through(verdict: str) -> None:
    signal = flow(event_dataset=Dataset.SIGNAL, rule_id="1", rule_ruleset="suricata", event_type=[verdict])
    assert batch_stamp().stamp(signal, 1) is None
    assert (signal.event_kind, signal.event_type) == ("alert", [verdict])


@pytest.mark.parametrize("claimed", [["forged"], ["denied", "forged"], []])
def test_a_signal_says_nothing_else_of_its_type(claimed: list[str]) -> None:
    signal = flow(event_dataset=Dataset.SIGNAL, rule_id="1", rule_ruleset="suricata", event_type=claimed)
    assert batch_stamp().stamp(signal, 1) is None
    assert signal.event_type == ["info"]


def test_what_the_collector_says_of_a_clock_cannot_be_claimed() -> None:
    event = flow(tags=["kept", CLAMPED], nsm_detail={"kept": "x", CLAIMED_TIME: "2001-01-01"})
    assert batch_stamp().stamp(event, 1) is None
    assert (event.tags, event.nsm_detail) == (["kept"], {"kept": "x"})


def test_a_claim_of_a_wrong_clock_does_not_hide_the_real_one() -> None:
    event = flow(timestamp=NOW + timedelta(days=1), tags=[CLAMPED], nsm_detail={CLAIMED_TIME: "2001-01-01"})
    assert batch_stamp().stamp(event, 1) is None
    assert event.tags == [CLAMPED]
    assert event.nsm_detail == {CLAIMED_TIME: (NOW + timedelta(days=1)).isoformat()}


def test_every_tenant_field_is_in_the_table_of_forgeries() -> None:
    owned = ("organization_", "school_", "observer_", "client_", "server_", "related_", "threat_indicator_")
    names = {item.name for item in msgspec.structs.fields(Event) if item.name.startswith(owned)}
    assert names - _ALLOWED_CLAIMS <= set(_COLLECTORS)


@given(
    claims=st.fixed_dictionaries(
        {},
        optional={name: st.text(max_size=40) for name in _COLLECTORS if isinstance(_forged(name), str)},
    )
)
def test_no_claim_moves_an_event_to_another_tenant(claims: dict[str, str]) -> None:
    event = flow(**claims)
    assert batch_stamp().stamp(event, 3) is None
    expected = flow()
    batch_stamp().stamp(expected, 3)
    assert (event.organization_id, event.school_location, event.observer_name, event.event_id) == (
        expected.organization_id,
        expected.school_location,
        expected.observer_name,
        expected.event_id,
    )


def test_the_claim_of_another_school_is_rejected() -> None:
    assert batch_stamp().stamp(flow(school_location="11CD01"), 1) == (
        "school.location: this agent is not registered for that school"
    )


def test_a_sensor_of_many_schools_is_believed_about_its_own() -> None:
    event = flow(school_location="11CD01")
    assert batch_stamp(SCHOOL, OTHER).stamp(event, 1) is None
    assert (event.organization_id, event.school_sector, event.school_region) == ("23456", "vo", None)


def test_a_sensor_of_many_schools_must_name_the_school() -> None:
    assert (batch_stamp(SCHOOL, OTHER).stamp(flow(), 1) or "").startswith("school.location: is required")


def test_a_sensor_on_the_path_must_name_its_school_though_it_has_one_only() -> None:
    ndc = msgspec.structs.replace(agent(SCHOOL), standpoint=Standpoint.NDC, board="ndc")
    stamp = Stamper(ndc, SECRET, BOUNDS).batch(EPOCH, now=NOW, version=None)
    assert (stamp.stamp(flow(), 1) or "").startswith("school.location: is required")


def test_what_a_sensor_says_of_itself_is_its_operators_and_no_schools() -> None:
    health = flow(event_dataset=Dataset.HEALTH, school_brin="00AB", organization_id="12345")
    assert batch_stamp(SCHOOL, OTHER).stamp(health, 1) is None
    assert (health.organization_id, health.school_location, health.school_brin) == ("ndc", None, None)
    assert (health.school_sector, health.school_region, health.observer_name) == (None, None, "gateway-1")


def test_ten_thousand_forged_claims_of_a_sensor_name_no_school_but_its_own() -> None:
    """Promise 20: every claim, alone and with the others, on a sensor of two schools of two boards."""
    chance = random.Random(20)
    boards = {"00AB00": "12345", "11CD01": "23456", None: "ndc"}
    forged = {name: _forged(name) for name in _COLLECTORS}
    stamp = batch_stamp(SCHOOL, OTHER)
    places = [None, "00AB00", "11CD01", "00AB01", "11CD00", "00ab00", " 00AB00", "00AB00\x00", "", "00AB0", "ndc"]
    values = ["12345", "23456", "99999", "ndc", "00AB", "gateway-2", "", "\x00", "*", "00AB00"]
    taken = 0
    for sequence in range(10_000):
        claims = {
            name: chance.choice(values) if isinstance(forged[name], str) else forged[name]
            for name in chance.sample(_COLLECTORS, chance.choice((1, 2, len(_COLLECTORS))))
        }
        dataset = chance.choice((Dataset.FLOW, Dataset.DNS, Dataset.SIGNAL, Dataset.HEALTH))
        event = flow(event_dataset=dataset, rule_id="D01", rule_ruleset="behaviour", **claims)
        event.school_location = claim = chance.choice(places)
        if stamp.stamp(event, sequence) is not None:
            assert claim not in boards or claim is None
            continue
        taken += 1
        assert event.school_location == claim
        assert event.school_location in boards
        assert event.school_location is not None or dataset is Dataset.HEALTH
        assert event.organization_id == boards[event.school_location]
        assert event.school_brin == (None if claim is None else claim[:4])
        assert (event.observer_name, event.event_sequence) == ("gateway-1", sequence)
    assert taken > 2_000


def test_the_only_school_of_an_agent_may_be_claimed() -> None:
    assert batch_stamp().stamp(flow(school_location="00AB00"), 1) is None


def _id(event: Event | None = None, sequence: int = 1, **changes: Any) -> str:
    event = event or flow()
    assert batch_stamp(**changes).stamp(event, sequence) is None
    assert event.event_id is not None
    return event.event_id


def test_an_item_gets_the_same_id_at_every_delivery() -> None:
    assert _id() == _id(now=NOW + timedelta(hours=2))


@pytest.mark.parametrize(
    "changes",
    [{"sequence": 2}, {"epoch": "00000000000000ab"}, {"name": "gateway-2"}, {"secret": SECRET[::-1]}],
    ids=["sequence", "epoch", "agent", "secret"],
)
def test_the_id_depends_on(changes: dict[str, Any]) -> None:
    assert _id(**changes) != _id()


def test_the_id_depends_on_the_board() -> None:
    event = flow()
    batch_stamp(School(location="00AB00", board="99999")).stamp(event, 1)
    assert event.event_id is not None
    assert event.event_id[12:] != _id()[12:]


def test_boards_of_one_sensor_have_keys_of_their_own() -> None:
    stamp = batch_stamp(SCHOOL, OTHER)
    first, second = flow(school_location="00AB00"), flow(school_location="11CD01")
    stamp.stamp(first, 1)
    stamp.stamp(second, 1)
    assert first.event_id != second.event_id


_MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1))


@given(_MOMENTS, _MOMENTS)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    bounds = Bounds(timedelta(days=365 * 7900), None)
    earlier, later = sorted((one, other))
    if (later - earlier) >= timedelta(milliseconds=1):
        assert _id(flow(timestamp=earlier), bounds=bounds) < _id(flow(timestamp=later), bounds=bounds)


def test_a_time_before_1970_still_gives_an_id() -> None:
    assert len(_id(flow(timestamp=datetime(1950, 1, 1, tzinfo=UTC)))) == 32


@pytest.mark.parametrize("offset", [timedelta(minutes=6), timedelta(days=-15)], ids=["future", "past"])
def test_a_wrong_clock_is_clamped_to_the_arrival_and_tagged(offset: timedelta) -> None:
    event = flow(timestamp=NOW + offset, tags=["kept"])
    assert batch_stamp().stamp(event, 1) is None
    assert event.timestamp == NOW
    assert event.tags == ["kept", CLAMPED]
    assert event.nsm_detail == {CLAIMED_TIME: (NOW + offset).isoformat()}


@pytest.mark.parametrize("offset", [timedelta(minutes=4), timedelta(days=-13)])
def test_a_time_within_the_bounds_is_kept(offset: timedelta) -> None:
    event = flow(timestamp=NOW + offset)
    batch_stamp().stamp(event, 1)
    assert (event.timestamp, event.tags) == (NOW + offset, None)


def test_any_age_is_taken_when_the_past_is_unbounded() -> None:
    old = datetime(2009, 5, 1, tzinfo=UTC)
    event = flow(timestamp=old)
    batch_stamp(bounds=Bounds(timedelta(0), None)).stamp(event, 1)
    assert event.timestamp == old


def test_a_clamped_item_keeps_its_id_when_it_is_sent_again() -> None:
    wrong = NOW + timedelta(days=3)
    assert _id(flow(timestamp=wrong)) == _id(flow(timestamp=wrong), now=NOW + timedelta(hours=1))


def test_tags_stay_within_their_bound_when_one_is_added() -> None:
    event = flow(timestamp=NOW + timedelta(days=1), tags=[str(number) for number in range(LIST_MAX)])
    batch_stamp().stamp(event, 1)
    assert event.tags is not None
    assert (len(event.tags), event.tags[-1]) == (LIST_MAX, CLAMPED)


_TIMES = [
    (item.name, item.encode_name)
    for item in msgspec.structs.fields(Event)
    if "datetime" in str(item.type) and item.name != "event_ingested"
]


@pytest.mark.parametrize(("name", "field"), _TIMES)
def test_a_time_without_zone_is_rejected_with_its_field(name: str, field: str) -> None:
    reason = batch_stamp().stamp(flow(**{name: datetime(2026, 3, 2)}), 1)
    assert reason == f"{field}: no moment in UTC"


@pytest.mark.parametrize(("name", "field"), _TIMES)
def test_a_time_of_another_zone_becomes_utc(name: str, field: str) -> None:
    event = flow(**{name: NOW.astimezone(timezone(timedelta(hours=2)))})
    assert batch_stamp().stamp(event, 1) is None
    assert getattr(event, name).tzinfo is UTC
    assert getattr(event, name) == NOW


def test_a_time_that_has_no_utc_is_rejected() -> None:
    edge = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert batch_stamp().stamp(flow(timestamp=edge), 1) == "@timestamp: no moment in UTC"


def _address_fields() -> list[tuple[str, str, bool]]:
    found = []
    for item in msgspec.structs.fields(Event):
        text = str(item.type)
        if "'type': 'ip'" in text and item.name not in _COLLECTORS:
            found.append((item.name, item.encode_name, "list" in text))
    assert len(found) == 7
    return found


@pytest.mark.parametrize(("name", "field", "many"), _address_fields())
@pytest.mark.parametrize("text", ["", "999.1.1.1", "example.nl", "fe80::1%eth0", "10.0.0.1/8", "١.1.1.1", "1.2.3"])
def test_what_is_no_address_rejects_the_item_with_its_field(name: str, field: str, many: bool, text: str) -> None:
    event = flow(**{name: [text] if many else text})
    assert batch_stamp().stamp(event, 1) == f"{field}: no IP address"


@pytest.mark.parametrize(("name", "field", "many"), _address_fields())
def test_an_address_is_spelled_canonically(name: str, field: str, many: bool) -> None:
    text, expected = "2001:DB8:0:0::0001", "2001:db8::1"
    event = flow(**{name: [text] if many else text})
    assert batch_stamp().stamp(event, 1) is None
    assert getattr(event, name) == ([expected] if many else expected)


def test_a_mapped_address_is_the_ipv4_address() -> None:
    assert canonical("::ffff:192.0.2.1") == "192.0.2.1"


@given(st.ip_addresses())
def test_a_canonical_address_means_the_same(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = canonical(address.exploded)
    mapped = getattr(address, "ipv4_mapped", None)
    assert found == str(mapped or address)


def test_a_signal_of_a_rule_set_of_the_collector_is_rejected() -> None:
    signal = flow(event_dataset=Dataset.SIGNAL, rule_id="X1", rule_ruleset="correlation")
    assert (batch_stamp().stamp(signal, 1) or "").startswith("rule.ruleset:")


def test_a_signal_without_a_rule_is_rejected() -> None:
    assert (batch_stamp().stamp(flow(event_dataset=Dataset.SIGNAL), 1) or "").startswith("rule.id")


@pytest.mark.parametrize("zone", ["", " staff", "a" * 64, "<b>", "a\n"])
def test_an_odd_zone_is_rejected(zone: str) -> None:
    assert (batch_stamp().stamp(flow(school_zone=zone), 1) or "").startswith("school.zone")


def test_a_zone_is_kept() -> None:
    event = flow(school_zone="pupils-2")
    assert batch_stamp().stamp(event, 1) is None
    assert event.school_zone == "pupils-2"

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType
from schoolwacht.match import CACHED, GRACE, Hit, IndicatorSet, common_names
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.made import NOW, indicator

JA3 = "e7d705a3286e19ea42f587b344ee6865"
JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"
SHA1 = "4d3f9e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e"


def event(**fields: object) -> Event:
    return Event(**({"timestamp": NOW, "event_dataset": Dataset.TLS} | fields))  # type: ignore[arg-type]


def hits(indicators: Iterable[Indicator], **fields: object) -> list[tuple[str, str]]:
    found = IndicatorSet.build(indicators, now=NOW).match(event(**fields))
    return [(hit.indicator.value, hit.field) for hit in found]


@pytest.mark.parametrize(
    ("kind", "value", "field", "ecs", "seen"),
    [
        ("address", "185.220.101.5", "source_ip", "source.ip", "185.220.101.5"),
        ("address", "185.220.101.5", "destination_ip", "destination.ip", "185.220.101.5"),
        ("address", "185.220.101.5", "destination_ip", "destination.ip", "::ffff:185.220.101.5"),
        ("address", "185.220.101.5", "dns_resolved_ip", "dns.resolved_ip", ["185.220.101.4", "185.220.101.5"]),
        ("address", "185.220.101.5", "url_domain", "url.domain", "185.220.101.5"),
        ("address", "2a00:1450::1", "url_domain", "url.domain", "[2a00:1450::1]"),
        ("address", "2a00:1450::1", "source_ip", "source.ip", "2A00:1450:0:0::1"),
        ("network", "185.220.0.0/16", "source_ip", "source.ip", "185.220.255.255"),
        ("network", "2a00:1450::/32", "destination_ip", "destination.ip", "2a00:1450:ffff::1"),
        ("domain", "evil.example", "dns_question_name", "dns.question.name", "evil.example"),
        ("domain", "evil.example", "dns_question_name", "dns.question.name", "a.b.c.d.e.f.g.evil.example"),
        ("domain", "evil.example", "tls_client_server_name", "tls.client.server_name", "www.evil.example"),
        ("domain", "evil.example", "url_domain", "url.domain", "EVIL.example."),
        ("ja3", JA3, "tls_client_ja3", "tls.client.ja3", JA3),
        ("ja3", JA3, "tls_server_ja3s", "tls.server.ja3s", JA3),
        ("ja4", JA4, "nsm_tls_ja4", "nsm.tls.ja4", JA4),
        ("certificate-sha1", SHA1, "tls_server_hash_sha1", "tls.server.hash.sha1", SHA1),
        ("certificate-sha256", SHA1 + "0" * 24, "tls_server_hash_sha256", "tls.server.hash.sha256", SHA1 + "0" * 24),
        ("certificate-name", "c2.evil.example", "tls_server_subject", "tls.server.subject", "C=NL, CN=C2.evil.example"),
        ("certificate-name", "AsyncRAT Server", "tls_server_subject", "tls.server.subject", "CN=AsyncRAT Server"),
        (
            "certificate-name",
            "*.evil.example",
            "tls_server_x509_alternative_names",
            "tls.server.x509.alternative_names",
            ["other.example", "www.evil.example"],
        ),
        (
            "certificate-name",
            "www.evil.example",
            "tls_server_x509_alternative_names",
            "tls.server.x509.alternative_names",
            ["*.evil.example"],
        ),
    ],
)
def test_an_indicator_is_found_in_its_fields(kind: str, value: str, field: str, ecs: str, seen: object) -> None:
    wanted = indicator(kind, value)
    assert hits([wanted], **{field: seen}) == [(wanted.value, ecs)]


@pytest.mark.parametrize(
    ("kind", "value", "field", "seen"),
    [
        ("domain", "evil.example", "dns_question_name", "notevil.example"),
        ("domain", "evil.example", "dns_question_name", "evil.example.org"),
        ("domain", "www.evil.example", "dns_question_name", "evil.example"),
        ("address", "185.220.101.5", "source_ip", "185.220.101.50"),
        ("address", "185.220.101.5", "source_ip", "no address\0"),
        ("address", "185.220.101.5", "source_ip", "::185.220.101.5"),
        ("network", "102.3.0.0/16", "source_ip", "6603::1"),
        ("certificate-name", "*.evil.example", "tls_server_subject", "CN=a.b.evil.example"),
        ("certificate-name", "*.evil.example", "tls_server_subject", "CN=evil.example"),
        ("certificate-name", "c2.evil.example", "tls_server_subject", "O=c2.evil.example"),
    ],
)
def test_what_only_resembles_an_indicator_is_no_hit(kind: str, value: str, field: str, seen: object) -> None:
    assert hits([indicator(kind, value)], **{field: seen}) == []


def test_networks_within_each_other_and_the_address_are_all_found() -> None:
    wanted = [indicator("network", "185.220.0.0/16"), indicator("network", "185.220.101.0/24")]
    wanted += [indicator("address", "185.220.101.5"), indicator("network", "185.0.0.0/8")]
    found = hits(wanted, source_ip="185.220.101.5")
    assert {value for value, _ in found} == {each.value for each in wanted}


def test_an_indicator_hits_an_event_once_with_the_first_field() -> None:
    found = hits(
        [indicator("domain", "evil.example")], tls_client_server_name="evil.example", url_domain="evil.example"
    )
    assert found == [("evil.example", "tls.client.server_name")]


def test_traffic_of_after_the_expiry_is_no_hit_and_traffic_of_before_it_is() -> None:
    built = IndicatorSet.build([indicator("address", "185.220.101.5", valid_until=NOW)], now=NOW)
    before = event(timestamp=NOW - timedelta(seconds=1), source_ip="185.220.101.5")
    assert len(built.match(before)) == 1
    assert built.match(event(timestamp=NOW, source_ip="185.220.101.5")) == []


def test_an_indicator_that_expired_long_ago_is_left_out() -> None:
    old = indicator("address", "185.220.101.5", valid_until=NOW - GRACE)
    late = indicator("address", "185.220.101.6", valid_until=NOW - GRACE + timedelta(seconds=1))
    assert IndicatorSet.build([old, late], now=NOW).size == 1


@pytest.mark.parametrize("dataset", [Dataset.SIGNAL, Dataset.HEALTH])
def test_signals_and_health_are_not_matched(dataset: Dataset) -> None:
    built = IndicatorSet.build([indicator("address", "185.220.101.5")], now=NOW)
    assert built.match(event(event_dataset=dataset, source_ip="185.220.101.5")) == []


def test_more_addresses_and_names_than_the_caches_hold_change_nothing() -> None:
    built = IndicatorSet.build([indicator("domain", "evil.example"), indicator("address", "9.9.9.9")], now=NOW)
    for number in range(CACHED + 10):
        address = str(ipaddress.IPv4Address(number + (11 << 24)))
        assert built.match(event(source_ip=address, dns_question_name=f"h{number}.good.example")) == []
    assert len(built._by_address) <= CACHED
    assert len(built._by_name) <= CACHED
    assert len(built.match(event(source_ip="9.9.9.9", dns_question_name="h1.evil.example"))) == 2


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("CN=a.example", ["a.example"]),
        ("C=NL, O=X Y, CN=a.example", ["a.example"]),
        ("/C=NL/O=X/CN=a.example/emailAddress=a@b", ["a.example"]),
        (r"CN=Acme\, Inc., O=X", ["Acme, Inc."]),
        ("O=noCN=x", []),
        ("", []),
    ],
)
def test_common_names_are_read_from_either_notation(subject: str, names: list[str]) -> None:
    assert common_names(subject) == names


# A small world, so that hits are frequent and near misses more so.
_v4 = st.builds(lambda a, b: f"185.220.{a}.{b}", st.integers(0, 3), st.integers(0, 3))
_v6 = st.builds(lambda a, b: f"2a00:{a:x}::{b:x}", st.integers(0, 3), st.integers(0, 3))
_networks = st.one_of(
    st.builds(lambda a, n: f"{a}/{n}", _v4, st.integers(8, 32)),
    st.builds(lambda a, n: f"{a}/{n}", _v6, st.integers(24, 128)),
)
_label = st.sampled_from(("a", "b", "evil", "x-1"))
_names = st.lists(_label, min_size=1, max_size=6).map(lambda labels: ".".join([*labels, "example"]))
_digests = st.sampled_from(("a" * 32, "b" * 32))
_certificates = st.one_of(_names, _names.map(lambda name: f"*.{name}"))

_indicators = st.lists(
    st.one_of(
        st.builds(indicator, st.just("address"), st.one_of(_v4, _v6)),
        st.builds(indicator, st.just("network"), _networks),
        st.builds(indicator, st.just("domain"), _names),
        st.builds(indicator, st.just("ja3"), _digests),
        st.builds(indicator, st.just("certificate-name"), _certificates),
    ),
    max_size=12,
)
_seen = st.one_of(_v4, _v6, _v4.map(lambda text: f"::ffff:{text}"))
_events = st.builds(
    event,
    source_ip=st.none() | _seen,
    destination_ip=st.none() | _seen,
    dns_resolved_ip=st.none() | st.lists(_seen, max_size=3),
    dns_question_name=st.none() | _names,
    tls_client_server_name=st.none() | _names | st.text(max_size=8),
    url_domain=st.none() | _names | _v4,
    tls_client_ja3=st.none() | _digests,
    tls_server_ja3s=st.none() | _digests,
    tls_server_subject=st.none() | _certificates.map(lambda name: f"O=x, CN={name}"),
    tls_server_x509_alternative_names=st.none() | st.lists(_certificates, max_size=3),
)


@given(_indicators, st.lists(_events, min_size=1, max_size=4))
@settings(max_examples=400, deadline=None)
def test_the_set_finds_what_comparing_everything_with_everything_finds(
    indicators: list[Indicator], events: list[Event]
) -> None:
    built = IndicatorSet.build(indicators, now=NOW)
    for each in events * 2:  # the second time from the caches
        found = built.match(each)
        assert all(isinstance(hit, Hit) for hit in found)
        assert {hit.indicator.id for hit in found} == {one.id for one in indicators if _holds(each, one)}
        assert len(found) == len({hit.indicator.id for hit in found})


def _holds(each: Event, one: Indicator) -> bool:
    addresses = [each.source_ip, each.destination_ip, *(each.dns_resolved_ip or ()), each.url_domain]
    names = [each.dns_question_name, each.tls_client_server_name, each.url_domain]
    match one.type:
        case IndicatorType.ADDRESS | IndicatorType.NETWORK:
            network = ipaddress.ip_network(one.value)
            return any(_plain(text) in network for text in addresses if text and _plain(text) is not None)
        case IndicatorType.DOMAIN:
            return any(name == one.value or name.endswith(f".{one.value}") for name in names if name)
        case IndicatorType.JA3:
            return one.value in (each.tls_client_ja3, each.tls_server_ja3s)
        case IndicatorType.CERTIFICATE_NAME:
            carried = list(each.tls_server_x509_alternative_names or ())
            if each.tls_server_subject:
                carried.append(each.tls_server_subject.partition("CN=")[2])
            return any(name == one.value or _covers(name, one.value) or _covers(one.value, name) for name in carried)
    raise AssertionError(one.type)


def _covers(wildcard: str, name: str) -> bool:
    first, _, rest = name.partition(".")
    return wildcard.startswith("*.") and wildcard[2:] == rest and first != "*"


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def http(**more: Any) -> Event:
    return event(event_dataset=Dataset.HTTP, url_domain="evil.example", url_path="/a.exe", **more)


def urls(value: str) -> IndicatorSet:
    return IndicatorSet.build([indicator("url", value)], now=NOW)


@pytest.mark.parametrize(
    ("value", "request_", "hit"),
    [
        ("evil.example/a.exe", http(), True),
        ("evil.example/a.exe", http(url_query="id=5"), True),
        ("evil.example/a.exe?id=5", http(url_query="id=5"), True),
        ("evil.example/a.exe?id=5", http(url_query="id=6"), False),
        ("evil.example/a.exe?id=5", http(), False),
        ("evil.example/A.exe", http(), False),
        ("evil.example/a", http(), False),
        ("evil.example:8080/a.exe", http(url_port=8080), True),
        ("evil.example:8080/a.exe", http(destination_port=8080), True),
        ("evil.example/a.exe", http(destination_port=3128), True),
        ("evil.example/a.exe", http(url_port=8080), False),
        ("evil.example:8080/a.exe", http(url_port=80), False),
    ],
)
def test_a_url_matches_by_host_port_path_and_query(value: str, request_: Event, hit: bool) -> None:
    assert [each.field for each in urls(value).match(request_)] == (["url.path"] if hit else [])


@pytest.mark.parametrize(("kind", "digits"), [("md5", 32), ("sha1", 40), ("sha256", 64)])
def test_a_file_is_found_by_each_of_its_hashes_and_by_no_certificates(kind: str, digits: int) -> None:
    value = "ab" * (digits // 2)
    indicators = [indicator(f"file-{kind}", value)]
    assert hits(indicators, event_dataset=Dataset.FILE, **{f"file_hash_{kind}": value}) == [
        (value, f"file.hash.{kind}")
    ]
    assert hits(indicators, tls_server_hash_sha1=value, tls_client_ja3=value) == []

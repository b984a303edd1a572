from __future__ import annotations

from datetime import timedelta

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.indicators.gate import Gate
from schoolwacht_collector.indicators.hunt import Hunter
from schoolwacht_collector.indicators.seen import at_schools, sightings_of
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.match.values import normalise
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.made import NOW, Clock, indicator, stored

SETTINGS = IndicatorSettings(warning_lists=False)
DIGEST = "ab" * 32
JA3 = "e7d705a3286e19ea42f587b344ee6865"
JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"


def event(
    name: str, *, school: str = "00AB00", days: float = 3, dataset: Dataset = Dataset.DNS, **fields: object
) -> Event:
    made = Event(
        timestamp=NOW - timedelta(days=days),
        event_dataset=dataset,
        event_id=name,
        event_ingested=NOW - timedelta(days=days),
        organization_id=f"4{school[:2]}00",
        school_location=school,
        observer_name=f"agent-{school.lower()}",
        source_ip="10.1.0.5",
        destination_ip="198.51.100.7",
        **fields,  # type: ignore[arg-type] # the fields of a test
    )
    derive(made)
    return made


async def add(store: Store, *indicators: Indicator, clock: Clock) -> None:
    await Gate(store, SETTINGS, clock=clock).keep(indicators)


TRAFFIC: dict[tuple[str, str], Event] = {
    ("address", "203.0.113.66"): event("e01", dataset=Dataset.DNS, dns_resolved_ip=["203.0.113.66"]),
    ("network", "203.0.7.0/24"): event("e02", dataset=Dataset.SIGHTING, dns_resolved_ip=["203.0.7.9"]),
    ("domain", "evil.example"): event("e03", dns_question_name="a.b.evil.example"),
    ("ja3", JA3): event("e04", dataset=Dataset.TLS, tls_client_ja3=JA3),
    ("ja4", JA4): event("e05", dataset=Dataset.TLS, nsm_tls_ja4=JA4),
    ("certificate-sha1", "cd" * 20): event("e06", dataset=Dataset.TLS, tls_server_hash_sha1="cd" * 20),
    ("certificate-sha256", "cd" * 32): event("e07", dataset=Dataset.TLS, tls_server_hash_sha256="cd" * 32),
    ("certificate-name", "asyncrat server"): event("e08", dataset=Dataset.TLS, tls_server_subject="CN=AsyncRAT Server"),
    ("url", "evil.nl:8080/a"): event("e09", dataset=Dataset.HTTP, url_domain="evil.nl", url_port=8080, url_path="/a"),
    ("file-md5", "ef" * 16): event("e10", dataset=Dataset.FILE, file_hash_md5="ef" * 16),
    ("file-sha1", "ef" * 20): event("e11", dataset=Dataset.FILE, file_hash_sha1="ef" * 20),
    ("file-sha256", DIGEST): event("e12", dataset=Dataset.FILE, file_hash_sha256=DIGEST),
}  # fmt: skip


async def test_each_type_is_found_in_the_traffic_of_before_and_only_there(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    await store.create([*TRAFFIC.values(), event("e99", dns_question_name="notevil.example", days=1)])
    await add(store, *(indicator(kind, value) for kind, value in TRAFFIC), clock=clock)
    found = await hunter.look()
    assert (found.indicators, found.events, found.signals, found.cut) == (12, 12, 12, False)
    signals = await stored(store, Kind.SIGNAL)
    assert {(row["threat.indicator.type"], row["threat.indicator.name"]) for row in signals} == {
        (kind, normalise(indicator(kind, value).type, value)) for kind, value in TRAFFIC
    }
    assert {row["signal.event_id"] for row in signals} == {each.event_id for each in TRAFFIC.values()}
    for row in signals:
        assert row["tags"] == ["retro"]
        assert str(row["@timestamp"]).startswith("2026-11-21")
        assert str(row["event.ingested"]).startswith("2026-11-24")


async def test_an_indicator_is_looked_for_once_also_by_the_next_leader(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    await store.create([TRAFFIC["domain", "evil.example"]])
    await add(store, indicator("domain", "evil.example"), clock=clock)
    assert (await hunter.look()).signals == 1
    assert (await hunter.look()).indicators == 0
    clock.advance(600)
    await add(store, indicator("domain", "other.example"), clock=clock)
    assert (await Hunter(store, SETTINGS, clock=clock).look()).signals == 0
    assert len(await stored(store, Kind.SIGNAL)) == 1


async def test_an_indicator_that_is_given_again_is_not_looked_for_again(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    await add(store, indicator("domain", "evil.example"), clock=clock)
    await hunter.look()
    clock.advance(3600)
    await store.create([TRAFFIC["domain", "evil.example"]])
    await add(store, indicator("domain", "evil.example"), clock=clock)
    assert (await hunter.look()).indicators == 0


async def test_traffic_older_than_the_days_of_the_look_back_is_left() -> None:
    store, clock = MemoryStore(), Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    await store.create([event("old", dns_question_name="evil.example", days=15)])
    await add(store, indicator("domain", "evil.example"), clock=clock)
    assert (await hunter.look()).signals == 0


async def test_a_look_back_is_bounded_and_the_audit_says_so() -> None:
    store, clock = MemoryStore(), Clock()
    few = IndicatorSettings(warning_lists=False, hunt_events=500)
    hunter = Hunter(store, few, clock=clock, rest=0)
    await hunter.look()
    await store.create([event(f"e{n:04}", dns_question_name="evil.example", days=1 + n / 1e5) for n in range(600)])
    await add(store, indicator("domain", "evil.example"), clock=clock)
    found = await hunter.look()
    assert (found.signals, found.cut) == (500, True)
    (note,) = await stored(store, Kind.AUDIT)
    assert "more than 500 events hold some of them" in str(note["audit.detail"])


async def test_what_a_look_back_finds_becomes_alerts_that_say_so_and_sightings_of_the_indicator(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    traffic = [
        event(f"{school}-{n}", school=school, dns_question_name="evil.example", days=2 + n)
        for school in ("00AA00", "01AA00")
        for n in range(2)
    ]
    await store.create(traffic)
    bad = indicator("domain", "evil.example")
    await add(store, bad, clock=clock)
    assert (await hunter.look()).signals == 4
    await Folder(store, clock=clock).look()
    alerts = await stored(store, Kind.ALERT)
    assert [(row["alert.retro"], row["alert.count"]) for row in alerts] == [(True, 2), (True, 2)]
    seen = (await sightings_of(store, [bad.id, "unknown"]))[bad.id]
    assert (seen.count, seen.schools, seen.boards) == (4, 2, 2)
    assert (seen.first, seen.last) == (NOW - timedelta(days=3), NOW - timedelta(days=2))
    assert [(each.school, each.count) for each in await at_schools(store, bad.id)] == [("00AA00", 2), ("01AA00", 2)]


async def test_a_domain_below_another_is_found_with_what_is_below_it_and_its_neighbours_are_not(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    names = ("bad.host.example", "www.bad.host.example", "notbad.host.example", "host.example", "www.host.example")
    await store.create([event(name, dns_question_name=name) for name in names])
    await add(store, indicator("domain", "bad.host.example"), clock=clock)
    await hunter.look()
    found = {row["signal.event_id"] for row in await stored(store, Kind.SIGNAL)}
    assert found == {"bad.host.example", "www.bad.host.example"}

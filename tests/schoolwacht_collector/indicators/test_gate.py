from __future__ import annotations

from datetime import timedelta

import pytest

from schoolwacht.derive import derive
from schoolwacht.errors import ConfigError
from schoolwacht.event import Dataset, Event
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.indicators.gate import Gate
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.records import Agent, Indicator, School
from tests.schoolwacht_collector.made import NOW, Clock, indicator, stored


def gate(store: Store, **settings: object) -> Gate:
    given: dict[str, object] = {"warning_lists": False} | settings
    return Gate(store, IndicatorSettings(**given), clock=Clock())  # type: ignore[arg-type] # values of several types


async def sector(store: Store, schools: int, visitors: dict[str, int]) -> None:
    """So many schools with an agent each; the first ``n`` of them asked for each name."""
    places = [School(location=f"{number:02d}AA00", board="41000") for number in range(schools)]
    for place in places:
        agent = Agent(
            id=place.location.lower(), timestamp=NOW, key_hash="", board="41000", schools=(place,), last_seen=NOW
        )
        await store.put(Kind.AGENT, agent, None)
    for name, number in visitors.items():
        for place in places[:number]:
            event = Event(
                timestamp=NOW - timedelta(hours=2),
                event_dataset=Dataset.DNS,
                event_id=f"{name}-{place.location}",
                organization_id="41000",
                school_location=place.location,
                dns_question_name=name,
            )
            derive(event)
            await store.create([event])


async def refused(gate: Gate, *indicators: Indicator) -> dict[str, str]:
    kept, doubts = await gate.keep(indicators)
    assert {each.id for each in kept}.isdisjoint(doubts)
    return {each.value: doubts[each.id] for each in indicators if each.id in doubts}


async def test_what_more_than_a_twentieth_of_the_schools_asked_for_is_refused_and_the_rest_is_kept() -> None:
    store = MemoryStore()
    await sector(store, 99, {"www.popular.example": 30, "rare.example": 4, "edge.example": 5})
    rest = [indicator("domain", f"n{number}.example") for number in range(120)]
    popular = indicator("domain", "popular.example")
    found = await refused(gate(store, prevalence_schools=2), popular, *rest, indicator("domain", "rare.example"))
    assert list(found) == ["popular.example"]
    assert found["popular.example"].startswith("it was seen at 30 of 99 schools in the last day, more than 4")
    assert await refused(gate(store, prevalence_schools=4), indicator("domain", "edge.example")) != {}
    assert await refused(gate(store, prevalence_schools=5), indicator("domain", "edge.example")) == {}
    assert len(await stored(store, Kind.INDICATOR)) == 122


async def test_where_there_are_few_schools_prevalence_says_nothing() -> None:
    store = MemoryStore()
    await sector(store, 4, {"evil.example": 4})
    assert await refused(gate(store), indicator("domain", "evil.example")) == {}


async def test_traffic_of_before_the_last_day_does_not_count() -> None:
    store = MemoryStore()
    await sector(store, 40, {"evil.example": 30})
    late = Gate(store, IndicatorSettings(warning_lists=False), clock=Clock(NOW + timedelta(hours=23)))
    assert await refused(late, indicator("domain", "evil.example")) == {}


@pytest.mark.parametrize(
    ("kind", "value", "own"),
    [
        ("domain", "school.example", True),
        ("domain", "www.school.example", True),
        ("domain", "example.nl", True),
        ("url", "www.school.example/login", True),
        ("certificate-name", "*.school.example", True),
        ("address", "185.220.101.7", True),
        ("network", "185.220.0.0/16", True),
        ("domain", "notschool.example", False),
        ("url", "example.nl/a", False),
        ("address", "185.220.102.7", False),
        ("ja3", "e7d705a3286e19ea42f587b344ee6865", False),
    ],
)
async def test_the_schools_own_names_and_networks_are_refused(kind: str, value: str, own: bool) -> None:
    guard = gate(MemoryStore(), own_domains=("School.example", "www.example.nl"), own_networks=("185.220.101.0/24",))
    assert bool(await refused(guard, indicator(kind, value))) is own


async def test_a_warning_list_refuses_by_name() -> None:
    found = await refused(gate(MemoryStore(), warning_lists=True), indicator("address", "8.8.8.8"))
    assert found == {"8.8.8.8": "the warning list public-dns-v4 knows it as good or as nobody's in particular"}


async def test_what_is_forced_is_kept_with_who_and_why_and_audited() -> None:
    store = MemoryStore()
    guard = gate(store, own_domains=("school.example",))
    kept, doubts = await guard.keep([indicator("domain", "school.example")], forced_by="anna", why="hacked supplier")
    assert doubts == {}
    assert (kept[0].forced_by, kept[0].forced_why) == ("anna", "hacked supplier")
    assert "a domain of the schools" in (kept[0].doubt or "")
    (note,) = await stored(store, Kind.AUDIT)
    assert (note["audit.by"], note["audit.object"], note["audit.reason"]) == (
        "anna", "domain school.example", "hacked supplier",
    )  # fmt: skip


async def test_giving_an_indicator_again_keeps_when_it_was_first_given() -> None:
    store, clock = MemoryStore(), Clock()
    guard = Gate(store, IndicatorSettings(warning_lists=False), clock=clock)
    await guard.keep([indicator("domain", "evil.example")])
    clock.advance(3600)
    ((again,), _) = await guard.keep([indicator("domain", "evil.example")])
    assert again.added == NOW


@pytest.mark.parametrize("setting", ["own_domains", "own_networks"])
def test_an_own_name_that_is_none_is_named_with_its_setting(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"indicators\.{setting}\[0\]"):
        gate(MemoryStore(), **{setting: ("no such thing",)})

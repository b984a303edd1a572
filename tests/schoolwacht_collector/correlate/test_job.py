"""The leader's job over a store: take-over, lateness, tenancy, checks that ask the store, silence, and row 21."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset
from schoolwacht_collector.correlate.sector import elsewhere, others
from schoolwacht_collector.index.port import Kind, Scope, Search
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Alert
from tests.schoolwacht_collector.correlate.made import NOW, Leader, document, gateway, school_of, stored

_BAD = {
    "signal.detection": "D24", "rule.id": "D24", "rule.ruleset": "indicator", "threat.indicator.id": "i1",
    "threat.indicator.type": "domain", "threat.indicator.name": "evil.example",
    "threat.indicator.marking.tlp": "RED",
}  # fmt: skip
_SCAN = {"signal.detection": "D01", "network.direction": "inbound", "source.ip": "203.0.113.9"}
_FLOOD = {"signal.detection": "D31", "network.direction": "inbound"}


async def _campaign(leader: Leader, schools: range) -> None:
    await leader.store.create(
        [
            document(f"bad-{school}", _BAD, at=NOW + timedelta(seconds=school), school=school, board=school % 3)
            for school in schools
        ]
    )


async def test_a_campaign_becomes_one_alert_of_the_sector() -> None:
    leader = Leader()
    await _campaign(leader, range(7))
    leader.clock.advance(10)
    await leader.look()
    (found,) = [row for row in await stored(leader.store, Kind.ALERT) if row["rule.id"] == "X1"]
    # Told at 3, 4, 5, 6 and 8 schools.
    assert found["alert.title"] == "Same indicator at several schools: evil.example at 6 schools of 3 boards"
    assert (found["alert.school_count"], found["alert.board_count"], found["alert.count"]) == (6, 3, 4)
    assert found["organization.id"] == ""
    assert found["threat.indicator.marking.tlp"] == "RED"
    named = found["alert.schools"]
    assert isinstance(named, list)
    assert set(named) <= {school_of(number) for number in range(7)}


async def test_another_leader_goes_on_and_tells_nothing_twice() -> None:
    leader = Leader()
    await _campaign(leader, range(4))
    leader.clock.advance(10)
    before = await leader.look()
    leader.lead()
    assert await leader.look() == before
    await _campaign(leader, range(4, 8))
    leader.clock.advance(10)
    after = await leader.look()
    assert len(after) > len(before)
    assert len([row for row in await stored(leader.store, Kind.ALERT) if row["rule.id"] == "X1"]) == 1


async def test_a_group_too_long_to_be_kept_stops_no_later_leader() -> None:
    leader = Leader()
    down = {"signal.detection": "X6", "nsm.detail": {"endpoint": '"' * 1500}}  # twice as long in JSON
    await leader.store.create(
        [document(f"down-{school}", down, at=NOW, school=school, board=school) for school in range(6)]
    )
    leader.clock.advance(10)
    before = await leader.look()
    assert before
    leader.lead()
    assert {row["event.id"] for row in await leader.look()} == {row["event.id"] for row in before}


async def test_what_was_completed_while_nobody_led_is_raised() -> None:
    leader = Leader()
    await leader.look()
    await _campaign(leader, range(4))
    leader.clock.advance(3600)
    leader.lead()
    assert [row["rule.id"] for row in await leader.look()] == ["X1", "X1"]


async def test_a_signal_that_becomes_visible_late_is_found() -> None:
    leader = Leader()
    await _campaign(leader, range(2))
    leader.clock.advance(90)
    await leader.look()
    leader.clock.advance(1)
    await leader.store.create([document("late", _BAD, at=NOW, arrived=NOW + timedelta(seconds=5), school=5, board=1)])
    leader.clock.advance(31)
    assert [row["rule.id"] for row in await leader.look()] == ["X1"]


async def test_a_store_that_fails_while_a_match_is_judged_loses_nothing() -> None:
    leader = Leader()
    await _campaign(leader, range(3))
    leader.clock.advance(10)
    leader.store.outage = "down"
    with pytest.raises(StoreError):
        await leader.counter.look()
    real, calls = leader.store.get, 0

    async def failing(kind: Kind, name: str) -> object:
        nonlocal calls
        calls += 1
        raise StoreError("down")

    leader.store.outage = None
    leader.store.get = failing  # type: ignore[method-assign,assignment] # the store's fault, at one call
    with pytest.raises(StoreError):
        await leader.correlator.look()
    leader.store.get = real  # type: ignore[method-assign] # it is well again
    assert calls == 1
    assert [row["rule.id"] for row in await leader.look()] == ["X1"]


async def test_a_board_sees_nothing_of_the_sector_but_that_others_have_it() -> None:
    leader = Leader()
    await _campaign(leader, range(8))
    leader.clock.advance(10)
    await leader.look()
    board = Scope(frozenset({"40000", "40001"}))
    for kind in (Kind.ALERT, Kind.SIGNAL):
        rows = (await leader.store.search(Search(kind, All(), board, limit=1000))).rows
        assert rows
        assert all(row["organization.id"] in board.boards for row in rows if board.boards)
    mine = next(row for row in await stored(leader.store, Kind.ALERT) if row["school.location"] == school_of(0))
    told = await elsewhere(leader.store, msgspec.convert(mine, Alert))
    assert told is not None
    assert told.startswith("Also at ")
    assert school_of(1) not in told


def test_small_numbers_of_other_schools_are_not_shown() -> None:
    assert others(4) == "Also at other schools."
    assert others(5) == "Also at 5 other schools."


async def test_an_indicator_of_a_shared_service_is_kept_out() -> None:
    leader = Leader()
    old = NOW - timedelta(days=20)
    await leader.store.put_many(Kind.AGENT, [gateway(number, number, seen=NOW) for number in range(40)])
    await leader.store.create(
        [
            document(
                f"seen-{number}", {"sighting.kind": "domain", "sighting.value": "evil.example"},
                at=old, arrived=NOW, school=number, dataset=Dataset.SIGHTING,
            )
            for number in range(10)
        ]
    )  # fmt: skip
    await _campaign(leader, range(5))
    leader.clock.advance(10)
    assert await leader.look() == []
    assert leader.correlator.dropped


async def test_a_research_scanner_is_information_only() -> None:
    leader = Leader()
    for place, source in enumerate(("203.0.113.9", "167.94.138.7")):
        await leader.store.create(
            [document(f"{place}-{school}", _SCAN | {"source.ip": source}, at=NOW, school=school) for school in range(5)]
        )
    leader.clock.advance(10)
    found = {row["signal.entity"]: row["signal.severity"] for row in await leader.look()}
    assert found == {"203.0.113.9": "Minor", "167.94.138.7": "Informational"}


async def test_a_flood_after_an_outage_is_no_attack() -> None:
    leader = Leader()
    for attacked in (True, False):
        schools = range(10, 14) if attacked else range(4)
        at = NOW if attacked else NOW + timedelta(hours=2)
        await leader.store.create([document(f"f{school}", _FLOOD, at=at, school=school) for school in schools])
        if not attacked:
            await leader.store.create(
                [
                    document(
                        f"h{school}", {"health.condition": "silent"}, at=at - timedelta(minutes=3), school=school,
                        dataset=Dataset.HEALTH,
                    )
                    for school in schools
                ]
            )  # fmt: skip
    leader.clock.advance(7300)
    found = [row for row in await leader.look() if row["rule.id"] == "X3"]
    assert {school for row in found for school in row["nsm.detail"]["school_list"].split()} == {
        school_of(number) for number in range(10, 14)
    }


async def test_row_21_one_agent_at_a_thousand_times_the_rate_fakes_no_alert_of_the_sector() -> None:
    leader = Leader()
    await leader.counting_since(30)
    liar = "agent-1"
    lies = []
    for number in range(3000):
        fields = dict((_BAD, _SCAN, _FLOOD, {"signal.detection": "D10", "network.direction": "internal"})[number % 4])
        fields["source.ip"] = f"198.51.100.{number % 200}"
        lies.append(
            document(
                f"lie-{number:05}", fields, at=NOW + timedelta(seconds=number % 600), school=1, board=1, agent=liar
            )
        )
        kind, value = (("domain", "magister-login.top"), ("ja4", "t13i190800_9dc949149365_97f8aa674fd9"))[number % 2]
        lies.append(
            document(
                f"sight-{number:05}", {"sighting.kind": kind, "sighting.value": value},
                at=NOW + timedelta(seconds=number % 600), school=1, board=1, agent=liar, dataset=Dataset.SIGHTING,
            )
        )  # fmt: skip
    await leader.store.create(lies)
    leader.clock.advance(700)
    assert await leader.look() == []
    assert leader.correlator.groups < 2000


async def test_agents_that_fall_silent_together_are_one_alert_and_a_lone_one_is_its_schools() -> None:
    leader = Leader()
    agents = [gateway(number, 1, seen=NOW) for number in range(4)]
    agents += [gateway(10, 2, seen=NOW), gateway(11, 3, seen=NOW + timedelta(minutes=11))]
    await leader.store.put_many(Kind.AGENT, agents)
    leader.clock.advance(660)
    found = [(row["rule.name"], row["signal.entity"]) for row in await leader.look()]
    assert sorted(found) == [("Agent silent", "agent-10"), ("Agents of one board silent together", "board 40001")]
    leader.clock.advance(20)
    assert len(await leader.look()) == 2


async def test_an_outage_of_the_centre_itself_makes_no_agent_silent() -> None:
    leader = Leader()
    await leader.store.put_many(Kind.AGENT, [gateway(number, 1, seen=NOW) for number in range(5)])
    leader.clock.advance(3600)
    leader.lead()
    assert await leader.look() == []


async def test_an_agent_that_sees_no_packet_is_told() -> None:
    leader = Leader()
    await leader.store.put_many(Kind.AGENT, [gateway(1, 1, seen=NOW)])
    await leader.store.create(
        [
            document(
                f"h{minute}", {"health.condition": "silent"}, at=NOW - timedelta(minutes=minute), school=1, board=1,
                dataset=Dataset.HEALTH,
            )
            for minute in range(1, 8)
        ]
    )  # fmt: skip
    assert [row["rule.name"] for row in await leader.look()] == ["Agent sees no traffic"]

"""What analysts and boards are told of a value, and how an alert of the sector is shown."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from aiohttp.test_utils import TestClient, TestServer

from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import Kind, Scope
from schoolwacht_collector.records import Alert
from schoolwacht_console import tables
from schoolwacht_console.site import make_site
from tests.schoolwacht_collector.correlate.made import NOW, Leader, document, stored

_BAD = {
    "signal.detection": "D24", "rule.id": "D24", "rule.ruleset": "indicator", "threat.indicator.id": "i1",
    "threat.indicator.type": "domain", "threat.indicator.name": "evil.example",
}  # fmt: skip


async def _sector() -> Leader:
    leader = Leader()
    seen = {"sighting.kind": "domain", "sighting.value": "evil.example", "sighting.count": 1}
    for school in range(4):
        at = NOW + timedelta(seconds=school)
        await leader.store.create(
            [
                document(f"bad-{school}", _BAD, at=at, school=school, board=school % 3),
                document(f"seen-{school}", seen, at=at, school=school, board=school % 3, dataset=Dataset.SIGHTING),
            ]
        )
    leader.clock.advance(10)
    await leader.look()
    return leader


async def test_a_value_is_looked_up_and_boards_are_told_no_small_number() -> None:
    leader = await _sector()
    for scope, schools in ((Scope(None), 4), (Scope(frozenset({"40000"})), None)):
        async with TestClient(TestServer(make_site(leader.store, scope=scope))) as client:
            answer = await client.get("/api/v1/seen", params={"value": "evil.example"})
            (found,) = (await answer.json())["seen"]
            assert (found["kind"], found["schools"]) == ("domain", schools)
            assert "early" in found if schools else "early" not in found
            assert (await client.get("/api/v1/seen", params={"value": "other.example"})).status == 200
            assert (await client.get("/api/v1/seen")).status == 400
            assert (await client.get("/api/v1/seen", params={"value": "x", "kind": "pupil"})).status == 400


async def test_the_page_of_an_alert_of_the_sector_shows_schools_boards_and_what_is_known() -> None:
    leader = await _sector()
    (found,) = [row for row in await stored(leader.store, Kind.ALERT) if row["rule.id"] == "X1"]
    async with TestClient(TestServer(make_site(leader.store))) as client:
        text = await (await client.get(f"/alerts/{found['id']}")).text()
        assert "4 of 3 boards" in text
        assert "at 4 schools of 3 boards" in text
        assert "kind=signal" in text
        assert "4 schools" in await (await client.get("/")).text()


async def test_a_board_cannot_open_it_but_its_own_alert_says_that_others_have_it() -> None:
    leader = await _sector()
    rows = await stored(leader.store, Kind.ALERT)
    sector = next(row for row in rows if row["rule.id"] == "X1")
    mine = next(row for row in rows if row["organization.id"] == "40000")
    async with TestClient(TestServer(make_site(leader.store, scope=Scope(frozenset({"40000"}))))) as client:
        assert (await client.get(f"/alerts/{sector['id']}")).status == 404
        text = await (await client.get(f"/alerts/{mine['id']}")).text()
        assert "Also at other schools." in text
        assert "40001" not in text


async def test_a_list_on_a_terminal_says_at_how_many_schools() -> None:
    leader = await _sector()
    (found,) = [row for row in await stored(leader.store, Kind.ALERT) if row["rule.id"] == "X1"]
    row = msgspec.to_builtins(msgspec.convert(found, Alert))
    assert "4 schools" in str([cell for column in tables.triage([row]).columns for cell in column.cells])

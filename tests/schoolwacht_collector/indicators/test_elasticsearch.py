"""The same questions on the real Elasticsearch, in one test: making its indices costs more than all of them."""

from __future__ import annotations

from datetime import timedelta

from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.indicators.hunt import Hunter
from schoolwacht_collector.indicators.seen import at_schools, question, sightings_of, widespread
from schoolwacht_collector.tuning.care import Care
from schoolwacht_collector.tuning.change import add, make_tuning, preview, register, snooze
from schoolwacht_collector.tuning.judge import Judge
from schoolwacht_collector.tuning.report import report
from tests.schoolwacht_collector.index import stores
from tests.schoolwacht_collector.indicators.test_hunt import SETTINGS, TRAFFIC
from tests.schoolwacht_collector.indicators.test_hunt import add as give
from tests.schoolwacht_collector.made import NOW, Clock, indicator, signal, stored


async def test_looking_back_tuning_and_reports_ask_elasticsearch_what_they_mean(
    elasticsearch_url: str, index_prefix: str
) -> None:
    async with stores.elasticsearch(elasticsearch_url, index_prefix, init=True) as store:
        try:
            await _all(store)
        finally:
            await stores.wipe(elasticsearch_url, index_prefix)


async def _all(store: Store) -> None:
    clock = Clock()
    hunter = Hunter(store, SETTINGS, clock=clock)
    await hunter.look()
    await store.create(list(TRAFFIC.values()))
    await stores.settle(store)
    for each in (indicator(kind, value) for kind, value in TRAFFIC):
        rows = (await store.search(Search(Kind.EVENT, question([each]), SECTOR))).rows
        assert [row["event.id"] for row in rows] == [TRAFFIC[each.type.value, each.value].event_id], each
    bad = indicator("domain", "evil.example")
    assert await widespread(store, [bad], since=NOW - timedelta(days=5), above=0) == {bad.id: 1}
    await give(store, *(indicator(kind, value) for kind, value in TRAFFIC), clock=clock)
    assert (await hunter.look()).signals == len(TRAFFIC)
    await store.create([signal("s1"), signal("s2", entity="10.1.0.6")])
    await stores.settle(store)
    assert (await sightings_of(store, [bad.id]))[bad.id].schools == 1
    assert [each.school for each in await at_schools(store, bad.id)] == ["00AB00"]

    rule = make_tuning(
        by="anna", reason="known", until=NOW + timedelta(days=1), now=NOW, criteria={"destination": "198.51.100.0/24"}
    )
    await add(store, rule)
    test = await register(
        store,
        name="P",
        by="anna",
        since=NOW - timedelta(hours=1),
        until=NOW + timedelta(hours=1),
        now=NOW,
        sources=["10.1.0.6"],
        expected=["D01"],
    )
    judge = Judge(store, clock=clock)
    await Folder(store, clock=clock, judge=judge.judged).look()
    alerts = {str(row["alert.title"]): row for row in await stored(store, Kind.ALERT)}
    mine = [row for row in alerts.values() if row["rule.id"] == "2000001"]
    assert [row.get("alert.suppressed_by") for row in mine] == [rule.id, rule.id]
    assert [row.get("alert.test") for row in sorted(mine, key=lambda row: str(row["signal.entity"]))] == [None, test.id]
    found = await preview(store, rule, now=NOW)
    assert (found.alerts, found.hidden) == (len(alerts), len(alerts))
    told = await report(store, test.id, now=NOW)
    assert [(each.detection, each.signals) for each in told.detected] == [("2000001", 1)]
    assert [each.detection for each in told.missed] == ["D01"]
    name = str(mine[0]["id"])
    await snooze(store, name, until=NOW + timedelta(hours=1), by="anna", reason="known", now=NOW)
    clock.advance(3601)
    assert await Care(store, judge, clock=clock).look() >= 1
    assert "alert.snoozed_until" not in next(row for row in await stored(store, Kind.ALERT) if row["id"] == name)

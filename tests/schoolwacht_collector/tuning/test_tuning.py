"""Tuning, from the signals on: what is hidden, what comes back, what closes by itself, and what a test set off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.alerts import AlertClosed, Folder
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.records import Agent, Alert, AlertState, School, Tuning
from schoolwacht_collector.tuning import change
from schoolwacht_collector.tuning.care import Care
from schoolwacht_collector.tuning.change import NoSuchTuning, TuningError, add, end, make_tuning, preview, register
from schoolwacht_collector.tuning.judge import Judge
from schoolwacht_collector.tuning.report import report
from schoolwacht_collector.tuning.rule import covers
from schoolwacht_collector.tuning.settings import TriageSettings
from tests.schoolwacht_collector.made import NOW, Clock, alert, signal, stored


def tuning(until: datetime = NOW + timedelta(days=30), /, **criteria: str) -> Tuning:
    return make_tuning(by="anna", reason="print server", until=until, now=NOW, criteria=dict(criteria))


def to(name: str, destination: str, *, arrived: datetime = NOW, **given: Any) -> Event:
    made = signal(name, arrived=arrived, **given)
    made.destination_ip = destination
    return made


async def folded(store: Store, clock: Clock) -> dict[str, Any]:
    """The alerts by their entity, after a look with the rules of now."""
    await Folder(store, clock=clock, judge=Judge(store, clock=clock).judged).look()
    return {str(row["signal.entity"]): row for row in await stored(store, Kind.ALERT)}


def care(store: Store, clock: Clock, **settings: Any) -> Care:
    return Care(store, Judge(store, clock=clock), TriageSettings(**settings), clock=clock)


@pytest.mark.parametrize(
    ("criteria", "covered"),
    [
        ({"rule": "2000001"}, True),
        ({"rule": "suricata:2000001"}, True),
        ({"rule": "2000002"}, False),
        ({"school": "00AB00"}, True),
        ({"school": "00AC00"}, False),
        ({"board": "41000"}, True),
        ({"board": "41001"}, False),
        ({"entity": "10.1.0.5"}, True),
        ({"entity": "10.1.0.6"}, False),
        ({"network": "10.1.0.0/24"}, True),
        ({"network": "10.2.0.0/24"}, False),
        ({"network": "2001:db8::/32"}, False),
        ({"rule": "2000001", "school": "00AC00"}, False),
        ({"rule": "2000001", "school": "00AB00", "network": "10.0.0.0/8"}, True),
    ],
)
def test_a_rule_covers_what_all_of_its_criteria_hold_for(criteria: dict[str, str], covered: bool) -> None:
    assert covers(tuning(**criteria), alert()) is covered


def test_a_mac_address_lies_in_no_network() -> None:
    assert not covers(tuning(network="0.0.0.0/8"), replace(alert(), entity="00:11:22:33:44:55"))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"criteria": {}}, "rule"),
        ({"criteria": {"rule": " "}}, "rule"),
        ({"criteria": {"network": "10.1.0"}}, "network"),
        ({"criteria": {"destination": "evil.example"}}, "destination"),
        ({"criteria": {"entity": "a\nb"}}, "entity"),
        ({"reason": " . "}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"until": NOW}, "until"),
        ({"until": NOW + timedelta(days=367)}, "until"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_field(given: dict[str, Any], field: str) -> None:
    base: dict[str, Any] = {"by": "anna", "reason": "known", "until": NOW + timedelta(days=1), "now": NOW}
    with pytest.raises(TuningError) as caught:
        make_tuning(**{**base, "criteria": {"rule": "D02"}, **given})
    assert caught.value.field == field


async def test_a_covered_alert_is_hidden_still_counted_and_comes_back_when_the_rule_ends(
    store: Store,
) -> None:
    clock = Clock()
    made = await add(store, tuning(entity="10.1.0.5", rule="2000001"))
    await store.create([signal("s1"), signal("s2"), signal("s3", entity="10.1.0.6")])
    alerts = await folded(store, clock)
    assert alerts["10.1.0.5"]["alert.suppressed_by"] == made.id
    assert alerts["10.1.0.5"]["alert.count"] == 2
    assert "alert.suppressed_by" not in alerts["10.1.0.6"]
    looking = care(store, clock)
    assert await looking.look() == 0
    clock.advance(60)
    await end(store, made.id, by="bert", reason="replaced", now=clock.now)
    assert await looking.look() == 1
    rows = await stored(store, Kind.ALERT)
    assert not [row for row in rows if row.get("alert.suppressed_by")]
    assert len(await stored(store, Kind.SIGNAL)) == 3
    notes = [(row["audit.action"], row["audit.by"]) for row in await stored(store, Kind.AUDIT)]
    assert notes == [("tuning.added", "anna"), ("tuning.ended", "bert")]


async def test_a_rule_hides_open_alerts_of_before_it_and_ends_by_itself(store: Store) -> None:
    clock = Clock()
    await store.create([signal("s1")])
    assert "alert.suppressed_by" not in (await folded(store, clock))["10.1.0.5"]
    looking = care(store, clock)
    await looking.look()
    made = await add(store, tuning(NOW + timedelta(hours=1), school="00AB00"))
    assert await looking.look() == 1
    assert (await stored(store, Kind.ALERT))[0]["alert.suppressed_by"] == made.id
    clock.advance(3601)
    assert await looking.look() == 1
    assert "alert.suppressed_by" not in (await stored(store, Kind.ALERT))[0]


async def test_a_rule_of_destinations_hides_only_while_every_signal_goes_there(store: Store) -> None:
    clock = Clock()
    await add(store, tuning(rule="2000001", destination="203.0.113.0/24"))
    await store.create([to("s1", "203.0.113.9"), to("s2", "203.0.113.10")])
    assert "alert.suppressed_by" in (await folded(store, clock))["10.1.0.5"]
    clock.advance(5)
    await store.create([to("s3", "198.51.100.9", arrived=clock.now)])
    found = (await folded(store, clock))["10.1.0.5"]
    assert found["alert.count"] == 3
    assert "alert.suppressed_by" not in found


async def test_a_preview_counts_what_a_rule_would_have_hidden_and_changes_nothing(store: Store) -> None:
    clock = Clock()
    await store.create([to("s1", "203.0.113.9"), to("s2", "198.51.100.9", entity="10.1.0.6"), signal("s3", rule="7")])
    await folded(store, clock)
    found = await preview(store, tuning(rule="2000001", destination="203.0.113.0/24"), now=clock.now)
    assert (found.alerts, found.hidden) == (3, 1)
    assert [each.entity for each in found.latest] == ["10.1.0.5"]
    assert (await preview(store, tuning(rule="2000001"), now=NOW + timedelta(days=31))).alerts == 0
    assert await stored(store, Kind.TUNING) == []


async def test_ending_a_rule_twice_keeps_who_ended_it_first() -> None:
    store = MemoryStore()
    made = await add(store, tuning(rule="D02"))
    await end(store, made.id, by="anna", reason="one", now=NOW)
    assert (await end(store, made.id, by="bert", reason="two", now=NOW)).ended_by == "anna"
    with pytest.raises(NoSuchTuning):
        await end(store, "none", by="anna", reason="one", now=NOW)


async def test_a_snooze_is_noted_and_ends_by_itself(store: Store) -> None:
    clock = Clock()
    await store.put(Kind.ALERT, alert(), None)
    name = alert().id
    later = clock.now + timedelta(hours=4)
    await change.snooze(store, name, until=later, by="anna", reason="known", now=clock.now)
    looking = care(store, clock)
    assert await looking.look() == 0
    clock.advance(4 * 3600 + 1)
    assert await looking.look() == 1
    assert "alert.snoozed_until" not in (await stored(store, Kind.ALERT))[0]


@pytest.mark.parametrize("until", [NOW - timedelta(hours=1), NOW + timedelta(days=32)])
async def test_a_snooze_ends_within_a_month(until: datetime) -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, alert(), None)
    with pytest.raises(TuningError, match="must lie in the future"):
        await change.snooze(store, alert().id, until=until, by="anna", reason="known", now=NOW)


async def test_a_closed_alert_cannot_be_snoozed() -> None:
    store = MemoryStore()
    await store.put(Kind.ALERT, replace(alert(), state=AlertState.CLOSED), None)
    with pytest.raises(AlertClosed):
        await change.snooze(store, alert().id, until=NOW + timedelta(hours=1), by="a", reason="known", now=NOW)


async def after(alert_: Alert, spent: timedelta, **settings: Any) -> str | None:
    """Why an alert was closed by itself when so much time had passed, or None."""
    store, clock = MemoryStore(), Clock()
    await store.put(Kind.ALERT, alert_, None)
    clock.now += spent
    await care(store, clock, **settings).heal()
    (row,) = await stored(store, Kind.ALERT)
    if row["alert.state"] != "closed":
        return None
    assert row["alert.changed_by"] == "schoolwacht"
    return str(row["alert.reason"])


LOW = alert(severity="Informational")
FLOOD = replace(alert(), detection="D31")


async def test_a_low_alert_closes_when_it_was_quiet_for_long_and_a_graver_one_never() -> None:
    assert await after(LOW, timedelta(days=13)) is None
    assert await after(LOW, timedelta(days=15)) == "informational, and quiet for 14 days"
    assert await after(LOW, timedelta(days=15), close_quiet_days=0) is None
    assert await after(alert(), timedelta(days=400)) is None


async def test_a_flood_that_ended_closes_after_the_hour() -> None:
    assert await after(FLOOD, timedelta(minutes=59)) is None
    assert await after(FLOOD, timedelta(minutes=61)) == "the flood has ended: no signal for 60 minutes"
    assert await after(FLOOD, timedelta(days=5), close_flood_minutes=0) is None


async def test_what_somebody_took_up_is_never_closed_by_itself() -> None:
    assert await after(replace(FLOOD, state=AlertState.ACKNOWLEDGED), timedelta(days=30)) is None


async def test_hidden_alerts_and_those_of_tests_close_when_they_are_quiet() -> None:
    assert await after(replace(alert(), suppressed_by="t1"), timedelta(hours=23)) is None
    assert "tuning rule t1" in str(await after(replace(alert(), suppressed_by="t1"), timedelta(hours=25)))
    assert "registered test r1" in str(await after(replace(alert(), test="r1"), timedelta(hours=25)))


async def recovered(*, seen: timedelta, ill: timedelta | None = None) -> bool:
    """Whether an alert of a silent agent closes an hour later, if it was heard of and ill so long before."""
    store, clock = MemoryStore(), Clock()
    await store.put(Kind.ALERT, replace(alert(), detection="X8", agent="agent-one"), None)
    clock.advance(3600)
    school = School(location="00AB00", board="41000")
    last = clock.now - seen
    agent = Agent(id="agent-one", timestamp=NOW, key_hash="", board="41000", schools=(school,), last_seen=last)
    await store.put(Kind.AGENT, agent, None)
    if ill is not None:
        event = Event(timestamp=clock.now - ill, event_dataset=Dataset.HEALTH, event_id="h1", observer_name="agent-one")
        event.health_condition = "blind"
        await store.create([event])
    await care(store, clock).heal()
    return str((await stored(store, Kind.ALERT))[0]["alert.state"]) == "closed"


async def test_an_alert_of_an_agent_closes_when_the_agent_is_there_and_well() -> None:
    assert await recovered(seen=timedelta(minutes=1))
    assert not await recovered(seen=timedelta(minutes=30))
    assert not await recovered(seen=timedelta(minutes=1), ill=timedelta(minutes=5))
    assert await recovered(seen=timedelta(minutes=1), ill=timedelta(minutes=30))


async def test_a_registered_test_marks_its_alerts_and_one_signal_of_somebody_else_unmarks_them(store: Store) -> None:
    clock = Clock()
    made = await register(
        store,
        name="Pentest",
        by="anna",
        since=NOW - timedelta(hours=1),
        until=NOW + timedelta(hours=1),
        now=NOW,
        sources=["203.0.113.0/28"],
    )
    await store.create([to("s1", "203.0.113.9"), to("s2", "198.51.100.9", entity="10.1.0.6")])
    alerts = await folded(store, clock)
    assert alerts["10.1.0.5"]["alert.test"] == made.id
    assert "alert.test" not in alerts["10.1.0.6"]
    clock.advance(5)
    await store.create([to("s3", "198.51.100.9", arrived=clock.now)])
    assert "alert.test" not in (await folded(store, clock))["10.1.0.5"]


async def test_what_a_source_does_outside_the_time_of_its_test_is_no_test(store: Store) -> None:
    clock = Clock(NOW + timedelta(hours=2))
    day = timedelta(hours=1)
    await register(store, name="P", by="a", since=NOW - day, until=NOW + day, now=NOW, sources=["203.0.113.0/28"])
    await store.create([to("s1", "203.0.113.9", arrived=clock.now)])
    assert "alert.test" not in (await folded(store, clock))["10.1.0.5"]


async def test_the_report_of_a_test_says_what_was_detected_and_what_was_missed(store: Store) -> None:
    made = await register(
        store,
        name="Pentest",
        by="anna",
        since=NOW - timedelta(hours=1),
        until=NOW + timedelta(hours=1),
        now=NOW,
        sources=["203.0.113.0/28"],
        schools=["00ab00", "00AC00"],
        expected=["D16", "2000001"],
    )
    d16 = to("s3", "203.0.113.9", school="00AC00")
    d16.signal_detection = "D16"
    await store.create([to("s1", "203.0.113.9"), to("s2", "203.0.113.9"), d16, to("s4", "198.51.100.9", rule="9")])
    found = await report(store, made.id, now=NOW)
    assert [(each.detection, each.school, each.signals) for each in found.detected] == [
        ("2000001", "00AB00", 2),
        ("D16", "00AC00", 1),
    ]
    assert [(each.detection, each.school) for each in found.missed] == [("D16", "00AB00"), ("2000001", "00AC00")]
    assert (found.over, (await report(store, made.id, now=NOW + timedelta(hours=2))).over) == (False, True)
    with pytest.raises(NoSuchTuning):
        await report(store, "none", now=NOW)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"sources": []}, "sources"),
        ({"sources": ["x"]}, "sources[0]"),
        ({"until": NOW - timedelta(days=2)}, "until"),
        ({"until": NOW + timedelta(days=100)}, "until"),
        ({"since": NOW - timedelta(days=60), "until": NOW - timedelta(days=31)}, "until"),
    ],
)
async def test_a_test_that_cannot_be_is_refused_with_its_field(given: dict[str, Any], field: str) -> None:
    base: dict[str, Any] = {"name": "P", "by": "a", "since": NOW, "until": NOW + timedelta(days=1), "now": NOW}
    with pytest.raises(TuningError) as caught:
        await register(MemoryStore(), **{**base, "sources": ["203.0.113.0/28"], **given})
    assert caught.value.field == field


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "64.0.0.0/7", "2000::/3"])
def test_a_network_that_holds_much_of_the_internet_needs_a_second_criterion(network: str) -> None:
    with pytest.raises(TuningError, match="wider than"):
        tuning(network=network)
    assert tuning(network=network, rule="D24").network == network


async def test_a_test_from_everywhere_or_at_the_end_of_time_is_refused(store: Store) -> None:
    given: dict[str, Any] = {"name": "pentest", "by": "anna", "now": NOW}
    with pytest.raises(TuningError, match="wider than"):
        await register(
            store, since=NOW, until=NOW + timedelta(days=1), sources=["198.51.100.0/24", "0.0.0.0/0"], **given
        )
    last = datetime.max.replace(tzinfo=NOW.tzinfo)
    made = await register(store, since=last - timedelta(days=30), until=last, sources=["198.51.100.0/24"], **given)
    assert made.until == last

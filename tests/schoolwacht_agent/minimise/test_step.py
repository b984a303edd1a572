from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.minimise.open import open_minimise
from schoolwacht_agent.minimise.pseudonyms import zone_number
from schoolwacht_agent.minimise.settings import Level, MinimiseTable
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.standpoint.settings import ZoneKind, ZoneTable
from tests.schoolwacht_agent.minimise.made import CLIENT, event, flow, step

ZONES = (
    ZoneTable(name="staff", kind=ZoneKind.STAFF, networks=("10.1.0.0/16",)),
    ZoneTable(name="pupils", kind=ZoneKind.PUPIL, networks=("10.2.0.0/16",)),
    ZoneTable(name="servers", kind=ZoneKind.SERVER, networks=("10.3.0.0/16",)),
    ZoneTable(name="exams", kind=ZoneKind.PUPIL, networks=("10.4.0.0/16",), detail=Level.ALERTS),
)


def kinds(events: list[Event]) -> set[Dataset]:
    return {one.event_dataset for one in events} - {Dataset.SIGHTING}


@pytest.mark.parametrize(
    ("zone", "left"),
    [("staff", {Dataset.FLOW}), ("pupils", {Dataset.SUMMARY}), ("exams", set()), ("elsewhere", {Dataset.SUMMARY})],
)
def test_a_zones_kind_or_setting_says_how_much_is_told(zone: str, left: set[Dataset]) -> None:
    made = step(Level.SUMMARY, ZONES)
    assert kinds(made.through([flow(school_zone=zone)]) + made.finish()) == left


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("dataset", [Dataset.SIGNAL, Dataset.HEALTH])
def test_signals_and_health_pass_at_every_level(level: Level, dataset: Dataset) -> None:
    assert kinds(step(level).through([event(dataset)])) == {dataset}


@pytest.mark.parametrize("year", [1, 9999])
def test_a_clock_at_the_end_of_time_is_survived(year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC) if year > 1 else datetime(1, 1, 1, tzinfo=UTC)
    made = step(Level.SUMMARY)
    for _ in range(2):
        made.through([msgspec.structs.replace(flow(), timestamp=moment, event_start=None)])
    assert kinds(made.through([flow()]) + made.finish()) == {Dataset.SUMMARY}


def test_servers_stay_readable_and_clients_do_not() -> None:
    made = step(Level.FULL, ZONES)
    (one,) = made.through([flow(source_ip="10.2.0.5", destination_ip="10.3.0.80")])
    assert one.destination_ip == "10.3.0.80"
    assert one.source_ip is not None
    assert one.source_ip.startswith("fd")
    assert f":{zone_number('pupils'):x}:" in one.source_ip


def test_a_private_address_that_home_leaves_out_is_hidden_too(tmp_path: Path) -> None:
    homes = Homes(["192.0.2.0/24"])
    made = open_minimise(MinimiseTable(detail=Level.FULL), (), homes, Gateway(homes), tmp_path)
    assert made is not None
    (one,) = made.through([flow(source_ip="10.21.0.23", destination_ip="198.51.100.7")])
    assert one.source_ip is not None
    assert one.source_ip.startswith("fd")
    assert one.destination_ip == "198.51.100.7"


def test_readable_networks_stay() -> None:
    (one,) = step(readable=("10.21.3.0/24",)).through([flow()])
    assert one.source_ip == CLIENT


def test_two_schools_behind_one_sensor_have_nothing_in_common() -> None:
    made = step()
    events = made.through([flow(school_location=school) for school in ("00AA01", "00AA02", "00AA01")])
    one, two, again = (each.source_ip for each in events)
    assert one == again != two


def test_a_new_period_gives_new_pseudonyms_and_says_which() -> None:
    made = step()
    moments = [datetime(2026, 10, 31, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)]
    events = [msgspec.structs.replace(flow(), timestamp=moment) for moment in [*moments, moments[0]]]
    kept = [one for one in made.through(events) if one.event_dataset is Dataset.FLOW]
    assert [one.pseudonym_epoch for one in kept] == ["202610", "202611", "202610"]
    assert kept[0].source_ip == kept[2].source_ip != kept[1].source_ip


def test_the_same_events_give_the_same_on_replay() -> None:
    def run() -> bytes:
        made = step(Level.SUMMARY)
        events = [flow(second, source_ip=f"10.0.{second % 7}.1") for second in range(0, 300, 7)]
        out = [one for at in range(0, len(events), 5) for one in made.through(events[at : at + 5])]
        return msgspec.msgpack.encode(out + made.finish())

    assert run() == run()


def test_the_collector_finds_the_school_s_host_as_before() -> None:
    (one,) = step().through([flow(network_direction=Direction.INBOUND, source_ip="203.0.113.9", destination_ip=CLIENT)])
    assert one.network_direction is Direction.INBOUND
    assert one.destination_ip is not None
    assert one.destination_ip.startswith("fd")


def test_a_quiet_minute_ends_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    made = step(Level.SUMMARY)
    made.through([flow()])
    assert made.idle() == []
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    assert kinds(made.idle()) == {Dataset.SUMMARY}


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    homes = Homes()
    assert open_minimise(MinimiseTable(enabled=False), (), homes, Gateway(homes), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_it_holds_and_has_left_out_is_counted() -> None:
    made = step(Level.SUMMARY)
    made.through([flow()])
    assert made.figures()["minimise.sums"] == 1

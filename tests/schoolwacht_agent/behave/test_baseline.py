import logging
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.behave.baseline import DAYS, Baselines, Keeper
from schoolwacht_agent.behave.calendar import Calendar, CalendarSettings

DAY, WEEK = 86_400, 7 * 86_400
MONDAY = datetime(2026, 9, 7, 10, tzinfo=ZoneInfo("Europe/Amsterdam")).timestamp()


def baselines(limit: int = 100) -> Baselines:
    return Baselines(Calendar(CalendarSettings()), limit)


def test_nothing_is_usual_before_three_days() -> None:
    known = baselines()
    assert [known.most("D", "x", MONDAY + n * DAY, 10) for n in range(4)] == [None, None, None, 10]


def test_the_same_hour_of_the_week_counts_once_three_weeks_are_known() -> None:
    known = baselines()
    for week in range(3):
        for day, value in enumerate((100, 1, 1, 1, 1)):
            known.most("D", "x", MONDAY + week * WEEK + day * DAY, value)
    assert known.most("D", "x", MONDAY + 3 * WEEK, 0) == 100
    assert known.most("D", "x", MONDAY + 3 * WEEK + DAY, 0) == 1


def test_weekends_and_other_hours_say_nothing_about_lessons() -> None:
    known = baselines()
    for week in range(5):
        known.most("D", "x", MONDAY + week * WEEK + 5 * DAY, 1000)
        known.most("D", "x", MONDAY + week * WEEK + 3600, 500)
    assert known.most("D", "x", MONDAY + 5 * WEEK, 1) is None


def test_the_highest_figure_of_an_hour_is_what_it_reached() -> None:
    known = baselines()
    for n in range(3):
        for value in (5, 50, 20):
            known.most("D", "x", MONDAY + n * DAY + value, value)
    assert known.most("D", "x", MONDAY + 3 * DAY, 1) == 50


def test_quiet_days_count_as_nothing_where_that_is_asked() -> None:
    known = baselines()
    for n in range(5):
        known.watch(MONDAY + n * DAY)
    known.most("D", "x", MONDAY, 1000)
    assert known.usual_with_quiet_days("D", "x", MONDAY + WEEK) == 0


def test_days_that_a_wrong_clock_dated_are_dropped() -> None:
    known = baselines()
    for n in range(3):
        known.most("D", "x", MONDAY + n * DAY, 10)
    known.most("D", "x", MONDAY + 3650 * DAY, 99)
    known.forget_after(MONDAY + 2 * DAY)
    assert known.most("D", "x", MONDAY + 3 * DAY, 20) == 10
    assert known.most("D", "x", MONDAY + 4 * DAY, 0) == 10


def test_things_beyond_the_limit_push_out_the_oldest_and_are_counted() -> None:
    known = baselines(limit=10)
    for n in range(25):
        known.most("D", f"x{n}", MONDAY, 1)
    assert (len(known), known.evicted) == (10, 15)


def test_no_hour_remembers_more_than_its_days() -> None:
    known = baselines()
    for n in range(400):
        known.most("D", "x", MONDAY + n * DAY, 1)
    (series,) = (one for _, one in known.series.items())
    assert max(len(values) for values in series.slots.values()) == 2 * DAYS


def test_figures_outlive_a_restart_and_names_do_not_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "behave" / "baselines"
    first = baselines()
    keeper = Keeper(first, path)
    for n in range(3):
        first.most("D", "10.21.0.23", MONDAY + n * DAY, 10)
    keeper.save()
    second = baselines()
    Keeper(second, path)
    assert second.most("D", "10.21.0.23", MONDAY + 3 * DAY, 0) == 10
    assert b"10.21.0.23" not in path.read_bytes()


def test_two_agents_keep_the_same_thing_under_different_hashes(tmp_path: Path) -> None:
    kept = []
    for name in ("a", "b"):
        known = baselines()
        keeper = Keeper(known, tmp_path / name / "baselines")
        known.most("D", "10.21.0.23", MONDAY, 10)
        keeper.save()
        kept.append(next(key for key, _ in known.series.items()))
        assert (tmp_path / name / "baselines.key").stat().st_mode & 0o777 == 0o600
    assert kept[0] != kept[1]


@pytest.mark.parametrize("case", ["earlier version", "another key"])
def test_a_file_of_another_kind_of_hash_is_put_aside_and_begun_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    path = tmp_path / "baselines"
    first = baselines()
    keeper = Keeper(first, path)
    first.most("D", "10.21.0.23", MONDAY, 10)
    keeper.save()
    if case == "another key":
        path.with_suffix(".key").unlink()
    else:
        path.write_bytes(b"SWB1" + path.read_bytes()[4:])
    second = baselines()
    with caplog.at_level(logging.WARNING):
        again = Keeper(second, path)
    assert case in caplog.text
    assert len(second) == 0
    assert path.with_suffix(".damaged").exists()
    again.save()
    assert Keeper(baselines(), path).fault == ""


def test_they_are_written_each_hour_of_traffic(tmp_path: Path) -> None:
    path = tmp_path / "baselines"
    keeper = Keeper(baselines(), path)
    keeper.pass_time(MONDAY)
    keeper.pass_time(MONDAY + 60)
    assert not path.exists()
    keeper.pass_time(MONDAY + 3600)
    assert path.exists()
    path.unlink()
    keeper.pass_time(MONDAY + 3599)
    keeper.pass_time(MONDAY + 3601)
    assert not path.exists()


def test_a_damaged_file_is_said_put_aside_and_begun_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "baselines"
    path.write_bytes(b"not ours")
    with caplog.at_level(logging.WARNING):
        keeper = Keeper(baselines(), path)
    assert str(path) in caplog.text
    assert "begin anew" in keeper.fault
    assert path.with_suffix(".damaged").read_bytes() == b"not ours"
    keeper.save()
    assert keeper.fault == ""


def test_a_disk_that_refuses_is_said_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    keeper = Keeper(baselines(), tmp_path / "file" / "baselines")
    with caplog.at_level(logging.WARNING):
        keeper.save()
        keeper.save()
    assert caplog.text.count("could not be kept") == 1
    assert keeper.fault


@given(st.integers(0, 200), st.integers(1, 255))
def test_every_flipped_byte_is_noticed(place: int, flip: int) -> None:
    known = baselines()
    known.most("D", "x", MONDAY, 10)
    data = bytearray(known.dump())
    data[place % len(data)] ^= flip
    with pytest.raises(ValueError, match="damaged"):
        baselines().load(bytes(data))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60 * DAY), st.integers(0, 1000)), max_size=60))
def test_what_is_dumped_and_loaded_is_the_same(notes: list[tuple[int, int, int]]) -> None:
    known, again = baselines(), baselines()
    again.key = known.key
    for thing, later, value in notes:
        known.watch(MONDAY + later)
        known.most("D", str(thing), MONDAY + later, value)
    again.load(known.dump())
    assert again.dump() == known.dump()

"""What SQLite alone can do wrong: full disks, locks, damage, kills, many days."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError, StoreError
from schoolwacht.event import Dataset
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite import SqliteStore, files, reader, schema, writer
from schoolwacht_collector.query.ast import All, Contains, Equals
from schoolwacht_collector.records import Lease
from tests.parts import ROOT, missing, program
from tests.schoolwacht_collector.index.stores import NOON, event, found, ids, sqlite

DAY = files.day_file(Path(), (NOON.date() - files._FIRST_DAY).days).name


def write_garbage(path: Path, *, page: int = 1) -> None:
    """Overwrite pages in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(8192 * page)
        file.write(os.urandom(16_384))


def put_right(path: Path) -> None:
    """Put a sound file, with nothing in it, in the place of a damaged one."""
    sound = path.with_name("sound")
    connection = schema.connect(sound, busy_seconds=1, create=True)
    schema.lay_out(connection, schema.DAY_SCHEMA)
    connection.close()
    sound.replace(path)


async def test_a_store_that_was_never_made_names_the_way_out(tmp_path: Path) -> None:
    store = SqliteStore(SqliteSettings(directory=str(tmp_path)))

    with pytest.raises(StoreError, match="schoolwacht-collector init"):
        await store.open()
    await store.close()


def test_no_directory_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"store\.sqlite\.directory"):
        SqliteStore(SqliteSettings())


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = SqliteStore(SqliteSettings(directory=str(tmp_path / "file" / "store")))

    with pytest.raises(StoreError, match="cannot be made"):
        await store.init()
    await store.close()


async def test_each_day_has_its_own_file(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(day, "b", timestamp=NOON + timedelta(days=day)) for day in range(3)])

    assert sorted(path.name for path in tmp_path.glob("*.sqlite")) == [
        "events-2026-03-01.sqlite",
        "events-2026-03-02.sqlite",
        "events-2026-03-03.sqlite",
        "state.sqlite",
    ]


async def test_everything_is_there_after_closing_and_opening_again(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(number, "b") for number in range(10)])
        await store.put(Kind.LEASE, Lease(id="l", timestamp=NOON, holder="a", until=NOON), None)
    async with sqlite(tmp_path) as store:
        assert len(await found(store)) == 10
        assert await store.get(Kind.LEASE, "l") is not None
    assert not list(tmp_path.glob("*-wal"))


async def test_an_old_capture_over_many_days_keeps_few_files_open(tmp_path: Path) -> None:
    days = 2 * (writer.OPEN_FILES + reader.OPEN_FILES)
    batch = [event(day, "b", timestamp=NOON - timedelta(days=day)) for day in range(days)]
    async with sqlite(tmp_path, readers=1) as store:
        for _ in range(2):
            await store.create(batch)
        assert len(await found(store, limit=50)) == days
        links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]

    assert len({link for link in links if link.endswith(".sqlite")}) <= writer.OPEN_FILES + reader.OPEN_FILES + 1


async def test_calls_made_together_are_committed_together_with_exact_outcomes(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        outcomes = await asyncio.gather(
            *(store.create([event(number, "b") for number in range(start, start + 20)]) for start in range(0, 200, 10))
        )

    created = [outcome.created for one in outcomes for outcome in one]
    assert len(created) == 400
    assert sum(created) == 210


async def test_a_caller_that_gives_up_does_not_stop_the_writer(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        call = asyncio.create_task(store.create([event(1, "b")]))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert [outcome.verdict for outcome in await store.create([event(2, "b")])] == [Verdict.DELIVERED]


async def test_a_closed_store_answers_retry(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        pass

    assert [outcome.verdict for outcome in await store.create([event(1, "b")])] == [Verdict.RETRY]


async def test_a_locked_file_is_a_retry_of_its_rows_only(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(1, "b")])
    async with sqlite(tmp_path, busy_seconds=0.05) as store:
        other = sqlite3.connect(tmp_path / DAY, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            outcomes = await store.create([event(2, "b"), event(3, "b", timestamp=NOON + timedelta(days=1))])
            health = await store.health()
        finally:
            other.execute("ROLLBACK")
            other.close()

        assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY, Verdict.DELIVERED]
        assert outcomes[0].reason == f"{DAY}: database is locked"
        assert (health.writable, health.detail) == (False, f"{DAY}: database is locked")
        assert (await store.health()).writable
        assert (await store.create([event(2, "b")]))[0].created


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        missing(f"no small file system can be mounted here: {made.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_a_full_disk_is_a_retry_and_writing_goes_on_when_there_is_room(small_disk: Path) -> None:
    rng = random.Random(1)
    ballast = small_disk / "ballast"
    async with sqlite(small_disk / "store") as store:
        assert (await store.create([event(0, "b")]))[0].created
        room = os.statvfs(small_disk)
        ballast.write_bytes(rng.randbytes(room.f_bavail * room.f_frsize - (256 << 10)))
        acknowledged, refused = ["b-00000"], list[str]()
        for number in range(1, 400):
            one = event(number, "b", message=rng.randbytes(900).hex())
            (outcome,) = await store.create([one])
            (acknowledged if outcome.verdict is Verdict.DELIVERED else refused).append(f"b-{number:05}")
            if len(refused) > 3:
                break
        assert refused
        assert "full" in (outcome.reason or "")
        assert not (await store.health()).writable

        ballast.unlink()

        assert (await store.health()).writable
        assert [one.created for one in await store.create([event(int(name[2:]), "b") for name in refused])] == [
            True
        ] * 4
        assert sorted(ids(await found(store))) == sorted(acknowledged + refused)


async def test_a_damaged_day_is_set_aside_when_it_is_written(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(number, "b", message="x" * 500) for number in range(400)])
        other_day = event(999, "b", timestamp=NOON + timedelta(days=1))
        await store.create([other_day])
    write_garbage(tmp_path / DAY)
    store = SqliteStore(SqliteSettings(directory=str(tmp_path)))
    store._writer.start()

    outcomes = [(await store.create([event(number, "b")]))[0] for number in range(400, 440)]

    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts[-1] is Verdict.DELIVERED
    assert Verdict.REJECTED not in verdicts
    assert verdicts[0] is Verdict.RETRY
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    assert len(await found(store, limit=100)) == 1 + verdicts.count(Verdict.DELIVERED)
    await store.close()


async def test_a_damaged_day_is_set_aside_at_the_start(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(number, "b", message="x" * 500) for number in range(400)])
    write_garbage(tmp_path / DAY)

    async with sqlite(tmp_path) as store:
        assert [one.created for one in await store.create([event(1, "b")])] == [True]
        assert ids(await found(store)) == ["b-00001"]

    assert [path.name.split("-")[:3] for path in tmp_path.glob("*.damaged-*")] == [["events", "2026", "03"]]


async def test_a_file_that_is_no_database_is_set_aside_at_the_start(tmp_path: Path) -> None:
    async with sqlite(tmp_path):
        (tmp_path / DAY).write_bytes(b"no database at all" * 500)

    async with sqlite(tmp_path) as store:
        assert await found(store) == []
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


async def test_what_is_left_of_a_damaged_day_can_take_its_place_as_the_manual_says(tmp_path: Path) -> None:
    program("sqlite3", "sqlite3")
    async with sqlite(tmp_path) as store:
        await store.create([event(number, "b", source_ip="192.0.2.7", message="x" * 500) for number in range(400)])
    (tmp_path / DAY).rename(tmp_path / "damaged")
    write_garbage(tmp_path / "damaged", page=20)
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    (command,) = (line for line in page.splitlines() if ".dump |" in line)
    command = command.replace("events-2026-03-01.sqlite.damaged-…", "damaged").replace("recovered.sqlite", DAY)
    await asyncio.to_thread(subprocess.run, ["/bin/sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)

    async with sqlite(tmp_path) as store:
        left = await found(store, where=Equals("source.ip", "192.0.2.7"), limit=1000)
        assert 300 < len(left) < 400
        assert [one.created for one in await store.create([event(1000, "b")])] == [True]


async def test_damaged_records_stop_the_start_and_name_the_way_out(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        leases = [Lease(id=f"l{number}", timestamp=NOON, holder="x" * 500, until=NOON) for number in range(400)]
        await store.put_many(Kind.LEASE, leases)
    write_garbage(tmp_path / "state.sqlite")
    store = SqliteStore(SqliteSettings(directory=str(tmp_path)))

    with pytest.raises(StoreError, match="dump") as caught:
        await store.open()
    assert caught.value.path == str(tmp_path / "state.sqlite")
    await store.close()


async def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    async with sqlite(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "state.sqlite") as connection:
        connection.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    connection.close()
    store = SqliteStore(SqliteSettings(directory=str(tmp_path)))

    with pytest.raises(StoreError, match="later version"):
        await store.open()
    await store.close()


@pytest.mark.parametrize("name", ["events-2026-13-45.sqlite", "events-2026-02-30.sqlite", "events-today.sqlite"])
async def test_a_file_that_names_no_day_is_left_alone(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(1, "b")])
    (tmp_path / name).write_bytes(b"somebody's")

    async with sqlite(tmp_path) as store:
        assert [one.created for one in await store.create([event(2, "b")])] == [True]
        assert len(await found(store)) == 2
    assert (tmp_path / name).read_bytes() == b"somebody's"
    assert name in caplog.text


async def test_files_and_directory_are_their_owners_alone(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "store") as store:
        await store.create([event(1, "b")])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()}

    assert modes.keys() >= {DAY, f"{DAY}-wal", f"{DAY}-shm", "state.sqlite"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


async def test_a_search_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(number, "b", message="x" * 2000) for number in range(10_000)])
    async with sqlite(tmp_path, search_seconds=0.001) as store:
        with pytest.raises(StoreError, match=r"longer than 0\.001 s"):
            await store.search(Search(Kind.EVENT, Contains(("message", "url.full", "tags"), "xy"), SECTOR))


async def test_a_day_that_is_just_being_made_holds_nothing_yet(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        with sqlite3.connect(tmp_path / DAY) as made:
            made.execute("PRAGMA journal_mode=WAL")
        made.close()
        assert ids(await found(store)) == []
        assert await store.tally(Search(Kind.EVENT, All(), SECTOR), "event.dataset") == {}

        await store.create([event(1, "b")])
        assert ids(await found(store)) == ["b-00001"]


@pytest.mark.parametrize("page", [1, 0], ids=["in the middle", "its head"])
async def test_a_damaged_day_is_left_out_of_searches_which_say_so(tmp_path: Path, page: int) -> None:
    """Each later day is sound: what is searched every day must not fail for one that is broken."""
    days = [NOON + timedelta(days=day) for day in range(3)]
    async with sqlite(tmp_path) as store:
        for day in days:
            await store.create([event(number, f"b{day:%d}", timestamp=day, message="x" * 500) for number in range(400)])
    write_garbage(tmp_path / DAY, page=page)
    everything = Search(Kind.EVENT, All(), SECTOR, limit=5000)

    async with sqlite(tmp_path) as store:
        seen = await store.search(everything)
        counted = await store.tally(everything, "message")
        recent = await store.search(everything._replace(since=days[1]))
        health = await store.health()
        put_right(tmp_path / DAY)
        mended = await store.search(everything)

    assert (len(seen.rows), seen.missing) == (800, (DAY,))
    assert [tally.number for tally in counted.values()] == [800]
    assert (len(recent.rows), recent.missing) == (800, ())
    assert health.writable
    assert f"left out of searches: {DAY}" in health.detail
    assert mended.missing == ()


async def test_signals_are_found_by_arrival_through_an_index(tmp_path: Path) -> None:
    """The folder asks every few seconds; it must not read a day of signals each time."""
    async with sqlite(tmp_path) as store:
        await store.create([event(1, "b", event_dataset=Dataset.SIGNAL, event_ingested=NOON)])
    with sqlite3.connect(tmp_path / DAY) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id, ingested AS moment, doc FROM signal WHERE (1) AND (ingested IS NOT NULL) "
            "AND (ingested >= ?) AND (1) ORDER BY moment ASC, id ASC LIMIT ?",
            (0, 10),
        ).fetchall()
    connection.close()

    assert [step[3] for step in plan] == [
        "SEARCH signal USING INDEX signal_ingested (ingested>?)",
        "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY",
    ]


_CHILD = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from tests.schoolwacht_collector.index.stores import NOON, event, sqlite

async def main():
    async with sqlite(Path(sys.argv[1])) as store:
        async def write(lane):
            for number in range(0, 100_000, 50):
                batch = [event(lane * 100_000 + number + place, "b", timestamp=NOON + timedelta(hours=place))
                         for place in range(50)]
                for outcome, one in zip(await store.create(batch), batch):
                    if outcome.verdict == 0:
                        print(one.event_id, flush=False)
                sys.stdout.flush()
        await asyncio.gather(*(write(lane) for lane in range(4)))

asyncio.run(main())
"""


def test_whatever_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    rng = random.Random(7)
    acknowledged: set[str] = set()
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert child.stdout is not None
        acknowledged.add(child.stdout.readline().strip())
        time.sleep(rng.uniform(0, 0.3))
        child.send_signal(signal.SIGKILL)
        # The last line may be cut in the middle of an id.
        acknowledged.update(child.stdout.read().split("\n")[:-1])
        child.wait()
        child.stdout.close()

    async def stored() -> set[str]:
        async with sqlite(tmp_path) as store:
            return set(ids(await found(store, limit=5000)))

    there = asyncio.run(stored())
    assert acknowledged - {""} <= there
    assert len(acknowledged) > 100


async def test_two_stores_on_one_directory_both_write(tmp_path: Path) -> None:
    """A command beside the running collector: slower, and right."""
    async with sqlite(tmp_path) as one, sqlite(tmp_path) as two:

        async def write(store: Store, start: int) -> list[bool]:
            return [
                outcome.created
                for number in range(start, start + 200, 20)
                for outcome in await store.create([event(number + place, "b") for place in range(20)])
            ]

        created = await asyncio.gather(write(one, 0), write(two, 100))

        assert sum(created[0]) + sum(created[1]) == 300
        assert len(await found(one, limit=1000)) == len(await found(two, limit=1000)) == 300


async def test_an_address_in_a_column_is_found_in_every_spelling(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(1, "b", source_ip="2001:DB8:0::1", destination_ip="::ffff:10.0.0.1")])

        assert len(await found(store, Equals("source.ip", "2001:db8::1"))) == 1
        assert len(await found(store, Equals("destination.ip", "10.0.0.1"))) == 1


async def test_an_expired_day_is_no_file_any_more_and_a_thinned_one_is_smaller(tmp_path: Path) -> None:
    day = timedelta(days=1)
    async with sqlite(tmp_path) as store:
        long = "x" * 2000
        many = [event(number, "b", timestamp=NOON - day, message=long) for number in range(500)]
        sums = [event(900, "b", timestamp=NOON - day, event_dataset=Dataset.SUMMARY)]
        await store.create([*many, *sums, event(1000, "b", timestamp=NOON - 2 * day)])
        old, older = (files.day_file(tmp_path, files.day_of(NOON.date()) - back) for back in (1, 2))
        assert older.exists()

        first = {dataset: NOON.date() for dataset in Dataset} | {Dataset.SUMMARY: NOON.date() - day}
        gone = await store.expire(first)

        assert gone == [older.name, f"500 rows of {old.name}"]
        assert not list(tmp_path.glob(f"{older.name}*"))
        assert old.stat().st_size < 200_000
        assert ids(await found(store)) == ["b-00900"]


async def test_a_day_is_thinned_once(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as store:
        await store.create([event(1, "b"), event(2, "b", event_dataset=Dataset.SUMMARY)])
        first = {Dataset.DNS: NOON.date() + timedelta(days=1)}
        assert await store.expire(first) == [f"1 rows of {DAY}"]
        await store.create([event(3, "b")])
        assert await store.expire(first) == []
        assert await store.expire(first | {Dataset.SUMMARY: first[Dataset.DNS]}) == [f"2 rows of {DAY}"]


async def test_a_file_that_another_holds_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with sqlite(tmp_path, busy_seconds=0.1) as store:
        await store.create([event(1, "b")])
        with sqlite3.connect(tmp_path / DAY) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="cannot be expired"):
                await store.expire({Dataset.DNS: NOON.date() + timedelta(days=1)})
            other.rollback()
        other.close()
        assert len(await found(store)) == 1

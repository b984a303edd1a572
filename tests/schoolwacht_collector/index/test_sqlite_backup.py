"""A copy of a store is whole, whatever is written meanwhile, and can take the place of the original."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.index.sqlite import backup, files
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Progress
from tests.schoolwacht_collector.index.stores import NOON, event, found, ids, sqlite
from tests.schoolwacht_collector.index.test_sqlite import DAY, write_garbage


async def test_a_copy_under_concurrent_writing_is_whole_and_holds_what_was_acknowledged_before(tmp_path: Path) -> None:
    """The writer never waits for the copy, and the copy holds a beginning of what was written, without a gap."""
    acknowledged = 0
    enough, stop = asyncio.Event(), asyncio.Event()

    async with sqlite(tmp_path / "store") as store:

        async def write() -> None:
            nonlocal acknowledged
            while not stop.is_set():
                batch = [event(number, "b") for number in range(acknowledged, acknowledged + 50)]
                assert all(one.created for one in await store.create(batch))
                acknowledged += 50
                if acknowledged >= 500:
                    enough.set()

        writing = asyncio.create_task(write())
        await enough.wait()
        for attempt in range(100):  # until something was written in the middle of one
            before, copy = acknowledged, tmp_path / f"copy{attempt}"
            manifest = await asyncio.to_thread(backup.take, tmp_path / "store", copy)
            if acknowledged > before:
                break
        stop.set()
        await writing

    assert [file.name for file in manifest.files] == ["state.sqlite", DAY]
    backup.put_back(copy, tmp_path / "again", besides=tmp_path / "again")
    async with sqlite(tmp_path / "again") as store:
        there = ids(await found(store, oldest_first=True, limit=5000))
        assert there == [f"b-{number:05}" for number in range(len(there))]
        assert before <= len(there) <= acknowledged
        # It goes on from there: what the copy lacks is delivered again, what it has is known.
        outcomes = await store.create([event(number, "b") for number in range(acknowledged)])
    assert sum(outcome.created for outcome in outcomes) == acknowledged - len(there)


async def test_no_record_of_a_copy_is_ahead_of_its_signals(tmp_path: Path) -> None:
    """How far the alerts have come stands in the records: a copy that had it without the signals would miss them."""
    stop = asyncio.Event()
    started = asyncio.Event()

    async with sqlite(tmp_path / "store") as store:

        async def work() -> None:
            version = None
            number = 0
            while not stop.is_set():
                number += 1
                await store.create([event(number, "b", event_dataset=Dataset.SIGNAL)])
                moment = NOON + timedelta(seconds=number)
                version = await store.put(Kind.PROGRESS, Progress(id="alerts", timestamp=moment, until=moment), version)
                if number == 20:
                    started.set()

        working = asyncio.create_task(work())
        await started.wait()
        for copy in range(5):
            await asyncio.to_thread(backup.take, tmp_path / "store", tmp_path / f"copy{copy}")
        stop.set()
        await working

    for copy in range(5):
        async with sqlite(tmp_path / f"copy{copy}") as store:
            progress = await store.get(Kind.PROGRESS, "alerts")
            newest = (await store.search(Search(Kind.SIGNAL, All(), SECTOR, limit=1))).rows[0]
        assert progress is not None
        assert isinstance(progress.record, Progress)
        assert datetime.fromisoformat(newest["@timestamp"]) >= progress.record.until


async def test_a_damaged_day_is_left_out_and_named(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "store") as store:
        for day in range(2):
            await store.create(
                [event(n, "b", timestamp=NOON + timedelta(days=day), message="x" * 500) for n in range(400)]
            )
    write_garbage(tmp_path / "store" / DAY)

    manifest = backup.take(tmp_path / "store", tmp_path / "copy")

    assert manifest.left_out.keys() == {DAY}
    assert [file.name for file in backup.verify(tmp_path / "copy").files] == [
        "state.sqlite",
        "events-2026-03-02.sqlite",
    ]
    assert not (tmp_path / "copy" / DAY).exists()


async def test_damaged_records_are_never_copied(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "store"):
        pass
    write_garbage(files.state_file(tmp_path / "store"))

    with pytest.raises(StoreError, match="copy failed"):
        backup.take(tmp_path / "store", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


async def test_a_copy_is_its_owners_alone_and_needs_a_new_place(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 43)
    async with sqlite(tmp_path / "store") as store:
        await store.create([event(1, "b")])
        backup.take(tmp_path / "store", tmp_path / "copy", besides=(tmp_path / "secret",))
        with pytest.raises(StoreError, match="new directory"):
            backup.take(tmp_path / "store", tmp_path / "copy")

    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy").iterdir()} == {0o600}


async def test_what_an_attempt_left_behind_does_not_hinder_the_next(tmp_path: Path) -> None:
    (tmp_path / "copy.part").mkdir()
    (tmp_path / "copy.part" / "state.sqlite").write_bytes(b"half of it")
    async with sqlite(tmp_path / "store"):
        backup.take(tmp_path / "store", tmp_path / "copy")

    assert [file.name for file in backup.verify(tmp_path / "copy").files] == ["state.sqlite"]
    assert not (tmp_path / "copy.part").exists()


@pytest.mark.parametrize("name", ["state.sqlite", DAY, backup.MANIFEST])
async def test_a_copy_of_which_a_byte_changed_is_not_put_back(tmp_path: Path, name: str) -> None:
    async with sqlite(tmp_path / "store") as store:
        await store.create([event(1, "b")])
        backup.take(tmp_path / "store", tmp_path / "copy")
    data = bytearray((tmp_path / "copy" / name).read_bytes())
    data[len(data) // 2] ^= 0x80
    (tmp_path / "copy" / name).write_bytes(data)

    with pytest.raises(StoreError, match=name.replace(".", r"\.")):
        backup.put_back(tmp_path / "copy", tmp_path / "again", besides=tmp_path)
    assert not (tmp_path / "again").exists()


async def test_a_copy_never_replaces_a_store(tmp_path: Path) -> None:
    async with sqlite(tmp_path / "store") as store:
        await store.create([event(1, "b")])
        backup.take(tmp_path / "store", tmp_path / "copy")

    with pytest.raises(StoreError, match="there is a store already"):
        backup.put_back(tmp_path / "copy", tmp_path / "store", besides=tmp_path)


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    made = datetime.now(UTC).isoformat()
    text = f'{{"made":"{made}","schema":1,"files":[{{"name":"../etc.sqlite","bytes":1,"sha256":"x"}}],"left_out":{{}}}}'
    (tmp_path / backup.MANIFEST).write_text(text)

    with pytest.raises(StoreError, match="no manifest"):
        backup.verify(tmp_path)

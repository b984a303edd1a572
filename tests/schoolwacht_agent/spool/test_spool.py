"""The spool on real files: what its users rely on, beside what the model test shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.errors import SpoolError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict, decode_event
from schoolwacht_agent.spool import Lane, Reader, Writer, look
from schoolwacht_agent.spool.disk import RealDisk
from schoolwacht_agent.spool.slots import Ledger, ledger_slots
from tests.parts import missing

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, dataset: Dataset = Dataset.FLOW, size: int = 0) -> Event:
    return Event(NOW, dataset, message=str(number), url_original="x" * size or None)


def drained(reader: Reader) -> list[str]:
    found = []
    while (portion := reader.take(100, 1 << 20)) is not None:
        found += [decode_event(item.raw).message or "" for item in portion.items]
        reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
    return found


def test_signals_and_health_go_ahead_of_older_events(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer, Reader(tmp_path) as reader:
        writer.append([event(1), event(2, Dataset.SIGNAL), event(3), event(4, Dataset.HEALTH)], b"")
        portion = reader.take(10, 1 << 20)
        assert portion is not None
        assert [item.lane for item in portion.items] == [Lane.SIGNALS] * 2 + [Lane.EVENTS] * 2
        assert drained(reader) == ["2", "4", "1", "3"]


def test_the_mark_and_the_numbers_survive(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        assert writer.mark == b""
        writer.append([event(1), event(2)], b"here")
        epoch = writer.epoch
    with Writer(tmp_path) as writer:
        assert (writer.mark, writer.epoch, writer.sequence) == (b"here", epoch, 2)


def test_a_mark_without_events_is_kept_too(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.append([], b"further")
    with Writer(tmp_path) as writer:
        assert writer.mark == b"further"


def test_what_is_to_be_tried_again_comes_again_and_the_rest_does_not(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.append([event(number) for number in range(6)], b"")
        with Reader(tmp_path) as reader:
            portion = reader.take(4, 1 << 20)
            assert portion is not None
            reader.settle(portion, [Verdict.DELIVERED, Verdict.RETRY, Verdict.REJECTED, Verdict.RETRY])
        with Reader(tmp_path) as reader:
            assert drained(reader) == ["1", "3", "4", "5"]
    report = look(tmp_path)
    assert report is not None
    assert (report.delivered, report.rejected, report.waiting) == (5, 1, 0)


def test_until_it_is_settled_a_portion_is_taken_again(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer, Reader(tmp_path) as reader:
        writer.append([event(1)], b"")
        first, second = reader.take(10, 1 << 20), reader.take(10, 1 << 20)
        assert first == second
        assert second is not None
        assert first is not None
        with pytest.raises(ValueError, match="taken last"):
            reader.settle(first, [Verdict.DELIVERED])
        reader.settle(second, [Verdict.DELIVERED])
        assert reader.take(10, 1 << 20) is None


def test_one_event_larger_than_the_bound_is_taken_alone(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer, Reader(tmp_path) as reader:
        writer.append([event(1, size=2000), event(2)], b"")
        portion = reader.take(10, 100)
        assert portion is not None
        assert len(portion.items) == 1


def test_a_reader_may_come_before_the_writer(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        assert reader.take(10, 1 << 20) is None
        with Writer(tmp_path) as writer:
            writer.append([event(1)], b"")
            assert drained(reader) == ["1"]


def test_there_is_one_writer_and_one_reader(tmp_path: Path) -> None:
    with Writer(tmp_path), Reader(tmp_path):
        with pytest.raises(SpoolError, match="another process is its writer"):
            Writer(tmp_path)
        with pytest.raises(SpoolError, match="another process is its reader"):
            Reader(tmp_path)


def test_a_copy_of_a_spool_begins_an_epoch_of_its_own_and_still_sends_the_old_events(tmp_path: Path) -> None:
    with Writer(tmp_path / "a") as writer:
        writer.append([event(1)], b"mark")
        old = writer.epoch
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with Writer(tmp_path / "b") as writer, Reader(tmp_path / "b") as reader:
        assert writer.epoch != old
        assert writer.mark == b"mark"
        writer.append([event(2)], b"")
        first = reader.take(10, 1 << 20)
        assert first is not None
        assert (first.epoch, len(first.items)) == (old, 1)
        reader.settle(first, [Verdict.DELIVERED])
        second = reader.take(10, 1 << 20)
        assert second is not None
        assert second.epoch == writer.epoch


def test_a_spool_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    with Writer(tmp_path):
        pass
    ledger_slots(RealDisk(tmp_path)).write(Ledger("0" * 16, 1, format=99), sync=True, twice=True)
    with pytest.raises(SpoolError, match="update the agent"):
        Writer(tmp_path)


def test_settled_segments_are_removed(tmp_path: Path) -> None:
    with Writer(tmp_path, segment_bytes=4096) as writer, Reader(tmp_path) as reader:
        for number in range(40):
            writer.append([event(number, size=500)], b"")
        assert len(list((tmp_path / "events").iterdir())) > 4
        drained(reader)
        writer.append([event(40)], b"")
        drained(reader)
        assert len(list((tmp_path / "events").iterdir())) <= 2


def test_a_full_spool_drops_the_oldest_events_and_keeps_the_signals(tmp_path: Path) -> None:
    with Writer(tmp_path, max_bytes=200_000, segment_bytes=8192) as writer, Reader(tmp_path) as reader:
        for number in range(500):
            writer.append([event(number, size=1000), event(10_000 + number, Dataset.SIGNAL)], b"")
        report = look(tmp_path)
        assert report is not None
        assert report.bytes < 200_000
        found = [int(text) for text in drained(reader)]
        assert [number for number in found if number >= 10_000] == list(range(10_000, 10_500))
        flows = [number for number in found if number < 10_000]
        assert flows == list(range(500 - len(flows), 500))
        assert report.lost == {"events.evicted": 500 - len(flows)}


def test_signals_go_too_when_nothing_else_is_left(tmp_path: Path) -> None:
    with Writer(tmp_path, max_bytes=100_000, segment_bytes=8192) as writer:
        for number in range(300):
            writer.append([event(number, Dataset.SIGNAL, size=1000)], b"")
        report = look(tmp_path)
        assert report is not None
        assert report.bytes < 110_000
        assert report.signals.waiting + report.signals.lost["evicted"] == 300


def test_events_that_are_too_old_are_dropped_and_counted(tmp_path: Path) -> None:
    moment = 1_800_000_000.0
    with Writer(tmp_path, max_age_seconds=3600, clock=lambda: moment) as writer:
        writer.append([event(1)], b"")
        for path in (tmp_path / "events").iterdir():
            os.utime(path, (moment, moment))
        moment += 7200
        writer.append([event(2)], b"")
        moment += 120
        writer.append([event(3)], b"")
        report = look(tmp_path)
        assert report is not None
        assert report.lost == {"events.expired": 1}


def test_a_clock_that_was_never_set_makes_nothing_old(tmp_path: Path) -> None:
    moment = 1000.0
    with Writer(tmp_path, max_age_seconds=3600, clock=lambda: moment) as writer:
        writer.append([event(1)], b"")
        for path in (tmp_path / "events").iterdir():
            os.utime(path, (moment, moment))
        moment = 1_800_000_000.0
        for number in range(3):
            moment += 100_000
            writer.append([event(number)], b"")
        report = look(tmp_path)
        assert report is not None
        assert report.events.waiting == 4 - report.lost.get("events.expired", 0)
        assert min(path.stat().st_mtime for path in (tmp_path / "events").iterdir()) == 1000.0


def test_an_event_that_cannot_be_encoded_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer, Reader(tmp_path) as reader:
        bad = event(1)
        bad.message = "\udcff"
        assert writer.append([event(0), bad, event(2)], b"") == 2
        assert drained(reader) == ["0", "2"]
    report = look(tmp_path)
    assert report is not None
    assert report.lost == {"events.unfit": 1}


def test_a_mark_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer, pytest.raises(ValueError, match="mark"):
        writer.append([], b"x" * 5000)


def test_files_that_are_no_segments_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir(parents=True)
    stray = tmp_path / "events" / "notes.txt"
    stray.write_text("mine")
    with Writer(tmp_path) as writer, Reader(tmp_path) as reader:
        writer.append([event(1)], b"")
        assert drained(reader) == ["1"]
    assert stray.read_text() == "mine"


def test_nobody_else_can_read_the_spool(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    with Writer(root) as writer:
        writer.append([event(1)], b"")
    for path in [root, *root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def refused(writer: Writer, one: Event) -> SpoolError | None:
    try:
        writer.append([one], b"")
    except SpoolError as error:
        return error
    return None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    root = tmp_path / "disk"
    root.mkdir()
    mount = shutil.which("mount", path="/usr/bin:/bin:/sbin")
    made = subprocess.run(
        [mount or "mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", root],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        missing(f"no small file system here: {made.stderr.strip()}")
    yield root
    subprocess.run(["umount", root], check=True)


def test_a_full_disk_holds_back_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with Writer(small_disk / "spool", segment_bytes=65536) as writer, Reader(small_disk / "spool") as reader:
        writer.append([event(0)], b"0")
        ballast.write_bytes(bytes(1 << 20))
        kept = 1
        while (refusal := refused(writer, event(kept, size=1500))) is None:
            kept += 1
        assert "make room on the disk" in refusal.message
        with pytest.raises(SpoolError):
            writer.append([event(kept, size=100_000)], b"")
        # Delivered events leave the full disk: recording that needs no room, and makes some.
        seen = drained(reader)
        writer.append([event(kept, size=1500)], b"last")
        kept += 1
        assert writer.mark == b"last"
        ballast.unlink()
        for number in range(kept, kept + 5):
            writer.append([event(number, size=1500)], b"")
        seen += drained(reader)
        assert seen == [str(number) for number in range(kept + 5)]
        report = look(small_disk / "spool")
        assert report is not None
        assert report.lost == {}

"""A power cut while the writer copies what the writer before it may not have synced: nothing is lost or miscounted.

Whatever pages of both copies the disk has kept, the next writer goes on behind what is whole.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from schoolwacht.errors import SpoolError
from schoolwacht.wire import Verdict
from schoolwacht_agent.spool import Reader, Writer, look
from tests.schoolwacht_agent.spool.disk_model import Crash, ModelDisk

NOWHERE = Path("/nowhere")


def torn(seed: int, *, max_bytes: int = 1 << 30) -> tuple[ModelDisk, Writer]:
    """A spool whose last group was written and not synced, whose copy was cut short somewhere, and then the power."""
    disk = ModelDisk(seed)
    writer = Writer(NOWHERE, disk=disk, max_bytes=max_bytes)
    writer.append_encoded([], [b"a0", b"a1"], b"a")
    disk.arm("crash_sync", 0)
    with pytest.raises(Crash):
        writer.append_encoded([], [b"b%d" % number + b"x" * 150 for number in range(4)], b"b")
    disk.kill()
    disk.arm("crash", disk.random.randint(10, 40))
    with suppress(Crash):
        Writer(NOWHERE, disk=disk)
    disk.cut_power()
    return disk, Writer(NOWHERE, disk=disk, max_bytes=max_bytes)


def drained(disk: ModelDisk) -> list[bytes]:
    got = []
    with Reader(NOWHERE, disk=disk) as reader:
        while (portion := reader.take(50, 10_000)) is not None:
            got += [item.raw[:2] for item in portion.items]
            reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
    return got


def test_a_power_cut_in_the_copy_costs_nothing_that_was_acknowledged() -> None:
    both = set()
    for seed in range(250):
        disk, writer = torn(seed)
        both.add(writer.mark)
        again = [b"b0", b"b1", b"b2", b"b3"] if writer.mark == b"b" else []
        writer.append_encoded([b"c0"], [b"c1", b"c2", b"c3"], b"c")
        assert drained(disk) == [b"c0", b"a0", b"a1", *again, b"c1", b"c2", b"c3"], f"seed {seed}"
        report = look(NOWHERE, disk=disk)
        assert report is not None
        assert (report.lost, report.waiting) == ({}, 0), f"seed {seed}"
    assert both == {b"a", b"b"}, "the power cut never hit the copy"


def test_what_is_dropped_after_a_power_cut_in_the_copy_is_counted_once() -> None:
    for seed in range(60):
        disk, writer = torn(seed, max_bytes=40_000)
        written = 6 if writer.mark == b"b" else 2
        for number in range(120):
            writer.append_encoded([], [b"%d" % number + b"y" * 900], b"c")
        came = drained(disk)
        report = look(NOWHERE, disk=disk)
        assert report is not None
        assert len(came) + sum(report.lost.values()) == written + 120, f"seed {seed}"
        assert report.lost["events.evicted"] > 0


def test_a_start_that_meets_a_failing_disk_in_the_copy_changes_nothing() -> None:
    for place in range(30):
        disk = ModelDisk(place)
        writer = Writer(NOWHERE, disk=disk)
        writer.append_encoded([], [b"a0"], b"a")
        disk.arm("crash_sync", 0)
        with pytest.raises(Crash):
            writer.append_encoded([], [b"b0", b"b1"], b"b")
        disk.kill()
        disk.arm("eio_sync", place)
        try:
            writer = Writer(NOWHERE, disk=disk)
        except SpoolError:
            disk.kill()
            writer = Writer(NOWHERE, disk=disk)
        disk.heal()
        writer.append_encoded([], [b"c0"], b"c")
        assert drained(disk) == [b"a0", b"b0", b"b1", b"c0"], f"operation {place}"


def test_what_was_acknowledged_outlives_the_attempts_that_failed_behind_it() -> None:
    for seed in range(120):
        disk = ModelDisk(seed)
        writer = Writer(NOWHERE, disk=disk)
        writer.append_encoded([b"a0"], [b"a1"], b"a")
        # The first attempt leaves its signals behind, the next ones begin a segment of signals for theirs.
        disk.arm("eio_sync", seed % 2, lasting=True)
        for _ in range(3):
            with suppress(SpoolError):
                writer.append_encoded([b"b0"], [b"b1"], b"b")
                raise AssertionError("acknowledged without a sync")
        disk.cut_power()
        assert Writer(NOWHERE, disk=disk).mark == b"a", f"seed {seed}"
        assert drained(disk) == [b"a0", b"a1"], f"seed {seed}"


def test_signals_of_a_first_group_that_was_cut_short_do_not_count() -> None:
    for seed in range(40):
        disk = ModelDisk(seed)
        writer = Writer(NOWHERE, disk=disk)
        disk.arm("crash_sync", 2)
        with pytest.raises(Crash):
            writer.append_encoded([b"a0", b"a1"], [b"a2"], b"a")
        disk.cut_power()
        writer = Writer(NOWHERE, disk=disk)
        if writer.mark == b"":
            assert drained(disk) == [], f"seed {seed}: the source gives them again"


def test_a_drop_that_could_not_be_recorded_is_counted_though_the_reader_has_seen_it() -> None:
    for place in range(8):
        disk = ModelDisk(place)
        writer = Writer(NOWHERE, disk=disk, max_bytes=40_000)
        reader = Reader(NOWHERE, disk=disk)
        written = refused = delivered = 0
        while written < 100:
            if written == 30 and not refused:
                disk.arm("eio_sync", place)
            try:
                writer.append_encoded([], [b"%d" % written + b"y" * 900], b"")
            except SpoolError:
                refused += 1
                if (portion := reader.take(3, 10_000)) is not None:
                    reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
                    delivered += len(portion.items)
                continue
            written += 1
        reader.close()
        delivered += len(drained(disk))
        report = look(NOWHERE, disk=disk)
        assert report is not None
        assert delivered + sum(report.lost.values()) == written, f"sync {place}"


def test_an_event_that_waits_as_a_copy_is_counted_when_it_is_dropped() -> None:
    disk = ModelDisk(1)
    writer = Writer(NOWHERE, disk=disk, max_bytes=40_000)
    disk.arm("crash_sync", 0)
    with pytest.raises(Crash):
        writer.append_encoded([], [b"a0", b"a1", b"a2"], b"a")
    disk.kill()
    writer = Writer(NOWHERE, disk=disk, max_bytes=40_000)
    with Reader(NOWHERE, disk=disk) as reader:
        portion = reader.take(2, 10_000)
        assert portion is not None
        reader.settle(portion, [Verdict.RETRY, Verdict.DELIVERED])
    for number in range(120):
        writer.append_encoded([], [b"%d" % number + b"y" * 900], b"c")
    came = len(drained(disk))
    report = look(NOWHERE, disk=disk)
    assert report is not None
    assert 1 + came + sum(report.lost.values()) == 123

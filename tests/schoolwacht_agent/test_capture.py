from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.errors import CaptureError, SpoolError
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.wire import decode_event
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.capture import GROUP, WAITING, Capture
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.spool import Reader, Writer
from schoolwacht_agent.spool.disk import RealDisk
from schoolwacht_agent.spool.slots import head_slots
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from tests.schoolwacht_agent.spool.disk_model import Inode, ModelDisk

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, dataset: Dataset = Dataset.DNS) -> Event:
    return Event(NOW, dataset, source_ip="10.0.0.1", destination_ip="9.9.9.9", message=str(number))


class Listed:
    """A source of given lists; its mark is how many it has given."""

    def __init__(self, *lists: list[Event], fault: CaptureError | None = None) -> None:
        self.counters = Counters()
        self.given = 0
        self._lists = lists
        self._fault = fault
        self._stopped = False

    def read(self) -> Iterator[list[Event]]:
        for events in self._lists:
            if self._stopped:
                return
            self.given += 1
            yield events
        if self._fault is not None:
            raise self._fault

    def mark(self) -> bytes:
        return b"%d" % self.given

    def stop(self) -> None:
        self._stopped = True


def steps() -> Steps:
    return Steps(Gateway(Homes()), BehaveSettings())


def kept(spool: Path) -> list[Event]:
    with Reader(spool) as reader:
        portion = reader.take(2000, 1 << 22)
        return [decode_event(item.raw) for item in portion.items] if portion is not None else []


def transactions(spool: Path) -> int:
    head = head_slots(RealDisk(spool)).read()
    assert head is not None
    return head.state.transaction


def await_kept(capture: Capture, number: int) -> bool:
    """Whether so many events get onto the disk though nothing more is taken."""
    until = time.monotonic() + 20
    while capture.kept < number and time.monotonic() < until:
        capture.take([])
        time.sleep(0.01)
    return capture.kept == number


class SlowDisk(ModelDisk):
    """A disk whose writer waits in each sync until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.going = threading.Event()
        self.going.set()

    def sync_inode(self, inode: Inode, path: str) -> None:
        assert self.going.wait(20)
        super().sync_inode(inode, path)


def test_what_a_source_gives_is_directed_and_kept_with_its_mark(tmp_path: Path) -> None:
    source = Listed([event(1)], [event(2)])
    with Writer(tmp_path) as writer:
        Capture(source, steps(), writer).run()
        assert writer.mark == b"2"
    assert [one.message for one in kept(tmp_path)] == ["1", "2"]
    assert {one.network_direction for one in kept(tmp_path)} == {Direction.OUTBOUND}


def test_small_lists_share_an_fsync(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        Capture(Listed(*[[event(number)] for number in range(GROUP)]), steps(), writer).run()
    assert transactions(tmp_path) < 20


def test_a_signal_does_not_wait_for_company(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        capture = Capture(Listed(), steps(), writer)
        capture.take([event(1)])
        capture.take([event(2, Dataset.SIGNAL)])
        assert await_kept(capture, 2)


def test_a_tick_keeps_what_waits(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        capture = Capture(Listed(), steps(), writer)
        capture.take([event(1)])
        assert capture.kept == 0
        capture.take([])
        assert await_kept(capture, 1)


def test_what_could_be_read_of_a_faulty_source_is_kept(tmp_path: Path) -> None:
    source = Listed([event(1)], fault=CaptureError("is cut off", path="a.pcap"))
    with Writer(tmp_path) as writer, pytest.raises(CaptureError):
        Capture(source, steps(), writer).run()
    assert len(kept(tmp_path)) == 1


def test_a_stop_ends_with_what_is_held(tmp_path: Path) -> None:
    source = Listed([event(1)], [event(2)], [event(3)])
    with Writer(tmp_path) as writer:
        capture = Capture(source, steps(), writer, attended=lambda: capture.stop() or [])  # type: ignore[func-returns-value]
        capture.run()
    assert [one.message for one in kept(tmp_path)] == ["1"]


def test_a_disk_that_refuses_holds_the_source_back_until_it_works() -> None:
    disk = ModelDisk()
    nowhere = Path("/nowhere")
    with Writer(nowhere, disk=disk) as writer, Reader(nowhere, disk=disk) as reader:
        source = Listed([event(1, Dataset.SIGNAL)], [event(2, Dataset.SIGNAL)])
        held: list[tuple[float, int]] = []

        def refused(seconds: float) -> None:
            held.append((seconds, source.given))
            disk.heal()

        disk.arm("enospc", 0, lasting=True)
        Capture(source, steps(), writer, held=refused).run()
        assert held, "nobody is told"
        portion = reader.take(10, 1 << 20)
        assert portion is not None
        assert [decode_event(item.raw).message for item in portion.items] == ["1", "2"]


def test_packets_are_read_on_while_the_disk_takes_its_time() -> None:
    disk, nowhere = SlowDisk(), Path("/nowhere")
    with Writer(nowhere, disk=disk) as writer, Reader(nowhere, disk=disk) as reader:
        capture = Capture(Listed(), steps(), writer)
        disk.going.clear()
        for number in range(10):
            capture.take([event(number, Dataset.SIGNAL)])
        assert capture.kept == 0
        disk.going.set()
        capture.settle()
        portion = reader.take(100, 1 << 20)
        assert portion is not None
        assert [decode_event(item.raw).message for item in portion.items] == [str(number) for number in range(10)]


def test_a_disk_that_takes_too_long_holds_the_source_back() -> None:
    disk, nowhere = SlowDisk(), Path("/nowhere")
    with Writer(nowhere, disk=disk) as writer:
        held: list[float] = []

        def slow(seconds: float) -> None:
            held.append(seconds)
            disk.going.set()

        capture = Capture(Listed(), steps(), writer, held=slow)
        disk.going.clear()
        capture.take([event(1, Dataset.SIGNAL)])
        capture.take([event(number) for number in range(WAITING)])
        assert held, "it reads on and on"
        capture.settle()
        assert capture.kept == WAITING + 1


def test_a_refusal_is_noticed_though_nothing_more_comes() -> None:
    disk = ModelDisk()
    with Writer(Path("/nowhere"), disk=disk) as writer:
        held: list[float] = []

        def refused(seconds: float) -> None:
            held.append(seconds)
            disk.heal()

        disk.arm("eio_sync", 0, lasting=True)
        capture = Capture(Listed(), steps(), writer, held=refused)
        capture.take([event(1, Dataset.SIGNAL)])
        assert await_kept(capture, 1)
        assert held


def test_told_to_stop_while_the_disk_refuses_it_says_what_is_lost() -> None:
    disk = ModelDisk()
    with Writer(Path("/nowhere"), disk=disk) as writer:
        disk.arm("enospc", 0, lasting=True)
        capture = Capture(Listed([event(1)]), steps(), writer)
        capture.stop()
        capture.take([event(1)])
        with pytest.raises(SpoolError):
            capture.settle()

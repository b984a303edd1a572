"""A flipped byte or a cut costs the records it lies in, each is counted, and the spool goes on by itself."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.wire import Verdict
from schoolwacht_agent.spool import Reader, Writer, look
from tests.schoolwacht_agent.spool.disk_model import ModelDisk

NOWHERE = Path("/nowhere")
GROUPS = 6
#: Each group: one signal, three events.
WRITTEN = 4 * GROUPS


def spool() -> ModelDisk:
    """A spool that was closed well, with several segments in each lane, of which some events are settled."""
    disk = ModelDisk()
    with Writer(NOWHERE, disk=disk, segment_bytes=250) as writer, Reader(NOWHERE, disk=disk) as reader:
        for group in range(GROUPS):
            first = 4 * group
            writer.append_encoded([b"%d:s" % first], [b"%d:e" % number for number in range(first + 1, first + 4)], b"m")
            if group == 3:
                portion = reader.take(9, 10_000)
                assert portion is not None
                reader.settle(portion, [Verdict.DELIVERED] * 8 + [Verdict.RETRY])
    return disk


INTACT = spool()
SETTLED = 8


def after(disk: ModelDisk) -> tuple[list[int], int]:
    """What comes out of a damaged spool, and what it says it has lost. It must take new events, too."""
    delivered: list[int] = []
    with Writer(NOWHERE, disk=disk, segment_bytes=250) as writer, Reader(NOWHERE, disk=disk) as reader:
        writer.append_encoded([b"900:s"], [b"901:e"], b"n")
        while (portion := reader.take(7, 10_000)) is not None:
            delivered += [int(item.raw.partition(b":")[0]) for item in portion.items]
            reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
    report = look(NOWHERE, disk=disk)
    assert report is not None
    assert report.waiting == 0
    assert {900, 901} <= set(delivered)
    assert len(delivered) == len(set(delivered))
    return [number for number in delivered if number < 900], sum(report.lost.values())


def used(path: str) -> list[int]:
    """Where a file has bytes that mean something: the slots of the state files are mostly air."""
    content = bytes(INTACT.names[path].seen)
    if path.endswith(".log"):
        return list(range(len(content)))
    half = len(content) // 2
    return [*range(len(content[:half].rstrip(b"\0"))), *range(half, len(content.rstrip(b"\0")))]


def test_an_intact_spool_gives_everything() -> None:
    delivered, lost = after(copy.deepcopy(INTACT))
    assert (len(delivered), lost) == (WRITTEN - SETTLED, 0)


@pytest.mark.parametrize("path", sorted(path for path in INTACT.names if path.endswith(".log")))
def test_any_flipped_byte_of_a_segment_costs_at_most_its_record(path: str) -> None:
    for place in used(path):
        disk = copy.deepcopy(INTACT)
        disk.names[path].seen[place] ^= 0x41
        delivered, lost = after(disk)
        assert len(delivered) + lost == WRITTEN - SETTLED, f"byte {place}"
        assert lost <= 1, f"byte {place}"


@pytest.mark.parametrize("path", ["head", "ledger"])
def test_a_flipped_byte_of_head_or_ledger_costs_nothing(path: str) -> None:
    for place in used(path):
        disk = copy.deepcopy(INTACT)
        disk.names[path].seen[place] ^= 0x41
        assert after(disk) == after(copy.deepcopy(INTACT)), f"byte {place}"


def test_a_flipped_byte_of_the_cursor_costs_at_most_a_repeated_delivery() -> None:
    for place in used("cursor"):
        disk = copy.deepcopy(INTACT)
        disk.names["cursor"].seen[place] ^= 0x41
        delivered, lost = after(disk)
        assert lost == 0
        assert len(delivered) >= WRITTEN - SETTLED


@pytest.mark.parametrize("path", sorted(path for path in INTACT.names if path.endswith(".log")))
def test_any_cut_of_a_segment_is_counted_exactly(path: str) -> None:
    for size in range(len(INTACT.names[path].seen)):
        disk = copy.deepcopy(INTACT)
        del disk.names[path].seen[size:]
        delivered, lost = after(disk)
        assert len(delivered) + lost == WRITTEN - SETTLED, f"cut to {size}"


@pytest.mark.parametrize("path", sorted(path for path in INTACT.names if path.endswith(".log")))
def test_a_segment_that_somebody_removed_is_counted_exactly(path: str) -> None:
    disk = copy.deepcopy(INTACT)
    del disk.names[path]
    delivered, lost = after(disk)
    assert len(delivered) + lost == WRITTEN - SETTLED


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_whatever_stops_the_spool_or_doubles_an_event(data: st.DataObject) -> None:
    disk = copy.deepcopy(INTACT)
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(sorted(disk.names)))
        content = disk.names[path].seen
        kind = data.draw(st.sampled_from(["flip", "cut", "zero", "remove", "noise"]))
        start = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "remove":
            del disk.names[path]
        elif kind == "cut":
            del content[start:]
        elif kind == "zero":
            content[start : start + 64] = bytes(len(content[start : start + 64]))
        elif kind == "noise":
            content[start:start] = data.draw(st.binary(min_size=1, max_size=40))
        elif content:
            content[start] ^= data.draw(st.integers(1, 255))
    delivered, _ = after(disk)
    assert set(delivered) <= set(range(WRITTEN))


def test_text_made_to_look_like_a_record_is_not_taken_for_one_after_damage() -> None:
    disk = ModelDisk()
    with Writer(NOWHERE, disk=disk) as writer:
        writer.append_encoded([], [b"x" * 40], b"")
        path = next(path for path in disk.names if path.startswith("events/"))
        # All that can be known from outside: the form of a record, not the salt and the magic of the segment.
        fake = bytes(disk.names[path].seen).replace(b"x" * 40, b"forged!!" * 5)
    other = ModelDisk()
    with Writer(NOWHERE, disk=other) as writer:
        writer.append_encoded([], [fake, b"true"], b"")
        path = next(path for path in other.names if path.startswith("events/"))
        place = bytes(other.names[path].seen).index(fake) - 10
        other.names[path].seen[place] ^= 0xFF
        with Reader(NOWHERE, disk=other) as reader:
            portion = reader.take(10, 10_000)
            assert portion is not None
            assert [item.raw for item in portion.items] == [b"true"]

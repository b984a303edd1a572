"""Following a file through rotation, truncation and restarts: nothing lost, nothing twice."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.suricata.tail import CHUNK, GAP, LINE_MAX, LONG_LINE, NULS, OPEN_LINE, TRUNCATED, Tail

#: Calls that may nest in a test with the fixture ``shallow``.
DEPTH = 60


def drain(tail: Tail, *, final: bool = False) -> list[bytes]:
    """All lines at hand."""
    found = []
    while lines := tail.lines(final=final):
        found += lines
    return found


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def rotate(path: Path, name: str) -> Path:
    """Rename as logrotate does, a clock's tick after the last write."""
    old = path.with_name(name)
    path.rename(old)
    return old


@pytest.fixture
def eve(tmp_path: Path) -> Path:
    return tmp_path / "eve.json"


@pytest.fixture
def shallow() -> Iterator[None]:
    """Let calls nest no deeper than DEPTH, so that a file needs no hundreds of megabytes to show that they do."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def test_lines_come_as_they_are_written(eve: Path) -> None:
    tail = Tail(eve)
    assert drain(tail) == []
    append(eve, b"een", b"twee")
    assert drain(tail) == [b"een", b"twee"]
    append(eve, b"drie")
    assert drain(tail) == [b"drie"]


def test_half_a_line_waits_for_its_end(eve: Path) -> None:
    tail = Tail(eve)
    eve.write_bytes(b"een\ntw")
    assert drain(tail) == [b"een"]
    mark = tail.mark()
    with eve.open("ab") as file:
        file.write(b"ee\n")
    assert drain(tail) == [b"twee"]
    assert drain(Tail(eve, mark)) == [b"twee"]


def test_at_the_end_of_all_the_last_line_needs_no_line_feed(eve: Path) -> None:
    eve.write_bytes(b"een\ntwee")
    assert drain(Tail(eve), final=True) == [b"een", b"twee"]


def test_without_a_mark_an_attached_reader_begins_with_the_next_whole_line(eve: Path) -> None:
    eve.write_bytes(b"oud\n" * 100_000 + b"hal")
    tail = Tail(eve, from_start=False)
    append(eve, b"f", b"nieuw")
    assert drain(tail) == [b"half", b"nieuw"]


def test_a_mark_goes_on_after_the_lines_given(eve: Path) -> None:
    append(eve, b"een", b"twee")
    tail = Tail(eve)
    drain(tail)
    append(eve, b"drie")
    assert drain(Tail(eve, tail.mark())) == [b"drie"]
    tail.close()
    assert drain(Tail(eve, tail.mark())) == [b"drie"]


def test_before_there_is_a_file_there_is_no_mark(eve: Path) -> None:
    assert Tail(eve).mark() == b""


@pytest.mark.parametrize("mark", [b"x", b"1:2", b"a:b:c:d", b"\xff:1:1:1", b"1:2:3:4:5"])
def test_bytes_that_are_no_place_are_refused(eve: Path, mark: bytes) -> None:
    with pytest.raises(SourceError, match="no place in an EVE file"):
        Tail(eve, mark)


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(eve: Path) -> None:
    tail = Tail(eve)
    append(eve, b"een")
    assert drain(tail) == [b"een"]
    old = rotate(eve, "eve.json.1")
    append(old, b"twee")
    eve.touch()
    assert drain(tail) == [b"twee"]
    append(old, b"drie")  # the writer has not opened the new file yet
    append(eve, b"vier")
    assert drain(tail) == [b"drie", b"vier"]
    assert not tail.faults


def test_several_rotations_while_nobody_read_are_all_read_oldest_first(eve: Path) -> None:
    tail = Tail(eve)
    append(eve, b"een")
    drain(tail)
    mark = tail.mark()
    append(eve, b"twee")
    for number, name in enumerate(("eve.json-20261122", "eve.json-20261123", "eve.json-20261124")):
        rotate(eve, name)
        append(eve, b"na %d" % number)
    resumed = Tail(eve, mark)
    assert drain(resumed) == [b"twee", b"na 0", b"na 1", b"na 2"]
    assert not resumed.faults


def test_numbered_rotation_as_of_logrotate_keeps_its_order(eve: Path) -> None:
    append(eve, b"een")
    tail = Tail(eve)
    drain(tail)
    for number in range(2, 6):
        for old in range(8, 0, -1):
            path = eve.with_name(f"eve.json.{old}")
            if path.exists():
                path.rename(eve.with_name(f"eve.json.{old + 1}"))
        rotate(eve, "eve.json.1")
        append(eve, b"%d" % number)
    assert drain(tail) == [b"2", b"3", b"4", b"5"]
    assert not tail.faults


def test_compressed_and_foreign_files_are_not_read(eve: Path) -> None:
    append(eve, b"een")
    tail = Tail(eve)
    drain(tail)
    rotate(eve, "eve.json.1")
    for name in ("eve.json.2.gz", "eve.json.3.zst", "eve.jsonx", "neve.json.1"):
        eve.with_name(name).write_bytes(b"niet dit\n")
    append(eve, b"twee")
    assert drain(tail) == [b"twee"]


def test_half_a_line_at_the_end_of_a_rotated_file_is_counted(eve: Path) -> None:
    eve.write_bytes(b"een\nhal")
    tail = Tail(eve)
    drain(tail)
    rotate(eve, "eve.json.1")
    append(eve, b"twee")
    assert drain(tail) == [b"twee"]
    assert tail.faults == {OPEN_LINE: 1}


class Raced(Tail):
    """A tail whose file is rotated and begun anew at the worst moment: when it has just looked at the names."""

    written = 0

    def _rotated(self, *, since: int = 0) -> list[tuple[os.stat_result, Path]]:
        found = super()._rotated(since=since)
        if self.written < 8:
            time.sleep(0.005)  # the clock of the file system ticks every few milliseconds
            if self.path.exists():
                rotate(self.path, f"eve.json.{self.written:03d}")
            append(self.path, b"%d" % self.written)
            self.written += 1
        return found


@pytest.mark.parametrize("begun", [False, True])
def test_a_rotation_between_looking_and_opening_loses_nothing(eve: Path, begun: bool) -> None:
    if begun:
        append(eve, b"een")
    tail = Raced(eve)
    found = []
    for _ in range(20):
        found += drain(tail)
    assert found == [b"een"] * begun + [b"%d" % number for number in range(8)]
    assert not tail.faults


def test_a_copied_and_truncated_file_is_finished_from_its_copy(eve: Path) -> None:
    append(eve, b"een", b"twee")
    tail = Tail(eve)
    assert len(drain(tail)) == 2
    append(eve, b"drie")
    shutil.copyfile(eve, eve.with_name("eve.json.1"))
    os.truncate(eve, 0)
    append(eve, b"vier")
    assert drain(tail) == [b"drie", b"vier"]
    assert not tail.faults


def test_a_truncated_file_that_grew_beyond_the_place_is_noticed(eve: Path) -> None:
    append(eve, b"een")
    tail = Tail(eve)
    drain(tail)
    mark = tail.mark()
    shutil.copyfile(eve, eve.with_name("eve.json.1"))
    os.truncate(eve, 0)
    append(eve, b"een heel andere en veel langere regel", b"nog een")
    assert drain(tail) == [b"een heel andere en veel langere regel", b"nog een"]
    assert drain(Tail(eve, mark)) == [b"een heel andere en veel langere regel", b"nog een"]
    assert not tail.faults


def test_truncation_without_a_copy_is_counted(eve: Path) -> None:
    append(eve, b"een")
    tail = Tail(eve)
    drain(tail)
    os.truncate(eve, 0)
    append(eve, b"x")
    assert drain(tail) == [b"x"]
    assert tail.faults == {TRUNCATED: 1}


def test_a_mark_whose_file_is_gone_is_a_gap_and_what_is_left_is_read(eve: Path) -> None:
    append(eve, b"oud")
    rotate(eve, "eve.json.2")
    append(eve, b"een")
    tail = Tail(eve)
    drain(tail)
    mark = tail.mark()
    tail.close()
    rotate(eve, "eve.json.1").unlink()
    time.sleep(0.02)  # the clock of the file system ticks every few milliseconds
    append(eve, b"twee")
    resumed = Tail(eve, mark)
    assert resumed.faults == {GAP: 1}
    assert drain(resumed) == [b"twee"]


def test_a_file_of_the_same_inode_and_other_content_is_not_taken_for_the_old_one(eve: Path) -> None:
    append(eve, b"een", b"twee")
    tail = Tail(eve)
    drain(tail)
    mark = tail.mark()
    os.truncate(eve, 0)
    append(eve, b"een andere", b"vierde", b"vijfde")
    resumed = Tail(eve, mark)
    assert drain(resumed) == [b"een andere", b"vierde", b"vijfde"]
    assert resumed.faults == {GAP: 1}


@pytest.mark.parametrize("size", [LINE_MAX + 1, 3 * LINE_MAX + 7])
def test_a_line_of_more_than_a_megabyte_is_passed_over(eve: Path, size: int) -> None:
    eve.write_bytes(b"een\n" + b"x" * size + b"\ntwee\n")
    tail = Tail(eve)
    assert drain(tail) == [b"een", b"twee"]
    assert tail.faults == {LONG_LINE: 1}


def test_a_line_of_just_a_megabyte_is_given(eve: Path) -> None:
    eve.write_bytes(b"x" * LINE_MAX + b"\n")
    assert [len(line) for line in drain(Tail(eve))] == [LINE_MAX]


def test_a_mark_inside_a_long_line_passes_it_over_again(eve: Path) -> None:
    eve.write_bytes(b"een\n" + b"x" * (2 * LINE_MAX))
    tail = Tail(eve)
    assert drain(tail) == [b"een"]
    with eve.open("ab") as file:
        file.write(b"\ntwee\n")
    assert drain(Tail(eve, tail.mark())) == [b"twee"]


@pytest.mark.parametrize(
    ("filler", "faults"), [(b"\n", {}), (b"x", {LONG_LINE: 1}), (b"\0", {NULS: 1})], ids=["blank", "endless", "NUL"]
)
@pytest.mark.usefixtures("shallow")
def test_any_amount_without_a_line_is_read_over(eve: Path, filler: bytes, faults: dict[str, int]) -> None:
    pieces = max(2 * DEPTH, 3 * LINE_MAX // CHUNK)
    with eve.open("wb") as file:
        if filler == b"\0":
            file.truncate(pieces * CHUNK)  # a hole, as a writer that does not append leaves it
            file.seek(0, os.SEEK_END)
        else:
            for _ in range(pieces):
                file.write(filler * CHUNK)
        file.write(b"\neen\n")
    tail = Tail(eve)
    # What is left of a hole is a line of less than LINE_MAX; the reader of records sets it aside.
    assert [line for line in drain(tail) if line.strip(b"\0")] == [b"een"]
    assert tail.faults == faults


@pytest.mark.usefixtures("shallow")
def test_any_number_of_rotated_files_without_a_line_is_read_over(eve: Path) -> None:
    tail = Tail(eve)
    append(eve, b"een")
    drain(tail)
    for number in range(2 * DEPTH):
        rotate(eve, f"eve.json.{number:05d}").touch()
        eve.write_bytes(b"\n")
    append(eve, b"twee")
    assert drain(tail) == [b"twee"]


def test_the_record_right_behind_a_hole_is_given(eve: Path) -> None:
    eve.write_bytes(bytes(3 * LINE_MAX) + b"een\ntwee\n")
    tail = Tail(eve)
    lines = drain(tail)
    assert [line.lstrip(b"\0") for line in lines] == [b"een", b"twee"]
    assert tail.faults == {NULS: 1}


def test_one_call_reads_a_bounded_piece(eve: Path) -> None:
    eve.write_bytes(b"regel\n" * 200_000)
    tail = Tail(eve)
    assert sum(len(line) + 1 for line in tail.lines()) <= CHUNK
    assert len(drain(tail)) > 100_000


def test_a_file_that_cannot_be_read_is_named(eve: Path) -> None:
    eve.mkdir()
    tail = Tail(eve)
    with pytest.raises((SourceError, IsADirectoryError)):
        tail.lines()


def test_a_reader_killed_at_random_loses_nothing_and_repeats_nothing(eve: Path, tmp_path: Path) -> None:
    """A process that keeps lines and mark in one atomic rename, as the spool does, killed while it reads."""
    program = """
import os, sys
from pathlib import Path
from schoolwacht_agent.sources.suricata.tail import Tail
eve, kept = Path(sys.argv[1]), Path(sys.argv[2])
mark, lines = kept.read_bytes().split(b"\\n", 1) if kept.exists() else (b"", b"")
tail = Tail(eve, mark)
print("klaar", flush=True)
while True:
    new = tail.lines()[:]
    if new:
        lines += b"".join(line + b"\\n" for line in new)
        part = kept.with_suffix(".part")
        part.write_bytes(tail.mark() + b"\\n" + lines)
        part.rename(kept)
"""
    kept = tmp_path / "kept"
    written = 0
    for round_ in range(6):
        reader = subprocess.Popen([sys.executable, "-c", program, eve, kept], stdout=subprocess.PIPE)
        assert reader.stdout is not None
        reader.stdout.readline()
        for _ in range(20):
            append(eve, *(b"regel %d" % (written + number) for number in range(50)))
            written += 50
            if written % 300 == 0:
                rotate(eve, f"eve.json.{written:09d}")
        time.sleep(0.01 * round_)
        until = time.monotonic() + 20
        while not kept.exists() and time.monotonic() < until:
            time.sleep(0.01)  # a busy machine
        reader.send_signal(signal.SIGKILL)
        reader.wait()
        reader.stdout.close()
    mark, lines = kept.read_bytes().split(b"\n", 1)
    rest = drain(Tail(eve, mark))
    assert lines.splitlines() + rest == [b"regel %d" % number for number in range(written)]


class Rotation(RuleBasedStateMachine):
    """Any order of writing, rotating, reading, and starting again from the last mark: each line once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="schoolwacht-tail-"))
        self.eve = self.directory / "eve.json"
        self.tail = Tail(self.eve)
        self.written: list[bytes] = []
        self.read: list[bytes] = []
        self.rotations = 0
        self.open = b""

    def teardown(self) -> None:
        self.read += drain(self.tail)
        try:
            assert self.read == self.written
            assert not self.tail.faults
        finally:
            self.tail.close()
            shutil.rmtree(self.directory)

    @rule(lengths=st.lists(st.integers(0, 400), min_size=1, max_size=5))
    def write(self, lengths: list[int]) -> None:
        for length in lengths:
            line = b"%d %s" % (len(self.written), b"x" * length)
            with self.eve.open("ab") as file:
                file.write(line[len(self.open) :] + b"\n" if self.open else line + b"\n")
            self.open = b""
            self.written.append(line)

    @precondition(lambda self: not self.open)
    @rule()
    def write_half(self) -> None:
        self.open = b"%d " % len(self.written)
        with self.eve.open("ab") as file:
            file.write(self.open)

    @precondition(lambda self: not self.open and self.eve.exists())
    @rule()
    def rename(self) -> None:
        self.rotations += 1
        self.eve.rename(self.eve.with_name(f"eve.json.{self.rotations:06d}"))

    @precondition(lambda self: not self.open and self.eve.exists() and self.eve.stat().st_size)
    @rule()
    def copy_and_truncate(self) -> None:
        # As logrotate runs it: the reader was there since the last time, or starts from a mark in this very file.
        self.read += drain(self.tail)
        self.rotations += 1
        shutil.copyfile(self.eve, self.eve.with_name(f"eve.json.{self.rotations:06d}"))
        os.truncate(self.eve, 0)

    @rule()
    def read_some(self) -> None:
        self.read += self.tail.lines()

    @rule()
    def start_again(self) -> None:
        mark = self.tail.mark()
        self.tail.close()
        self.tail = Tail(self.eve, mark)

    @invariant()
    def what_was_read_is_what_was_written_first(self) -> None:
        assert self.written[: len(self.read)] == self.read


Rotation.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRotation = Rotation.TestCase

from __future__ import annotations

import base64
import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from schoolwacht.errors import StoreError
from schoolwacht_collector.dead_letters import DeadLetters, Letter
from tests.schoolwacht_collector.serving import EPOCH, NOW


def letter(sequence: int = 1, *, day: int = 0, raw: bytes = b"\x81\xa1x\x01") -> Letter:
    return Letter(NOW + timedelta(days=day), "gateway-1", EPOCH, sequence, "source.ip: no IP address", raw)


def open_log(directory: Path, *, daily_bytes: int = 1 << 20, days: int = 30) -> DeadLetters:
    return DeadLetters(directory / "dead-letters", daily_bytes=daily_bytes, days=days)


async def test_a_letter_holds_reason_place_and_bytes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    await log.keep([letter(1), letter(2)])
    path = tmp_path / "dead-letters" / "2026-03-02.jsonl"
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["agent"], first["epoch"], first["sequence"]) == ("gateway-1", EPOCH, 1)
    assert first["reason"] == "source.ip: no IP address"
    assert base64.b64decode(first["event"]) == b"\x81\xa1x\x01"
    assert second["sequence"] == 2
    assert log.kept == 2


async def test_letters_are_for_the_collector_alone(tmp_path: Path) -> None:
    await open_log(tmp_path).keep([letter()])
    directory = tmp_path / "dead-letters"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()] == [0o600]


async def test_each_day_has_its_file_and_old_ones_go(tmp_path: Path) -> None:
    log = open_log(tmp_path, days=2)
    for day in range(5):
        await log.keep([letter(day=day)])
    names = sorted(path.name for path in (tmp_path / "dead-letters").iterdir())
    assert names == ["2026-03-04.jsonl", "2026-03-05.jsonl", "2026-03-06.jsonl"]


async def test_what_is_no_log_of_ours_stays(tmp_path: Path) -> None:
    directory = tmp_path / "dead-letters"
    directory.mkdir()
    (directory / "2000-99-99.jsonl").write_text("")
    (directory / "notes.txt").write_text("")
    await open_log(tmp_path).keep([letter()])
    assert {path.name for path in directory.iterdir()} == {"2000-99-99.jsonl", "notes.txt", "2026-03-02.jsonl"}


async def test_beyond_the_daily_bytes_letters_are_counted_and_not_kept(tmp_path: Path) -> None:
    log = open_log(tmp_path, daily_bytes=1000)
    await log.keep([letter(number, raw=b"x" * 300) for number in range(5)])
    await log.keep([letter(9)])
    size = (tmp_path / "dead-letters" / "2026-03-02.jsonl").stat().st_size
    assert size <= 1000
    assert log.kept + log.dropped == 6
    assert log.dropped >= 3


async def test_a_disk_that_does_not_take_them_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dead-letters").write_text("a file where the directory should be")
    with pytest.raises(StoreError, match="dead letters cannot be written"):
        await open_log(tmp_path).keep([letter()])


async def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    full = Path("/dev/full")
    directory = tmp_path / "dead-letters"
    directory.mkdir()
    (directory / "2026-03-02.jsonl").symlink_to(full)
    with pytest.raises(StoreError):
        await open_log(tmp_path).keep([letter()])

"""The file of indicators: replaced whole, and not by a set that is suspiciously small."""

from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import IndicatorLines, IndicatorType, Known, encode_set, read_set
from schoolwacht_agent.indicators.keep import confirm, current, path_of, put, refused_of


def made(number: int) -> IndicatorLines:
    known = (Known(IndicatorType.DOMAIN, f"evil{place}.example") for place in range(number))
    return read_set(encode_set(known).raw, path="set")


def test_a_set_is_put_in_use_once(tmp_path: Path) -> None:
    assert put(tmp_path, made(10))
    assert not put(tmp_path, made(10))
    used = current(tmp_path)
    assert used is not None
    assert (used.number, used.version) == (10, made(10).version)


def test_less_than_half_is_refused_and_kept_aside(tmp_path: Path) -> None:
    put(tmp_path, made(100))
    with pytest.raises(IndicatorError, match=r"holds 49 indicators, less than half of the 100 in use"):
        put(tmp_path, made(49))
    assert getattr(current(tmp_path), "number", 0) == 100
    assert put(tmp_path, made(50))


def test_a_person_can_confirm_what_was_refused(tmp_path: Path) -> None:
    put(tmp_path, made(100))
    with pytest.raises(IndicatorError):
        put(tmp_path, made(3))
    assert confirm(tmp_path).number == 3
    assert getattr(current(tmp_path), "number", 0) == 3
    with pytest.raises(IndicatorError):
        confirm(tmp_path)


def test_what_was_refused_is_forgotten_when_a_good_set_comes(tmp_path: Path) -> None:
    put(tmp_path, made(100))
    with pytest.raises(IndicatorError):
        put(tmp_path, made(0))
    put(tmp_path, made(101))
    assert not refused_of(tmp_path).exists()


def test_a_small_set_can_be_meant(tmp_path: Path) -> None:
    put(tmp_path, made(100))
    assert put(tmp_path, made(1), confirmed=True)


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    path_of(tmp_path).write_bytes(b"iets anders")
    assert current(tmp_path) is None
    assert put(tmp_path, made(1))


def test_others_cannot_read_it_and_nothing_is_left_behind(tmp_path: Path) -> None:
    put(tmp_path, made(1))
    assert path_of(tmp_path).stat().st_mode & 0o007 == 0
    assert {path.name for path in tmp_path.iterdir()} == {"indicators", "indicators.lock"}

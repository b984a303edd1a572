from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_agent.minimise.keys import Keys, new_key, open_keys, read, write
from schoolwacht_agent.minimise.period import Period
from tests.schoolwacht_agent.minimise.made import KEY, NOW, keys


def later(months: int) -> datetime:
    return datetime(NOW.year + (NOW.month - 1 + months) // 12, (NOW.month - 1 + months) % 12 + 1, 15, tzinfo=UTC)


def test_each_period_has_its_own_key() -> None:
    held = keys()
    epochs = [held.of(later(months)) for months in (-1, 0, 1)]
    assert [epoch.name for epoch in epochs] == ["202610", "202611", "202612"]
    assert len({epoch.key for epoch in epochs}) == 3


def test_agents_that_start_from_one_file_agree_whenever_they_start() -> None:
    early, late = Keys(KEY, clock=lambda: NOW), Keys(KEY, clock=lambda: later(5))
    assert late.of(later(5)).key == Keys(KEY, clock=lambda: later(4)).of(later(5)).key
    assert early.of(NOW).key != late.of(later(5)).key


def test_what_is_older_than_the_oldest_key_gets_its_pseudonyms() -> None:
    assert keys().of(datetime(2015, 3, 1, tzinfo=UTC)).name == "202610"


def test_a_clock_from_the_future_gets_no_further_than_the_next_period() -> None:
    assert keys().of(datetime(2099, 1, 1, tzinfo=UTC)).name == "202612"


def test_the_key_of_a_past_period_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "board.key"
    write(path, KEY)
    Keys(read(path), path, clock=lambda: later(3))
    kept = read(path)
    assert kept.number == KEY.number + 3
    assert KEY.key not in path.read_text()
    # The way back does not exist: no period before the one kept can be had from the file.
    assert Keys(kept, clock=lambda: later(3)).of(NOW).name == "202701"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.key"
    write(path, KEY)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"period": "month", "number": 1, "key": "00"}'])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "board.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"board\.key.*no key file"):
        read(path)


def test_without_a_configured_file_the_agent_makes_one_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "state" / "board.key"
    first = open_keys(path, Period.MONTH, make=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_keys(path, Period.MONTH, make=True).of(NOW).key == first.of(NOW).key


def test_a_configured_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key create"):
        open_keys(tmp_path / "board.key", Period.MONTH, make=False)


def test_another_period_than_the_files_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "board.key", new_key(Period.YEAR, NOW))
    with pytest.raises(ConfigError, match=r"minimise\.period"):
        open_keys(tmp_path / "board.key", Period.MONTH, make=False)


def test_an_epoch_holds_until_the_next_begins() -> None:
    held = keys()
    epoch = held.of(NOW)
    assert epoch.since <= NOW < epoch.until
    assert held.of(epoch.until).name != epoch.name
    assert held.of(epoch.until - timedelta(microseconds=1)).name == epoch.name

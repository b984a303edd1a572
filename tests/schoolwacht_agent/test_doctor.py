from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht_agent import config
from schoolwacht_agent.doctor import Level, check_privacy
from schoolwacht_agent.minimise import keys
from schoolwacht_agent.minimise.period import Period
from tests.schoolwacht_agent.minimise.made import NOW


def privacy(tmp_path: Path, table: str = "") -> tuple[Level, str, str]:
    path = tmp_path / "agent.toml"
    path.write_text(f'[agent]\nname = "gw"\nstate = "{tmp_path}"\n[minimise]\n{table}')
    found = check_privacy(config.load(path))
    return found.level, found.text, found.remedy


def test_with_a_key_of_the_board_privacy_is_fine(tmp_path: Path) -> None:
    keys.write(tmp_path / "board.key", keys.new_key(Period.MONTH, NOW, register=bytes(32)))
    before = (tmp_path / "board.key").read_bytes()
    assert privacy(tmp_path) == (Level.FINE, "what leaves is minimised, to summary where no zone says another", "")
    assert (tmp_path / "board.key").read_bytes() == before


@pytest.mark.parametrize("made", [False, True])
def test_where_nothing_can_be_unmasked_it_says_so_and_what_to_do(tmp_path: Path, *, made: bool) -> None:
    if made:
        keys.write(tmp_path / "board.key", keys.new_key(Period.MONTH, NOW))
    level, _, remedy = privacy(tmp_path)
    assert level is Level.WARNING
    assert "key create" in remedy


def test_a_key_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    level, text, _ = privacy(tmp_path, f'key_file = "{tmp_path / "other.key"}"')
    assert level is Level.FAULT
    assert "other.key" in text


def test_minimise_that_is_off_is_worth_a_warning(tmp_path: Path) -> None:
    assert privacy(tmp_path, "enabled = false")[0] is Level.WARNING

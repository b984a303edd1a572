"""The demo's manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_console.demo.scenario import load, visitor
from tests.parts import CAPTURES

GOOD = """
indicators = ["bad.csv"]
[[board]]
id = "41001"
name = "Stichting Voorbeeld"
[[school]]
location = "00AA00"
name = "De Vuurtoren"
board = "41001"
home = ["10.21.0.0/16"]
captures = ["one.pcap"]
"""


def write(directory: Path, text: str) -> Path:
    (directory / "demo.toml").write_text(text, encoding="utf-8")
    (directory / "one.pcap").write_bytes(b"")
    (directory / "bad.csv").write_bytes(b"")
    return directory


def test_a_manifest_gives_schools_with_their_boards_and_captures(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, GOOD))
    (player,) = scenario.players
    assert player.agent == "school-00aa00"
    assert player.board_name == "Stichting Voorbeeld"
    assert player.captures == (tmp_path / "one.pcap",)
    assert scenario.indicators == (tmp_path / "bad.csv",)


@pytest.mark.parametrize(
    ("wrong", "right", "place", "message"),
    [
        ("one.pcap", "two.pcap", "captures", "two.pcap is not there"),
        ('board = "41001"', 'board = "9"', "board", "no [[board]] has the id '9'"),
        ("10.21.0.0/16", "10.21.0.1/16", "home", "host bits set"),
        ("00AA00", "AA", "location", "regex"),
        ("captures", "capture", "capture", "unknown setting"),
    ],
)
def test_a_fault_names_the_manifest_and_the_setting(
    tmp_path: Path, wrong: str, right: str, place: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, GOOD.replace(wrong, right)))
    assert caught.value.path == str(tmp_path / "demo.toml")
    assert place in str(caught.value.field)
    assert message in caught.value.message


def test_a_location_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="occurs twice"):
        load(write(tmp_path, GOOD + GOOD[GOOD.index("[[school]]") :]))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"demo\.toml.*cannot be read"):
        load(tmp_path)


def test_the_users_capture_is_a_school_with_private_home_networks(tmp_path: Path) -> None:
    player = visitor(tmp_path / "mine.pcap")
    assert "10.0.0.0/8" in player.home
    assert "mine.pcap" in player.name


def test_our_own_manifest_has_three_schools_of_two_boards() -> None:
    scenario = load(CAPTURES)
    assert len({player.location for player in scenario.players}) == 3
    assert len({player.board for player in scenario.players}) == 2
    assert scenario.indicators

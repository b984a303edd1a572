from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_collector.records import School
from schoolwacht_collector.register import read


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "schools.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_a_location_with_its_board(tmp_path: Path) -> None:
    text = 'location,board,name,sector,region\n00AB00,12345,"Horizon, De",po,Utrecht\n# closed\n\n11CD01,23456,,,\n'
    assert read(file(tmp_path, text)) == [
        School(location="00AB00", board="12345", name="Horizon, De", sector="po", region="Utrecht"),
        School(location="11CD01", board="23456"),
    ]


def test_a_spreadsheets_file_is_taken(tmp_path: Path) -> None:
    assert read(file(tmp_path, "\ufeffBoard;Location\r\n12345;00AB00\r\n")) == [
        School(location="00AB00", board="12345")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"schools\.csv: is empty"),
        ("location,board\n", "names no school"),
        ("location\n00AB00\n", r"schools\.csv:1: the first line"),
        ("location,board,town\n", r"schools\.csv:1: the first line"),
        ("location,board\n00AB00,1\n11CD01\n", r"schools\.csv:3: has 1 columns"),
        ("location,board\n00AB00,\n", r"schools\.csv:2: board: is required"),
        ('location,board\n00AB00,"1\n', r"schools\.csv:2: no CSV"),
    ],
)
def test_a_line_at_fault_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv: cannot be read"):
        read(tmp_path / "none.csv")

from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht_agent.direction import number_of
from schoolwacht_agent.health import Condition
from schoolwacht_agent.standpoint.follow import Mapping


def write(path: Path, schools: int, first: int = 0) -> None:
    """One VLAN each for some schools. A new file each time, as an editor or rsync makes it."""
    text = "vlan,school\n" + "".join(f"{n + 1},{n:02d}AB00\n" for n in range(first, first + schools))
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.replace(path)


def settle(mapping: Mapping) -> list[Condition]:
    return [finding.condition for _ in range(2) for finding in mapping.look()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "schools.csv"
    write(made, 10)
    return made


def test_a_changed_file_is_taken_in_when_it_holds_still(path: Path) -> None:
    mapping = Mapping(path)
    assert (mapping.look(), mapping.table.size) == ([], 10)
    write(path, 20)
    mapping.look()
    assert mapping.table.size == 10
    mapping.look()
    assert (mapping.table.size, mapping.schools, mapping.troubles()) == (20, 20, [])


def test_being_asked_reads_at_once(path: Path) -> None:
    mapping = Mapping(path)
    write(path, 12)
    mapping.ask()
    assert mapping.look() == []
    assert mapping.table.size == 12


@pytest.mark.parametrize("text", ["", "vlan,school\n1,00AB00\n2,oops\n"])
def test_a_broken_file_is_refused_once_and_stays_a_trouble_until_it_is_right(path: Path, text: str) -> None:
    mapping = Mapping(path)
    path.write_text(text)
    assert settle(mapping) == [Condition.MAPPING]
    assert settle(mapping) == []
    (trouble,) = mapping.troubles()
    assert "schools.csv" in trouble.text
    assert "going on with the old one of 10 lines" in trouble.text
    assert mapping.table.size == 10
    write(path, 9)
    assert settle(mapping) == []
    assert (mapping.troubles(), mapping.table.size) == ([], 9)


def test_a_file_that_is_gone_is_refused(path: Path) -> None:
    mapping = Mapping(path)
    path.unlink()
    assert settle(mapping) == [Condition.MAPPING]
    assert mapping.table.size == 10


def test_less_than_half_is_refused_and_half_is_taken(path: Path, tmp_path: Path) -> None:
    mapping = Mapping(path, tmp_path / "state" / "mapping.csv")
    write(path, 4)
    assert settle(mapping) == [Condition.MAPPING]
    assert "less than half of the 10" in mapping.troubles()[0].text
    assert mapping.troubles()[0].value == 10
    write(path, 5)
    assert settle(mapping) == []
    assert mapping.table.size == 5


def test_a_restart_with_a_broken_file_goes_on_with_the_last_good_one(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "state" / "standpoint" / "mapping.csv"
    Mapping(path, kept)
    path.write_text("vlan,school\nnonsense\n")
    again = Mapping(path, kept)
    assert again.table.size == 10
    assert "last good one" in again.troubles()[0].text
    write(path, 2)
    small = Mapping(path, kept)
    assert small.table.size == 10
    assert str(kept) in small.troubles()[0].text
    kept.unlink()
    assert Mapping(path, kept).table.size == 2


def test_without_any_good_mapping_there_is_no_start(path: Path, tmp_path: Path) -> None:
    path.write_text("vlan,school\nnonsense\n")
    with pytest.raises(ConfigError, match=r"schools\.csv:2"):
        Mapping(path, tmp_path / "mapping.csv")


def test_what_is_in_use_is_what_the_file_says(path: Path) -> None:
    mapping = Mapping(path)
    write(path, 10, first=20)
    settle(mapping)
    assert mapping.table.find(number_of("10.0.0.1"), "1") is None
    found = mapping.table.find(number_of("10.0.0.1"), "21")
    assert found is not None
    assert found.place.school == "20AB00"

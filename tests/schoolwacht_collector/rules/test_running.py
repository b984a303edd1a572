from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.rules.settings import RuleSettings
from tests.schoolwacht_collector.rules.test_shipped import RULES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sigma"
    made.mkdir()
    for name in ("d07-exposed-service.yml", "d14-smb1.yml", "d15-old-tls.yml"):
        shutil.copy(RULES / "sigma" / name, made)
    return made


async def loaded(folder: Path) -> Rules:
    rules = Rules(RuleSettings(directory=str(folder)))
    await rules.load()
    return rules


async def test_the_projects_own_rules_are_the_default() -> None:
    rules = Rules(RuleSettings())
    await rules.load()
    assert rules.faults == []
    assert rules.current.size > 20


async def test_a_change_in_the_folder_gives_a_new_set_and_the_old_one_goes_on_working(folder: Path) -> None:
    rules = await loaded(folder)
    before = rules.current
    shutil.copy(RULES / "sigma" / "d26-executable-from-address.yml", folder)
    await rules.load()
    assert rules.current is not before
    assert (before.size, rules.current.size) == (3, 4)


async def test_nothing_is_read_again_while_nothing_changes(folder: Path) -> None:
    rules = await loaded(folder)
    before = rules.current
    await rules.load()
    assert rules.current is before


async def test_a_faulty_file_is_told_and_the_others_match(folder: Path) -> None:
    (folder / "bad.yml").write_text("title: x\ndetection: {}\n")
    rules = await loaded(folder)
    assert rules.current.size == 3
    assert all(each.path == str(folder / "bad.yml") for each in rules.faults)
    assert rules.states()["rules_faulty"] == len(rules.faults) > 0


async def test_a_folder_that_is_suddenly_half_empty_changes_nothing(folder: Path) -> None:
    rules = await loaded(folder)
    for path in sorted(folder.iterdir())[:2]:
        path.unlink()
    await rules.load()
    assert rules.current.size == 3
    assert "less than half" in str(rules.faults[0])


async def test_a_folder_that_is_gone_changes_nothing(folder: Path) -> None:
    rules = await loaded(folder)
    shutil.rmtree(folder)
    await rules.load()
    assert rules.current.size == 3
    assert str(folder) in str(rules.faults[0])

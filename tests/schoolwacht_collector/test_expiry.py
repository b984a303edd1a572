"""The leader deletes what has had its time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht.event import Dataset
from schoolwacht_collector import config
from schoolwacht_collector.cli import main
from schoolwacht_collector.expiry import Expiry, RetentionSettings, first_days
from tests.schoolwacht_collector.index.stores import event, found, ids, memory, sqlite

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
TODAY = NOW.date()


def test_each_dataset_has_its_time() -> None:
    first = first_days(RetentionSettings(), TODAY)
    assert first.keys() == set(Dataset)
    assert first[Dataset.FLOW] == date(2026, 11, 10)
    assert first[Dataset.SUMMARY] == first[Dataset.SIGNAL] == first[Dataset.HEALTH] == TODAY - timedelta(days=90)


def test_what_is_kept_for_ever_has_none() -> None:
    assert Dataset.SIGNAL not in first_days(RetentionSettings(signals_days=0), TODAY)


async def test_a_look_deletes_what_is_due() -> None:
    async with memory() as store:
        await store.create(
            [
                event(1, "b", timestamp=NOW - timedelta(days=14)),
                event(2, "b", timestamp=NOW - timedelta(days=15)),
                event(3, "b", timestamp=NOW - timedelta(days=15), event_dataset=Dataset.SUMMARY),
            ]
        )
        expiry = Expiry(store, RetentionSettings(), now=lambda: NOW)
        assert await expiry.look(rehearse=True) == ["dns of 2026-11-09"]
        assert await expiry.look() == ["dns of 2026-11-09"]
        assert ids(await found(store)) == ["b-00001", "b-00003"]


def test_what_comes_late_must_not_expire_at_once(tmp_path: Path) -> None:
    file = tmp_path / "collector.toml"
    file.write_text("[retention]\nevents_days = 7\n")
    with pytest.raises(ConfigError, match=r"limits\.past_days: is 14, more than retention\.events_days"):
        config.load(file)


async def test_the_command_rehearses_and_deletes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "collector.toml"
    file.write_text(f'[collector]\nstate = "{tmp_path}"\n')
    old = datetime.now(UTC) - timedelta(days=200)
    async with sqlite(tmp_path / "store") as store:
        await store.create([event(1, "b", timestamp=old)])
    for words, deleted, number in ((["--dry-run"], False, 1), ([], True, 1), ([], True, 0)):
        assert await asyncio.to_thread(main, ["expire", "--json", "--config", str(file), *words]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["deleted"], len(answer["expired"])) == (deleted, number)
    assert not list(tmp_path.glob(f"store/events-{old:%Y-%m-%d}*"))

"""The account of a spool: all totals of one moment, and where they stood when its epoch began."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.account import Account, Totals, decode_account, encode_account
from schoolwacht.errors import WireError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_agent.spool import Reader, Writer, account

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def events(number: int, dataset: Dataset = Dataset.DNS) -> list[Event]:
    return [Event(NOW, dataset, dns_question_name=f"n{each}.example") for each in range(number)]


def keep(spool: Path, number: int, *, signals: int = 0) -> None:
    with Writer(spool) as writer:
        writer.append([*events(signals, Dataset.HEALTH), *events(number)], b"")


def deliver(spool: Path, most: int, verdict: Verdict = Verdict.DELIVERED) -> None:
    with Reader(spool) as reader:
        portion = reader.take(most, 1 << 20)
        assert portion is not None
        reader.settle(portion, [verdict] * len(portion.items))


def of(spool: Path) -> Account:
    found = account(spool)
    assert found is not None
    return found


def test_every_kept_event_is_waiting_sent_rejected_or_lost(tmp_path: Path) -> None:
    keep(tmp_path, 10, signals=2)
    deliver(tmp_path, 5)
    deliver(tmp_path, 3, Verdict.REJECTED)
    now = of(tmp_path).now
    assert now == Totals(kept=(2, 10), waiting=(0, 4), sent=5, rejected=3)
    assert sum(now.kept) == sum(now.waiting) + now.sent + now.rejected + now.lost


def test_a_new_spool_begins_at_nothing(tmp_path: Path) -> None:
    keep(tmp_path, 1)
    assert of(tmp_path).base == Totals()
    assert of(tmp_path).parent == ""


def test_a_restart_begins_no_new_account(tmp_path: Path) -> None:
    keep(tmp_path, 3)
    before = of(tmp_path)
    keep(tmp_path, 2)
    assert of(tmp_path).epoch == before.epoch
    assert of(tmp_path).now.kept == (0, 5)
    assert of(tmp_path).base == Totals()


def test_a_copy_that_is_put_back_says_of_what_and_where_it_began(tmp_path: Path) -> None:
    keep(tmp_path / "spool", 10)
    deliver(tmp_path / "spool", 4)
    first = of(tmp_path / "spool")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    keep(tmp_path / "copy", 1)
    second = of(tmp_path / "copy")
    assert second.epoch != first.epoch
    assert second.parent == first.epoch
    assert second.base == first.now == Totals(kept=(0, 10), waiting=(0, 6), sent=4)
    assert second.now.kept == (0, 11)


def test_what_cannot_be_kept_is_told_apart(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.append([Event(NOW, Dataset.DNS, message="\ud800"), *events(1)], b"")
    assert (of(tmp_path).now.unfit, of(tmp_path).now.kept) == (1, (0, 1))


def test_where_there_is_no_spool_there_is_no_account(tmp_path: Path) -> None:
    assert account(tmp_path) is None


def test_an_account_travels_as_text(tmp_path: Path) -> None:
    keep(tmp_path, 3)
    told = of(tmp_path)
    assert decode_account(encode_account(told)) == told


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"epoch":"","now":{}}', '{"epoch":"xyz","now":{}}', '{"epoch":"00","now":{"sent":-1}}',
     '{"epoch":"00","now":{"sent":9223372036854775808}}', '{"epoch":"00","now":{"kept":[1,2,3]}}', "[" * 2000],
)  # fmt: skip
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        decode_account(text)

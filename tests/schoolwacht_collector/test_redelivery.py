"""What was rejected is listed, repaired and brought back, once, under the id that it would have had."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schoolwacht.errors import ConfigError, StoreError, WireError
from schoolwacht.event import Dataset
from schoolwacht.match import IndicatorSet
from schoolwacht.wire import Verdict, encode_batch, encode_event
from schoolwacht_collector import redelivery
from schoolwacht_collector.cli import main
from schoolwacht_collector.dead_letters import Filed, Letter, read
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.stamp import Bounds
from tests.schoolwacht_collector.index.stores import memory
from tests.schoolwacht_collector.serving import EPOCH, NOW, SECRET, Served, flow, post, serving

ANY_AGE = Bounds(timedelta(minutes=5), None)
NOTHING = IndicatorSet.build(())


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with memory() as opened:
        yield opened


@pytest.fixture
async def served(store: Store, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(store, tmp_path) as running:
        yield running


def bad(**fields: Any) -> bytes:
    """A flow whose source is no address."""
    return msgspec.msgpack.encode(msgspec.msgpack.decode(encode_event(flow())) | {"source.ip": "printer-3"} | fields)


async def rejected(served: Served, tmp_path: Path, *raws: bytes) -> list[Filed]:
    """Send items of which all are rejected; the letters."""
    key = await served.enrolled()
    answer = await post(served.url, key, encode_batch(EPOCH, range(len(raws)), raws), items=len(raws))
    assert answer.reply is not None
    assert set(answer.reply.verdicts) == {Verdict.REJECTED}
    return list(read(tmp_path / "dead-letters"))


def letter_of(filed: Filed) -> Letter:
    assert filed.letter is not None
    return filed.letter


async def again(letter: Letter, store: Store) -> redelivery.Answer:
    return await redelivery.bring_back(
        letter, store=store, secret=SECRET, bounds=ANY_AGE, indicators=NOTHING, now=NOW + timedelta(days=3)
    )


async def test_a_letter_is_read_with_its_place(served: Served, tmp_path: Path) -> None:
    first, second = await rejected(served, tmp_path, bad(), bad())
    assert (first.place, second.place) == ("2026-03-02/1", "2026-03-02/2")
    assert redelivery.fields_of(letter_of(first))["source.ip"] == "printer-3"


async def test_a_letter_that_is_still_wrong_is_rejected_again_with_its_reason(served: Served, tmp_path: Path) -> None:
    (filed,) = await rejected(served, tmp_path, bad())
    answer = await again(letter_of(filed), served.store)
    assert answer.verdict is Verdict.REJECTED
    assert "source.ip" in answer.reason
    assert await served.rows() == []


async def test_a_repaired_letter_is_stored_once_under_the_id_it_would_have_had(served: Served, tmp_path: Path) -> None:
    (filed,) = await rejected(served, tmp_path, bad())
    letter = redelivery.repaired(letter_of(filed), {"source.ip": "10.0.0.7"})
    assert await again(letter, served.store) == (Verdict.DELIVERED, "")
    assert await again(letter, served.store) == (Verdict.DELIVERED, "")
    (row,) = await served.rows()
    assert (row["source.ip"], row["school.location"], row["observer.name"]) == ("10.0.0.7", "00AB00", "gateway-1")
    # The agent sends the same item, mended, itself.
    key = await served.enrolled("gateway-2")
    assert key
    other = letter_of(filed)
    assert (other.epoch, other.sequence) == (EPOCH, 0)
    assert len(await served.rows()) == 1


async def test_a_change_cannot_move_an_event_to_another_school(served: Served, tmp_path: Path) -> None:
    (filed,) = await rejected(served, tmp_path, bad())
    letter = redelivery.repaired(letter_of(filed), {"source.ip": "10.0.0.7", "school.location": "99ZZ00"})
    answer = await again(letter, served.store)
    assert answer.verdict is Verdict.REJECTED
    assert await served.rows() == []


async def test_an_old_letter_keeps_its_time(served: Served, tmp_path: Path) -> None:
    (filed,) = await rejected(served, tmp_path, bad())
    letter = redelivery.repaired(letter_of(filed), {"source.ip": "10.0.0.7"})
    await redelivery.bring_back(
        letter,
        store=served.store,
        secret=SECRET,
        bounds=Bounds(timedelta(minutes=5), timedelta(days=1)),
        indicators=NOTHING,
        now=NOW + timedelta(days=20),
    )
    (row,) = await served.rows()
    assert row["@timestamp"].startswith("2026-03-02T10:00:00")
    assert "tags" not in row


async def test_the_letter_of_an_agent_that_is_gone_stays(store: Store) -> None:
    answer = await again(Letter(NOW, "gone", EPOCH, 1, "", encode_event(flow())), store)
    assert answer == (Verdict.REJECTED, "there is no agent gone any more")


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x01", b"\x91" * 2000, b"\x81\xa1x"])
async def test_bytes_that_are_no_event_are_told(served: Served, raw: bytes) -> None:
    await served.enrolled()
    letter = Letter(NOW, "gateway-1", EPOCH, 1, "", raw)
    with pytest.raises(WireError):
        redelivery.fields_of(letter)
    assert (await again(letter, served.store)).verdict is Verdict.REJECTED


def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "2026-03-02.jsonl").write_text('{"time"\n{"agent":"a"}\n')
    found = list(read(tmp_path))
    assert [each.place for each in found] == ["2026-03-02/1", "2026-03-02/2"]
    assert all(each.letter is None and "no dead letter" in each.fault for each in found)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("source.ip=10.0.0.7", ("source.ip", "10.0.0.7")),
        ("source.port=443", ("source.port", 443)),
        ("message=", ("message", None)),
        ('tags=["a"]', ("tags", ["a"])),
    ],
)
def test_a_change_is_json_or_text(text: str, change: tuple[str, Any]) -> None:
    assert redelivery.change_of(text) == change


@pytest.mark.parametrize("text", ["source.ip", "sourceip=1", "=1"])
def test_a_change_of_what_no_event_has_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no field of an event"):
        redelivery.change_of(text)


def test_a_broken_log_of_attempts_is_named(tmp_path: Path) -> None:
    (tmp_path / redelivery.ATTEMPTS).write_text("{}\n")
    with pytest.raises(StoreError, match="line 1 is no attempt"):
        redelivery.attempts(tmp_path)


# The command


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A collector on SQLite with an agent and one letter."""
    file = tmp_path / "collector.toml"
    file.write_text(f'[collector]\nstate = "{tmp_path / "state"}"\n')
    config = ["--config", str(file)]
    assert main(["init", *config]) == 0
    assert main(["enrol", "gateway-1", "--school", "00AB00", "--board", "12345", *config]) == 0
    letters = tmp_path / "state" / "dead-letters"
    letters.mkdir()
    now = datetime.now(UTC)
    raw = bad(**{"@timestamp": now})
    line = {
        "time": now.isoformat(),
        "agent": "gateway-1",
        "epoch": EPOCH,
        "sequence": 7,
        "reason": "source.ip: 'printer-3\x1b[2J' is no IP address",
        "event": msgspec.to_builtins(raw),
    }
    (letters / f"{now:%Y-%m-%d}.jsonl").write_text(json.dumps(line) + "\n")
    return file


def test_a_letter_is_listed_shown_repaired_and_gone(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["deadletters", *words, "--config", str(configured)]) == code
        return capsys.readouterr().out

    listed = said()
    assert "gateway-1" in listed
    assert "\x1b" not in listed
    place = json.loads(said("list", "--json"))["place"]
    assert json.loads(said("show", place, "--json"))["event"]["source.ip"] == "printer-3"
    assert "source.ip" in said("replay", place, "--why", "try", code=1)
    assert "1 of 1 brought back" in said("replay", "--every", "--set", "source.ip=10.0.0.7", "--why", "a host name")
    assert said("list", "--json") == ""
    assert json.loads(said("list", "--all", "--json"))["state"] == "brought back"
    log = configured.parent / "state" / "dead-letters" / redelivery.ATTEMPTS
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["why"], second["why"], second["changes"]) == ("try", "a host name", {"source.ip": "10.0.0.7"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "--why", "x"], "name the places"),
        (["replay", "2026-01-01/1", "--every", "--why", "x"], "name the places"),
        (["replay", "--every"], "--why: say why"),
        (["replay", "--every", "--why", " "], "--why: say why"),
        (["replay", "2026-01-01/1", "--why", "x"], "no dead letter 2026-01-01/1"),
        (["replay", "--every", "--why", "x", "--set", "sourceip=1"], "no field of an event"),
        (["show"], "show takes one place"),
        (["show", "2026-01-01/1"], "no dead letter 2026-01-01/1"),
    ],
)
def test_what_cannot_be_done_is_said(
    configured: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deadletters", *words, "--config", str(configured)]) == 1
    assert said in capsys.readouterr().err


def test_doctor_tells_of_letters_that_wait(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--config", str(configured)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["findings"]
    (finding,) = [each for each in found if each["subject"] == "dead letters"]
    assert (finding["level"], finding["detail"][:1]) == ("warning", "1")


def test_a_signal_comes_back_too() -> None:
    signal = flow(event_dataset=Dataset.SIGNAL)
    letter = Letter(NOW, "gateway-1", EPOCH, 1, "", encode_event(signal))
    assert redelivery.fields_of(letter)["event.dataset"] == "signal"


async def test_what_was_brought_back_is_found_by_searches(served: Served, tmp_path: Path) -> None:
    (filed,) = await rejected(served, tmp_path, bad())
    await again(redelivery.repaired(letter_of(filed), {"source.ip": "10.0.0.7"}), served.store)
    page = await served.store.search(Search(Kind.EVENT, All(), SECTOR))
    assert len(page.rows) == 1

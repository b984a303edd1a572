"""The command against a real running collector, and without one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from schoolwacht.event import Dataset
from schoolwacht_collector.app import Collector, running
from schoolwacht_collector.config import local
from schoolwacht_console import cli
from schoolwacht_console.commands.frame import URL_VARIABLE
from tests.schoolwacht_console import sample


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    async with running(local(tmp_path / "collector"), init=True) as made:
        await sample.fill(made.store)
        yield made


@pytest.fixture
def say(collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command in a thread, beside the collector."""
    monkeypatch.setenv(URL_VARIABLE, str(collector.console_url))

    async def run(*argv: str) -> Said:
        code = await asyncio.to_thread(cli.main, argv)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


Say = Callable[..., Any]


async def test_search_gives_nested_json_lines_newest_first(say: Say) -> None:
    said = await say("search", "source.ip:10.21.0.23", "--since", "2026-09-01", "--json")
    assert said.code == 0
    assert [row["event"]["id"] for row in said.lines] == ["e000003", "e000002", "e000001"]
    assert said.lines[1]["http"]["request"]["method"] == "GET"


async def test_search_is_a_table_for_people(say: Say) -> None:
    said = await say("search", "event.dataset:dns")
    assert "download.gratis-spellen.example A → 203.0.113.66" in said.out


async def test_a_limit_beyond_a_page_is_read_page_by_page(say: Say, collector: Collector) -> None:
    many = [sample.event(1000 + number, sample.NOW, source_ip="10.21.9.9") for number in range(700)]
    assert all(outcome.created for outcome in await collector.store.create(many))
    said = await say("search", "source.ip:10.21.9.9", "--limit", "650", "--json")
    assert len({row["event"]["id"] for row in said.lines}) == 650


async def test_nothing_found_is_said_and_is_no_failure(say: Say) -> None:
    said = await say("search", "source.ip:192.0.2.99")
    assert (said.code, said.out, said.err) == (0, "", "nothing found\n")


async def test_alerts_without_a_verb_are_listed(say: Say) -> None:
    said = await say("alerts", "--json", "--severity", "critical")
    assert [row["alert"]["title"] for row in said.lines] == ["Port scan"]


async def test_all_states_are_listed_gravest_first(say: Say) -> None:
    said = await say("alerts", "list", "--state", "all", "--json")
    assert [row["id"] for row in said.lines] == ["a0002", "a0001", "a0003", "a0005", "a0004"]


async def test_an_alert_is_shown_with_its_signals(say: Say) -> None:
    said = await say("alerts", "show", "a0001", "--json")
    (story,) = said.lines
    assert len(story["signals"]) == 2
    assert story["connections"][0]["event"]["dataset"] == "http"
    assert "Other traffic of the same host" in (await say("alerts", "show", "a0001")).out


async def test_alerts_are_acknowledged_and_closed_with_who_and_why(say: Say) -> None:
    said = await say("alerts", "ack", "a0001", "a0003", "--json")
    assert [row["alert"]["state"] for row in said.lines] == ["acknowledged", "acknowledged"]
    closed = await say("alerts", "close", "a0001", "--reason", "our own scan", "--json")
    assert closed.lines[0]["alert"]["reason"] == "our own scan"
    assert closed.lines[0]["alert"]["changed_by"]


async def test_an_alert_that_is_not_there_is_code_1(say: Say) -> None:
    said = await say("alerts", "show", "nobody")
    assert (said.code, said.err) == (1, "schoolwacht: there is no alert of that id\n")


@pytest.mark.parametrize("query", ["source.ip:(", "nothing.like.it:1"])
async def test_a_query_that_cannot_be_understood_is_code_2(say: Say, query: str) -> None:
    said = await say("search", query)
    assert said.code == 2
    assert said.err.startswith("schoolwacht: ")


async def test_agents_are_listed_without_their_keys(say: Say) -> None:
    said = await say("agents", "--json")
    assert [row["id"] for row in said.lines] == ["school-00aa00", "school-00ab00", "school-00ac00"]
    assert "key_hash" not in said.out
    assert "De Vuurtoren" in (await say("agents")).out


async def test_indicators_are_added_and_listed(say: Say) -> None:
    added = await say("indicators", "add", "EVIL[.]example", "203.0.113.9", "--description", "loader", "--tlp", "GREEN")
    assert added.code == 0
    said = await say("indicators", "--json", "--query", "threat.indicator.type:domain")
    assert said.lines[0]["threat"]["indicator"]["name"] == "evil.example"
    assert said.lines[0]["threat"]["indicator"]["marking"]["tlp"] == "GREEN"


async def test_an_indicator_that_would_do_harm_is_refused(say: Say) -> None:
    said = await say("indicators", "add", "10.0.0.0/8")
    assert said.code == 2
    assert "private" in said.err


async def test_alerts_are_hidden_snoozed_and_tests_reported_from_the_command_line(
    say: Say, collector: Collector
) -> None:
    rule = ["--rule", "D24", "--for", "30d", "--reason", "known"]
    tried = await say("tuning", "add", *rule, "--preview")
    assert "alerts of the last 30 days would have been hidden" in tried.out
    added = await say("tuning", "add", *rule, "--json")
    assert added.code == 0
    name = added.lines[0]["id"]
    assert "rule D24" in (await say("tuning")).out
    assert (await say("tuning", "end", name, "--reason", "gone")).code == 0
    assert "nothing found" in (await say("tuning")).err
    assert "ended by" in (await say("tuning", "list", "--all")).out
    today = datetime.now(UTC).date()
    days = ["--since", str(today - timedelta(days=1)), "--until", str(today + timedelta(days=1))]
    made = await say("tests", "add", "Pentest", "--source", "203.0.113.0/24", *days, "--expect", "D01", "--json")
    reported = await say("tests", "report", made.lines[0]["id"])
    assert "missed: 1 (it is not over yet)" in reported.out
    assert "Pentest" in (await say("tests")).out


async def test_what_a_check_speaks_against_is_named_and_kept_when_forced(say: Say) -> None:
    said = await say("indicators", "add", "google.com", "evil.example", "--json")
    assert said.code == 1
    assert "domain google.com is refused: the warning list" in said.err
    forced = await say("indicators", "add", "google.com", "--force", "--reason", "exercise", "--json")
    assert forced.code == 0
    assert forced.lines[0]["indicator"]["forced_why"] == "exercise"
    shown = await say("indicators", "show", forced.lines[0]["id"])
    assert shown.code == 0
    assert "indicator.doubt" in shown.out


async def test_a_file_of_indicators_is_imported_and_its_faulty_lines_are_named(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("type,value,valid_until\ndomain,evil.example,2027-01-31\naddress,nonsense,\n", encoding="utf-8")
    said = await say("indicators", "import", str(file), "--json")
    assert said.code == 2
    assert said.lines == [{"imported": 1, "refused": 0, "faults": 1}]
    assert f"{file}:3: value" in said.err
    listed = await say("indicators", "--json")
    assert listed.lines[0]["threat"]["indicator"]["valid_until"].startswith("2027-01-31T23:59:59")


@pytest.mark.parametrize("hostile", sample.HOSTILE)
async def test_text_of_the_network_cannot_act_on_a_terminal(say: Say, collector: Collector, hostile: str) -> None:
    event = sample.event(50, sample.NOW, Dataset.DNS, dns_question_name=f"[bold]{hostile}[/bold] :bomb:")
    assert (await collector.store.create([event]))[0].created
    for options in ([], ["--json"]):
        said = await say("search", "event.id:e000050", *options)
        assert said.code == 0
        printed = said.out.replace("\n", "")
        assert printed.isprintable(), "a control or invisible character reached the terminal"
        assert "[bold]" in printed


def test_where_nothing_listens_the_way_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["alerts", "--url", "http://127.0.0.1:9"]) == 3
    assert "schoolwacht-collector serve" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8480", "http://"])
def test_an_address_that_is_none_is_wrong_use(url: str) -> None:
    assert cli.main(["agents", "--url", url]) == 2


async def test_a_server_that_is_no_console_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/{path:.*}", answer)
    async with TestServer(elsewhere) as server:
        code = await asyncio.to_thread(cli.main, ["agents", "--url", str(server.make_url(""))])
    assert code == 1
    assert "no Schoolwacht console" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [[], ["search"], ["alerts", "close"], ["indicators", "import"], ["analyse"], ["demo"]]
)
def test_every_command_helps_with_an_example_and_exit_codes(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said
    assert "exit codes:" in said


async def test_a_reader_that_has_seen_enough_is_no_fault(collector: Collector) -> None:
    many = [sample.event(1000 + number, sample.NOW) for number in range(2000)]
    assert all(outcome.created for outcome in await collector.store.create(many))
    command = [sys.executable, "-m", "schoolwacht_console.cli", "search", "", "--limit", "2000", "--json"]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--url",
        str(collector.console_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1024,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readexactly(100)
    process.stdout._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way to close a pipe early
    assert await process.stderr.read() == b""
    assert await process.wait() == 0

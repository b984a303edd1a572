from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.errors import ConfigError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.spool import Reader, SetAside, Writer, look
from schoolwacht_agent.uplink import Uplink, tls_context
from tests.schoolwacht_agent.collecting import (
    StubCollector,
    collecting,
    cut_after_the_batch,
    cut_in_the_reply,
    status,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(number: int, dataset: Dataset = Dataset.FLOW) -> Event:
    return Event(NOW, dataset, message=str(number))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
async def collector() -> AsyncIterator[StubCollector]:
    async with collecting() as stub:
        yield stub


def settings(*urls: str, **changes: object) -> UplinkTable:
    values: dict[str, object] = {"backoff_seconds": 0.02, "connect_seconds": 1.0, "answer_seconds": 5.0}
    return UplinkTable(collectors=urls, **(values | changes))  # type: ignore[arg-type]


def aside(tmp_path: Path) -> SetAside:
    return SetAside(tmp_path / "spool" / "rejected", 1 << 20)


async def drain(tmp_path: Path, *urls: str, key: str = "gw.secret", **changes: object) -> Uplink:
    with Reader(tmp_path / "spool") as reader:
        uplink = Uplink(reader, aside(tmp_path), settings(*urls, **changes), key)
        await asyncio.wait_for(uplink.drain(), 20)
        return uplink


def waiting(tmp_path: Path) -> int:
    report = look(tmp_path / "spool")
    assert report is not None
    return report.waiting


async def test_everything_arrives_once_alerts_before_flows_oldest_first(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    for number in range(0, 50, 5):
        writer.append([event(number + at) for at in range(4)] + [event(number + 4, Dataset.SIGNAL)], b"")
    uplink = await drain(tmp_path, collector.url, batch_items=7)
    assert uplink.delivered == len(collector.events) == 50
    assert [one.event_dataset for one in collector.order] == [Dataset.SIGNAL] * 10 + [Dataset.FLOW] * 40
    for lane in (collector.order[:10], collector.order[10:]):
        assert [int(one.message or "") for one in lane] == sorted(int(one.message or "") for one in lane)
    assert waiting(tmp_path) == 0
    assert all(agent.startswith("schoolwacht-agent/") for agent in collector.agents)


@pytest.mark.parametrize(
    "fault",
    [
        status(429, Retry_After="0"),
        status(503, Retry_After="0.01"),
        status(503),
        status(500),
        status(408),
        status(404),
        status(302, Location="http://127.0.0.1:1/"),
        cut_after_the_batch,
        cut_in_the_reply,
    ],
)
async def test_a_fault_that_passes_loses_and_doubles_nothing(
    tmp_path: Path, writer: Writer, collector: StubCollector, fault: object
) -> None:
    writer.append([event(number) for number in range(10)], b"")
    collector.script = [fault, fault]  # type: ignore[list-item]
    uplink = await drain(tmp_path, collector.url)
    assert (uplink.delivered, uplink.rejected, waiting(tmp_path)) == (10, 0, 0)
    assert sorted(int(one.message or "") for one in collector.events.values()) == list(range(10))


async def test_a_batch_that_was_stored_but_not_answered_is_sent_again_under_the_same_numbers(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(number) for number in range(10)], b"")
    stored: list[bytes] = []

    async def store_and_cut(request: object, frame: bytes) -> object:
        stored.append(frame)
        return await cut_after_the_batch(request, frame)  # type: ignore[arg-type]

    collector.script = [store_and_cut]  # type: ignore[list-item]
    await drain(tmp_path, collector.url)
    assert collector.requests == 2
    assert len(collector.events) == 10


async def test_each_event_gets_its_own_verdict(tmp_path: Path, writer: Writer, collector: StubCollector) -> None:
    writer.append([event(number) for number in range(20)], b"")
    attempts: dict[str, int] = {}

    def judge(one: Event) -> tuple[Verdict, str]:
        text = one.message or ""
        attempts[text] = attempts.get(text, 0) + 1
        if text == "7":
            return Verdict.REJECTED, "source.ip: no IP address"
        return (Verdict.RETRY, "full") if int(text) % 5 == 0 and attempts[text] < 3 else (Verdict.DELIVERED, "")

    collector.judge = judge
    uplink = await drain(tmp_path, collector.url)
    assert (uplink.delivered, uplink.rejected) == (19, 1)
    assert attempts == {str(number): 3 if number % 5 == 0 else 1 for number in range(20)}
    (line,) = aside(tmp_path).lines()
    assert line["reason"] == "source.ip: no IP address"
    assert line["event"]["message"] == "7"


async def test_one_poison_event_in_a_thousand_is_set_aside_and_the_others_arrive(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(number) for number in range(1000)], b"")
    collector.unreadable = lambda one: one.message == "617"
    uplink = await drain(tmp_path, collector.url)
    assert (uplink.delivered, uplink.rejected, waiting(tmp_path)) == (999, 1, 0)
    (line,) = aside(tmp_path).lines()
    assert "scripted 400" in line["reason"]
    assert line["event"]["message"] == "617"


async def test_a_proxy_that_refuses_every_batch_empties_no_spool(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(number) for number in range(4)], b"")
    collector.script = [status(400)] * 40
    uplink = await drain(tmp_path, collector.url)
    assert (uplink.delivered, uplink.rejected) == (4, 0)
    assert aside(tmp_path).lines() == []


async def test_a_batch_too_large_for_the_collector_is_halved(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(number) for number in range(8)], b"")
    collector.script = [status(413)]
    await drain(tmp_path, collector.url)
    assert collector.sizes == [4, 4]


async def test_another_collector_takes_over_and_the_preferred_one_comes_back(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    async with collecting() as second:
        writer.append([event(number) for number in range(3)], b"")
        collector.script = [status(503)]
        with Reader(tmp_path / "spool") as reader:
            uplink = Uplink(reader, aside(tmp_path), settings(collector.url, second.url), "gw.secret")
            await asyncio.wait_for(uplink.drain(), 20)
            assert len(second.events) == 3
            await asyncio.sleep(0.1)
            writer.append([event(3)], b"")
            await asyncio.wait_for(uplink.drain(), 20)
        assert [one.message for one in collector.events.values()] == ["3"]


async def test_a_refused_key_is_said_plainly_and_not_hammered(
    tmp_path: Path, writer: Writer, collector: StubCollector, caplog: pytest.LogCaptureFixture
) -> None:
    writer.append([event(1)], b"")
    with caplog.at_level(logging.WARNING):
        uplink = await drain(tmp_path, collector.url, key="gw.wrong")
    assert uplink.refused
    assert collector.requests == 1
    assert "enrol or enable the agent" in caplog.text
    assert "gw.wrong" not in caplog.text
    assert waiting(tmp_path) == 1


async def test_an_outage_is_logged_once(
    tmp_path: Path, writer: Writer, collector: StubCollector, caplog: pytest.LogCaptureFixture
) -> None:
    writer.append([event(1)], b"")
    collector.script = [status(503)] * 5
    with caplog.at_level(logging.WARNING):
        await drain(tmp_path, collector.url)
    assert len([line for line in caplog.messages if "503" in line]) == 1


async def test_a_signal_of_an_outage_goes_before_the_flows_that_waited_in_hand(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(number) for number in range(5)], b"")
    collector.script = [status(503)] * 10_000
    with Reader(tmp_path / "spool") as reader:
        uplink = Uplink(reader, aside(tmp_path), settings(collector.url), "gw.secret")
        running = asyncio.create_task(uplink.run())
        await asyncio.wait_for(collector.asked.wait(), 20)
        writer.append([event(5, Dataset.SIGNAL)], b"")
        collector.script.clear()
        collector.script = [status(503)]
        async with asyncio.timeout(20):
            while len(collector.order) < 6:  # noqa: ASYNC110 - the collector tells of no single event
                await asyncio.sleep(0.01)
        uplink.stop()
        await running
    assert [one.message for one in collector.order] == ["5", "0", "1", "2", "3", "4"]


async def test_a_stop_lets_the_batch_that_is_on_its_way_finish(
    tmp_path: Path, writer: Writer, collector: StubCollector
) -> None:
    writer.append([event(1)], b"")
    collector.paused.clear()
    with Reader(tmp_path / "spool") as reader:
        uplink = Uplink(reader, aside(tmp_path), settings(collector.url), "gw.secret")
        running = asyncio.create_task(uplink.run())
        await asyncio.wait_for(collector.asked.wait(), 10)
        uplink.stop()
        collector.paused.set()
        await asyncio.wait_for(running, 10)
    assert waiting(tmp_path) == 0


async def test_a_stop_ends_a_wait_at_once(tmp_path: Path, writer: Writer, collector: StubCollector) -> None:
    writer.append([event(1)], b"")
    collector.script = [status(503, Retry_After="600")]
    with Reader(tmp_path / "spool") as reader:
        uplink = Uplink(reader, aside(tmp_path), settings(collector.url), "gw.secret")
        running = asyncio.create_task(uplink.run())
        await asyncio.wait_for(collector.asked.wait(), 10)
        uplink.stop()
        await asyncio.wait_for(running, 10)
    assert waiting(tmp_path) == 1


async def test_a_reply_may_ask_for_a_rest(tmp_path: Path, writer: Writer, collector: StubCollector) -> None:
    writer.append([event(number) for number in range(4)], b"")
    collector.retry_after = 0.01
    await drain(tmp_path, collector.url, batch_items=2)
    assert collector.sizes == [2, 2]


def test_without_a_collector_there_is_no_uplink(tmp_path: Path) -> None:
    with Reader(tmp_path / "spool") as reader, pytest.raises(ConfigError, match=r"uplink\.collectors"):
        Uplink(reader, aside(tmp_path), UplinkTable(), "gw.secret")


def test_certificates_are_checked_unless_a_setting_says_otherwise(tmp_path: Path) -> None:
    checked = tls_context(UplinkTable())
    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert checked.minimum_version is ssl.TLSVersion.TLSv1_3
    assert tls_context(UplinkTable(verify=False)).verify_mode is ssl.CERT_NONE


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"ca\.pem.*uplink\.ca_file"):
        tls_context(UplinkTable(ca_file=str(path)))

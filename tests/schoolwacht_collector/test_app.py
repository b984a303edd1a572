"""The whole collector in one process: SQLite, intake, jobs and console on free ports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from blockbuster import blockbuster_ctx

from schoolwacht.errors import ConfigError, StoreError
from schoolwacht.indicators import IndicatorType
from schoolwacht.wire import Verdict
from schoolwacht_collector import secret
from schoolwacht_collector.app import Collector, running
from schoolwacht_collector.config import ConsoleSettings, IntakeSettings, Settings, StoreName, StoreSettings, local
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search
from schoolwacht_collector.index.settings import ElasticsearchSettings
from schoolwacht_collector.notify.port import Attempt
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Indicator, Severity
from schoolwacht_collector.registry import enrol
from schoolwacht_collector.tlp import Tlp
from tests.schoolwacht_collector.index.stores import wipe
from tests.schoolwacht_collector.serving import NOW, SCHOOL, batch, deliver, flow, post

BAD = "203.0.113.66"


@pytest.fixture(autouse=True)
def _the_loop_is_never_blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    with blockbuster_ctx("schoolwacht_collector"):
        yield


class Kept:
    """A notifier that keeps what it is given."""

    name = "kept"
    min_severity = Severity.INFORMATIONAL
    max_tlp = Tlp.RED

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.came = asyncio.Event()
        self.opened = self.closed = False

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.closed = True

    async def deliver(self, delivery_id: str, body: str, at: datetime) -> Attempt:
        self.bodies.append(json.loads(body))
        self.came.set()
        return Attempt(Verdict.DELIVERED, "kept")


async def rows(collector: Collector, kind: Kind) -> list[Row]:
    return (await collector.store.search(Search(kind, All(), SECTOR, limit=10_000))).rows


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - asked by HTTP
            await asyncio.sleep(0.05)


async def ready(collector: Collector) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{collector.intake_url}/readyz") as response:
        return response.status, await response.json()


async def test_an_indicator_in_delivered_traffic_becomes_an_alert_and_is_notified(tmp_path: Path) -> None:
    kept = Kept()
    console = ConsoleSettings(listen="127.0.0.1:0", public_url="https://console.example")
    settings = msgspec.structs.replace(local(tmp_path), console=console)
    async with running(settings, notifiers=[kept], init=True) as collector:
        assert kept.opened
        indicator = Indicator(id="i1", timestamp=datetime.now(UTC), type=IndicatorType.ADDRESS, value=BAD)
        await collector.store.put_many(Kind.INDICATOR, [indicator])
        await collector.matching.load()
        key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
        await deliver(collector.intake_url, key, [flow(destination_ip=BAD), flow()])
        await asyncio.wait_for(kept.came.wait(), 20)
        (alert,) = await rows(collector, Kind.ALERT)
        assert (alert["organization.id"], alert["school.location"]) == ("12345", "00AB00")
        assert len(kept.bodies) == 1
        assert f"https://console.example/alerts/{alert['id']}" in json.dumps(kept.bodies[0])
    assert kept.closed


async def test_the_console_is_served_on_its_own_port(tmp_path: Path) -> None:
    async with running(local(tmp_path), init=True) as collector, aiohttp.ClientSession() as session:
        assert collector.console_url is not None
        async with session.get(collector.console_url + "/") as response:
            assert response.status == 200
        async with session.get(collector.intake_url + "/") as response:
            assert response.status == 404


async def test_a_collector_without_console_has_no_console_url(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(local(tmp_path), console=ConsoleSettings(enabled=False))
    async with running(settings, init=True) as collector:
        assert collector.console_url is None


async def test_readiness_shows_the_jobs_and_who_leads(tmp_path: Path) -> None:
    async with running(local(tmp_path), init=True) as collector:
        await until(lambda: leads(collector))
        status, state = await ready(collector)
        assert status == 200
        assert set(state["jobs"]) >= {
            "indicators", "counts", "ledger counts", "leader", "alerts", "outbox", "expiry", "hunt", "ledgers"
        }  # fmt: skip
        assert set(state["jobs"].values()) == {"running"}


async def leads(collector: Collector) -> bool:
    return bool((await ready(collector))[1]["leader"])


async def test_of_two_collectors_on_one_store_one_leads_and_the_other_follows_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as later:
        async with running(local(tmp_path), init=True) as first:
            await until(lambda: leads(first))
            second = await later.enter_async_context(running(local(tmp_path)))
            assert not await leads(second)
        await until(lambda: leads(second))


async def test_two_collectors_give_an_item_the_same_id(tmp_path: Path) -> None:
    async with running(local(tmp_path), init=True) as one, running(local(tmp_path)) as two:
        key = (await enrol(one.store, "gateway-1", [SCHOOL])).key
        events = [flow(source_port=number) for number in range(1, 20)]
        for collector in (one, two):
            assert (await deliver(collector.intake_url, key, events)).verdicts == [Verdict.DELIVERED] * 19
        assert len(await rows(two, Kind.EVENT)) == 19


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(local(tmp_path), init=True) as collector:
        key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
        await deliver(collector.intake_url, key, [flow()])
    async with running(local(tmp_path)) as collector:
        await deliver(collector.intake_url, key, [flow()])
        (row,) = await rows(collector, Kind.EVENT)
        assert row["@timestamp"].startswith("2026-03-02T10:00")
        (agent,) = await rows(collector, Kind.AGENT)
        assert agent["agent.stored"] == 1


async def test_a_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    async with running(local(tmp_path), init=True) as collector:
        key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
        first_answer = asyncio.Event()

        async def agent(place: int) -> None:
            for number in range(place * 1000, place * 1000 + 500):
                events = [
                    flow(source_port=port % 65536, event_duration=10_000_000 + 20 * number + port) for port in range(20)
                ]
                try:
                    answer = await post(collector.intake_url, key, batch(events, first=1 + 20 * number), items=20)
                except aiohttp.ClientError:
                    return
                if answer.reply is None:
                    return
                assert answer.reply.verdicts == [Verdict.DELIVERED] * 20
                acknowledged.update(range(1 + 20 * number, 21 + 20 * number))
                first_answer.set()

        tasks = [asyncio.create_task(agent(place)) for place in range(6)]
        await first_answer.wait()
        await asyncio.sleep(0.3)
    await asyncio.gather(*tasks)
    assert len(acknowledged) >= 20
    async with running(local(tmp_path)) as collector:
        stored: set[int] = set()
        after: str | None = None
        while True:
            page = await collector.store.search(Search(Kind.EVENT, All(), SECTOR, limit=10_000, after=after))
            stored |= {row["event.sequence"] for row in page.rows}
            after = page.next
            if after is None:
                break
    assert acknowledged <= stored


async def test_a_store_that_was_never_made_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="schoolwacht-collector init"):
        async with running(local(tmp_path)):
            pass
    await asyncio.to_thread(secret.make, tmp_path)
    with pytest.raises(StoreError, match="schoolwacht-collector init"):
        async with running(local(tmp_path)):
            pass


@pytest.mark.parametrize("field", ["intake", "console"])
async def test_a_port_that_is_taken_names_the_setting(tmp_path: Path, field: str) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = local(tmp_path)
    taken: Settings
    if field == "intake":
        taken = msgspec.structs.replace(settings, intake=IntakeSettings(listen=f"127.0.0.1:{port}"))
    else:
        taken = msgspec.structs.replace(settings, console=ConsoleSettings(listen=f"127.0.0.1:{port}"))
    with pytest.raises(ConfigError, match="in use") as caught:
        async with running(taken, init=True):
            pass
    assert caught.value.field == f"{field}.listen"
    server.close()
    await server.wait_closed()


async def test_settings_that_were_not_checked_are_refused(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(local(tmp_path), console=ConsoleSettings(listen="0.0.0.0:0"))
    with pytest.raises(ConfigError, match="no login yet"):
        async with running(settings, init=True):
            pass


async def test_an_event_of_any_age_keeps_its_time_inside_another_program(tmp_path: Path) -> None:
    async with running(local(tmp_path), init=True) as collector:
        key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
        await deliver(collector.intake_url, key, [flow(timestamp=NOW.replace(year=2009))])
        (row,) = await rows(collector, Kind.EVENT)
        assert row["@timestamp"].startswith("2009-")


async def test_with_elasticsearch_too_an_alert_is_notified_and_a_batch_sent_three_times_adds_nothing(
    tmp_path: Path, elasticsearch_url: str, index_prefix: str
) -> None:
    kept = Kept()
    store = StoreSettings(
        kind=StoreName.ELASTICSEARCH,
        elasticsearch=ElasticsearchSettings(urls=(elasticsearch_url,), prefix=index_prefix),
    )
    settings = msgspec.structs.replace(local(tmp_path), store=store)
    try:
        async with running(settings, notifiers=[kept], init=True) as collector:
            indicator = Indicator(id="i1", timestamp=datetime.now(UTC), type=IndicatorType.ADDRESS, value=BAD)
            await collector.store.put_many(Kind.INDICATOR, [indicator])
            await collector.matching.load()
            key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
            events = [flow(destination_ip=BAD), *(flow(source_port=number) for number in range(1, 30))]
            for _ in range(3):
                reply = await deliver(collector.intake_url, key, events)
                assert reply.verdicts == [Verdict.DELIVERED] * 30
            await asyncio.wait_for(kept.came.wait(), 30)

            async def all_there() -> bool:
                return len(await rows(collector, Kind.EVENT)) >= 30

            await until(all_there)
            assert len(await rows(collector, Kind.EVENT)) == 30
            assert len(await rows(collector, Kind.SIGNAL)) == 1
            assert len(await rows(collector, Kind.ALERT)) == 1
    finally:
        await wipe(elasticsearch_url, index_prefix)

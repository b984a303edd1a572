"""Settings read again: what is live, and SIGHUP at real collector processes that take batches meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
from msgspec.structs import replace

from schoolwacht.config import settings as settings_of_tree
from schoolwacht.errors import ConfigError
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import BATCH_TYPE, Verdict
from schoolwacht_collector import app, config, secret
from schoolwacht_collector.config import LimitSettings, Settings, StoreName, StoreSettings, local
from schoolwacht_collector.expiry import RetentionSettings
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.indicators.settings import IndicatorSettings
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.registry import enrol
from schoolwacht_collector.reload import LIVE, is_live, merge
from schoolwacht_collector.stamp import CLAMPED
from schoolwacht_collector.workers import Workers
from tests.schoolwacht_collector.notify.receiver import SECRET, Receiver, receiving
from tests.schoolwacht_collector.serving import SCHOOL, deliver, flow
from tests.schoolwacht_collector.test_cli import free_port
from tests.schoolwacht_collector.test_workers import PROGRAM, settings_of, until
from tests.schoolwacht_collector.worker_program import KEY


@pytest.fixture(autouse=True)
def _no_secret_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret.VARIABLE, raising=False)


def test_live_settings_are_taken_up_and_the_others_are_named(tmp_path: Path) -> None:
    running = local(tmp_path)
    wanted = replace(
        running,
        retention=RetentionSettings(events_days=30, summaries_days=0, signals_days=0),
        limits=replace(running.limits, wait_seconds=3.0, prepared_events=50_000),
        store=StoreSettings(kind=StoreName.ELASTICSEARCH),
    )
    change = merge(running, wanted)
    assert change.live == ("limits.wait_seconds", "retention.events_days")
    assert change.restart == ("store.kind", "limits.prepared_events")
    assert change.settings == replace(
        running, retention=wanted.retention, limits=replace(running.limits, wait_seconds=3.0)
    )


def test_every_name_in_the_table_of_live_settings_is_a_setting() -> None:
    names = [item.name for item in settings_of_tree(Settings)]
    for entry in LIVE:
        assert any(name == entry or name.startswith((f"{entry}.", f"{entry}[]")) for name in names), entry
    assert is_live("notify[].url")
    assert not is_live("intake.listen")


async def test_a_fault_in_one_setting_leaves_all_as_they_were(tmp_path: Path) -> None:
    async with app.running(local(tmp_path), init=True) as collector:
        wanted = replace(
            collector.settings,
            limits=replace(collector.settings.limits, wait_seconds=1.0),
            indicators=IndicatorSettings(own_networks=("10.0.0.0/99",)),
        )
        with pytest.raises(ConfigError, match=r"indicators\.own_networks\[0\]"):
            await collector.live.exchange(wanted)
        assert collector.live.settings == collector.settings


class _Process:
    """A collector process, its file, and its log."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "collector.toml"
        self.log = directory / "log"
        self._state = directory / "state"
        self._ports = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self._key = directory / "hook.key"
        self._key.write_text(SECRET)
        self._key.chmod(0o600)

    def write(self, hook: str, *, past_days: int, more: str = "") -> None:
        self.file.write_text(
            f"""
            [collector]
            state = "{self._state}"
            [intake]
            listen = "127.0.0.1:{self._ports[0]}"
            [console]
            listen = "127.0.0.1:{self._ports[1]}"
            [limits]
            past_days = {past_days}
            agent_events_per_second = 0
            [retention]
            events_days = 0
            signals_days = 0
            [[notify]]
            type = "webhook"
            name = "cert"
            url = "{hook}"
            secret_file = "{self._key}"
            allow_private = true
            {more}
            """
        )

    async def start(self) -> asyncio.subprocess.Process:
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "schoolwacht_collector.cli", "serve", "--config", str(self.file), stderr=log
            )
        await self.says("agents deliver to")
        return process

    async def says(self, text: str, times: int = 1) -> str:
        """Wait until a text stands in the log so often; the last line with it."""
        found: list[str] = []

        async def said() -> bool:
            found[:] = [line for line in self.log.read_text().splitlines() if text in line]
            return len(found) >= times

        await until(said)
        return found[-1]


def _attack(rule: str) -> Event:
    return flow(
        timestamp=datetime.now(UTC),
        event_dataset=Dataset.SIGNAL,
        rule_id=rule,
        rule_ruleset="suricata",
        rule_name="test",
        signal_severity="Critical",
        signal_confidence="High",
        network_direction="outbound",
    )


async def _told(receiver: Receiver, number: int) -> None:
    async def heard() -> bool:
        return len(receiver.ids) >= number

    await until(heard)


async def _delivering(url: str, key: str, first: int, ended: Callable[[], bool]) -> int:
    """Deliver one batch after the other until told; how many events were acknowledged."""
    number = 0
    while not ended() or not number:
        reply = await deliver(url, key, [flow() for _ in range(20)], first=first + number)
        assert reply.verdicts == [Verdict.DELIVERED] * 20
        number += 20
    return number


@pytest.mark.timeout(180)
async def test_sighup_changes_a_limit_and_a_target_and_loses_no_batch(tmp_path: Path) -> None:
    collector = _Process(tmp_path)
    async with receiving(Receiver()) as old, receiving(Receiver()) as new:
        collector.write(old.url, past_days=0)
        settings = config.load(collector.file)
        await app.prepare(settings)
        store = app.make_store(settings)
        await store.open()
        key = (await enrol(store, "gateway-1", [SCHOOL])).key
        await store.close()
        process = await collector.start()
        try:
            await deliver(collector.url, key, [_attack("1")], first=1)
            await _told(old, 1)
            done = False
            load = [
                asyncio.create_task(_delivering(collector.url, key, 1_000_000 * place, lambda: done))
                for place in range(1, 4)
            ]
            collector.write(new.url, past_days=14, more='[store]\nkind = "elasticsearch"')
            for time in range(1, 6):
                process.send_signal(signal.SIGHUP)
                await collector.says("the settings were read again", time)
            collector.file.write_text('[limits]\npast_days = "x"\n')
            process.send_signal(signal.SIGHUP)
            fault = await collector.says("the settings of before stay")
            done = True
            acknowledged = sum(await asyncio.gather(*load))
            await deliver(collector.url, key, [_attack("2")], first=2)
            await deliver(collector.url, key, [flow()], first=3)
            await _told(new, 1)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert len(old.ids) == 1
    assert str(collector.file) in fault
    assert "limits.past_days" in fault
    assert "only a restart takes it up: store.kind" in await collector.says("only a restart")
    await store_has(settings, acknowledged)


async def store_has(settings: Settings, acknowledged: int) -> None:
    """All that was acknowledged once, and the last of them clamped by the new limit."""
    store = app.make_store(settings)
    await store.open()
    try:
        rows = []
        after = None
        while True:
            page = await store.search(Search(Kind.EVENT, All(), SECTOR, limit=1000, after=after))
            rows += page.rows
            after = page.next
            if after is None:
                break
    finally:
        await store.close()
    assert len({row["event.id"] for row in rows}) == len(rows) == acknowledged + 1
    last = next(row for row in rows if row["event.sequence"] == 3)
    assert CLAMPED in last["tags"]


async def _cut_off(url: str) -> bool:
    """Whether eight bodies that never arrive are answered with 408 soon, whichever worker they reach."""
    where = urlsplit(url)

    async def one() -> bool:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        try:
            head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {BATCH_TYPE}"
            writer.write(f"{head}\r\nContent-Length: 100\r\n\r\n".encode())
            async with asyncio.timeout(3):
                return b" 408 " in await reader.readline()
        except TimeoutError:
            return False
        finally:
            writer.close()

    try:
        return all(await asyncio.gather(*(one() for _ in range(8))))
    except ConnectionError:
        return False  # the worker is not there yet


@pytest.mark.timeout(240)
async def test_all_workers_get_the_settings_that_were_read_again_and_one_that_is_started_later_too(
    tmp_path: Path,
) -> None:
    await asyncio.to_thread(secret.make, tmp_path)
    before = settings_of(tmp_path, 2)
    # The listener gives up on a connection, too: that must not be what ends these.
    before = replace(before, intake=replace(before.intake, body_seconds=600.0, idle_seconds=3600.0))
    after = replace(before, intake=replace(before.intake, body_seconds=0.2))
    workers = Workers(before, command=PROGRAM, read=lambda: after)
    task = asyncio.create_task(workers.run())

    async def up() -> bool:
        if task.done():
            task.result()
        return len(workers.pids) == 2

    try:
        await until(up)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: _cut_off(workers.url))
        killed = workers.pids[0]
        os.kill(killed, signal.SIGKILL)

        async def another() -> bool:
            return killed not in workers.pids and await up()

        await until(another)
        await until(lambda: _cut_off(workers.url))
    finally:
        workers.stop()
        await task


async def test_a_broken_file_leaves_the_workers_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(secret.make, tmp_path)

    def broken() -> Settings:
        raise ConfigError("is no number", path="collector.toml", field="limits.past_days")

    workers = Workers(settings_of(tmp_path, 1), command=PROGRAM, read=broken)
    task = asyncio.create_task(workers.run())

    async def up() -> bool:
        return len(workers.pids) == 1

    async def said() -> bool:
        return "the settings of before stay" in caplog.text

    try:
        await until(up)
        pids = workers.pids
        os.kill(os.getpid(), signal.SIGHUP)
        await until(said)
        assert "limits.past_days" in caplog.text
        assert (await deliver(workers.url, KEY, [flow()])).verdicts == [Verdict.DELIVERED]
        assert workers.pids == pids
    finally:
        workers.stop()
        await task


async def test_an_outbox_delivers_what_waits_for_a_target_to_the_new_one_of_its_name(tmp_path: Path) -> None:
    limits = LimitSettings(past_days=0, agent_events_per_second=0)
    key_file = tmp_path / "hook.key"
    key_file.write_text(SECRET)
    key_file.chmod(0o600)
    async with receiving(Receiver()) as new:
        dead = f"http://127.0.0.1:{free_port()}/hook"
        target = {"type": "webhook", "name": "cert", "secret_file": str(key_file), "allow_private": True}
        first = msgspec.convert({"notify": [target | {"url": dead}]}, Settings).notify
        then = msgspec.convert({"notify": [target | {"url": new.url}]}, Settings).notify
        settings = replace(local(tmp_path / "state", notify=first), limits=limits)
        async with app.running(settings, init=True) as collector:
            key = (await enrol(collector.store, "gateway-1", [SCHOOL])).key
            await deliver(collector.intake_url, key, [_attack("1")])

            async def tried() -> bool:
                rows = (await collector.store.search(Search(Kind.DELIVERY, All(), SECTOR, limit=10))).rows
                return any(row.get("delivery.attempts") for row in rows)

            await until(tried)
            await collector.live.exchange(replace(settings, notify=then))
            await _told(new, 1)

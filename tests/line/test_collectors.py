"""Three collectors as processes on one Elasticsearch: one is paused and another killed while agents deliver."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.wire import BATCH_TYPE, Verdict, decode_reply
from schoolwacht_collector import config
from schoolwacht_collector.app import make_store
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School
from schoolwacht_collector.registry import enrol
from tests.line.test_kill import free_port
from tests.schoolwacht_collector.index.stores import wipe
from tests.schoolwacht_collector.notify.receiver import SECRET, Receiver, receiving
from tests.schoolwacht_collector.serving import batch

AGENTS, BATCHES, SIZE = 4, 30, 20
START = datetime.now(UTC) - timedelta(minutes=30)
#: Seconds that anything may take on a machine with other work.
PATIENCE = 90.0


class Collector:
    """One of the three: its files, its address and its process."""

    def __init__(self, root: Path, number: int, text: str) -> None:
        self.state = root / f"state{number}"
        self.file = root / f"collector{number}.toml"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.file.write_text(
            f'[collector]\nstate = "{self.state}"\nname = "c{number}"\n[intake]\nlisten = "127.0.0.1:{port}"\n'
            f"[console]\nenabled = false\n{text}"
        )
        self.process: asyncio.subprocess.Process | None = None

    async def command(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_collector.cli", *words, "--config", str(self.file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def leads(self) -> bool:
        """Whether it says so; one that does not answer does not."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client,
                client.get(f"{self.url}/readyz") as answer,
            ):
                return (await answer.json()).get("leader") is True
        except (aiohttp.ClientError, TimeoutError):
            return False

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


@pytest.fixture
def prefix(elasticsearch_url: str, index_prefix: str) -> Iterator[str]:
    yield index_prefix
    asyncio.run(wipe(elasticsearch_url, index_prefix))


@asynccontextmanager
async def three(root: Path, url: str, prefix: str, hook: str) -> AsyncIterator[list[Collector]]:
    """Three collectors with one secret on one store."""
    (root / "hook").write_text(SECRET)
    (root / "hook").chmod(0o600)
    text = (
        f'[store]\nkind = "elasticsearch"\n[store.elasticsearch]\nurls = ["{url}"]\nprefix = "{prefix}"\n'
        f'[[notify]]\ntype = "webhook"\nname = "cert"\nurl = "{hook}"\nsecret_file = "{root / "hook"}"\n'
        'allow_private = true\nmin_severity = "informational"\n'
    )
    collectors = [Collector(root, number, text) for number in range(3)]
    made = await collectors[0].command("init")
    assert await asyncio.wait_for(made.wait(), PATIENCE) == 0
    for each in collectors[1:]:
        each.state.mkdir(mode=0o700)
        shutil.copy2(collectors[0].state / "secret", each.state / "secret")
    for each in collectors:
        each.process = await each.command("serve")
    try:
        yield collectors
    finally:
        for each in collectors:
            if each.process is not None and each.process.returncode is None:
                each.process.kill()
                await each.process.wait()


async def until_one_leads(collectors: list[Collector]) -> Collector:
    """The one that leads; there is never a second."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = [each for each in collectors if await each.leads()]
        assert len(found) <= 1
        if found:
            return found[0]
        await asyncio.sleep(0.2)
    raise AssertionError("nobody leads")


async def agent(collectors: list[Collector], key: str, number: int, progress: Callable[[], None]) -> None:
    """Deliver every batch to whichever collector takes it, again and again until all of it is delivered."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
        turn = number
        for place in range(BATCHES):
            frame = batch([made(number, place, each) for each in range(SIZE)], first=1 + place * SIZE)
            verdicts: list[Verdict] = []
            while verdicts.count(Verdict.DELIVERED) < SIZE:
                turn += 1
                try:
                    url = f"{collectors[turn % 3].url}/v1/batches"
                    async with client.post(url, data=frame, headers=headers) as answer:
                        body = await answer.read()
                    verdicts = decode_reply(body, items=SIZE).verdicts if answer.status == 200 else []
                except (aiohttp.ClientError, TimeoutError):
                    verdicts = []
                if not verdicts:
                    await asyncio.sleep(0.2)
            progress()
            await asyncio.sleep(0.02)


def made(number: int, place: int, each: int) -> Event:
    """A flow; of each batch the first is a signal about a host of its own, every fifth batch's host a new one."""
    moment = START + timedelta(seconds=place)
    host = f"10.{number}.{place // 5}.{each}"
    event = Event(timestamp=moment, event_dataset=Dataset.FLOW, source_ip=host, destination_ip="198.51.100.9")
    event.network_direction = Direction.OUTBOUND
    if each == 0:
        event.event_dataset = Dataset.SIGNAL
        event.rule_id, event.rule_name, event.rule_ruleset = "2024001", "ET TEST", "suricata"
        event.signal_severity, event.signal_confidence = "Critical", "High"
    return event


async def rows(store: Store, kind: Kind) -> list[str]:
    """The ids of all of a kind."""
    found: list[str] = []
    search = Search(kind, All(), SECTOR, limit=5000)
    while True:
        page = await store.search(search)
        found += [row.get("event.id") or row["id"] for row in page.rows]
        if page.next is None:
            return found
        search = search._replace(after=page.next)


async def told_of(receiver: Receiver, alerts: int) -> None:
    """Wait until the receiver has heard of so many alerts, or all patience is gone."""
    for _ in range(int(5 * PATIENCE)):
        if len({body["data"]["id"] for body in receiver.bodies}) >= alerts:
            return
        await asyncio.sleep(0.2)


@pytest.mark.timeout(400)
async def test_with_three_collectors_nothing_is_lost_or_twice_when_leaders_are_paused_and_killed(
    tmp_path: Path, elasticsearch_url: str, prefix: str
) -> None:
    halfway, three_quarters = asyncio.Event(), asyncio.Event()
    done = 0

    def progress() -> None:
        nonlocal done
        done += 1
        if done == AGENTS * BATCHES // 3:
            halfway.set()
        if done == 2 * AGENTS * BATCHES // 3:
            three_quarters.set()

    receiver = Receiver()
    async with receiving(receiver), three(tmp_path, elasticsearch_url, prefix, receiver.url) as collectors:
        store = make_store(config.load(collectors[0].file))
        await store.open()
        first = await until_one_leads(collectors)
        school = School(location="00AB00", board="12345")
        keys = [(await enrol(store, f"gateway-{number}", [school])).key for number in range(AGENTS)]
        agents = [asyncio.create_task(agent(collectors, key, number, progress)) for number, key in enumerate(keys)]

        await halfway.wait()
        first.tell(signal.SIGSTOP)  # it does not know that it no longer leads
        second = await until_one_leads(collectors)
        first.tell(signal.SIGCONT)
        await three_quarters.wait()
        second.tell(signal.SIGKILL)
        third = await until_one_leads([each for each in collectors if each is not second])
        await asyncio.wait_for(asyncio.gather(*agents), PATIENCE)

        alerts = AGENTS * BATCHES // 5
        await told_of(receiver, alerts)
        await asyncio.sleep(6)  # events are found after five seconds
        stored = await rows(store, Kind.EVENT), await rows(store, Kind.SIGNAL), await rows(store, Kind.ALERT)
        await store.close()

    assert first is not second
    assert third is not second
    assert [len(found) for found in stored] == [AGENTS * BATCHES * (SIZE - 1), AGENTS * BATCHES, alerts]
    assert all(len(found) == len(set(found)) for found in stored)
    opened = {body["data"]["id"]: name for name, body in zip(receiver.ids, receiver.bodies, strict=True)}
    assert opened.keys() == set(stored[2])
    # A notification may come twice, under one id, where a leader died between sending it and noting that: never two.
    ids = Counter(
        body["data"]["id"]
        for body in dict(zip(receiver.ids, receiver.bodies, strict=True)).values()
        if body["type"] == "alert.opened"
    )
    assert set(ids.values()) == {1}

"""Agent and collector as processes of their own, each killed in the middle (SIGKILL), over both stores."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht_agent.spool import look
from schoolwacht_collector import config
from schoolwacht_collector.app import make_store
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.query.ast import Equals

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
ROUNDS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Line:
    """The files of one agent and one collector, and what has been written to the agent's EVE file."""

    def __init__(self, root: Path, store: str) -> None:
        self.root = root
        self.collector_file, self.agent_file = root / "collector.toml", root / "agent.toml"
        self.eve, self.key = root / "eve.json", root / "agent.key"
        self.written = 0
        port = free_port()
        self.collector_file.write_text(
            f'[collector]\nstate = "{root / "collector"}"\n[intake]\nlisten = "127.0.0.1:{port}"\n'
            f"[console]\nenabled = false\n{store}"
        )
        self.agent_file.write_text(
            f'[agent]\nname = "gw"\nstate = "{root / "agent"}"\n'
            '[minimise]\ndetail = "full"\n'
            f'[source]\nengine = "suricata"\n[source.suricata]\neve = "{self.eve}"\neve_from_start = true\n'
            f'[uplink]\ncollectors = ["http://127.0.0.1:{port}"]\nkey_file = "{self.key}"\n'
            "backoff_seconds = 0.2\nbatch_items = 100\n"
        )
        self.eve.touch()

    def write(self, count: int) -> None:
        """More DNS queries, each with a name of its own."""
        with self.eve.open("a") as file:
            for number in range(self.written, self.written + count):
                record = {
                    "timestamp": (START + timedelta(milliseconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
                    "event_type": "dns", "src_ip": "10.0.0.1", "src_port": 40000, "dest_ip": "9.9.9.9",
                    "dest_port": 53, "proto": "UDP",
                    "dns": {"type": "query", "id": number % 65536, "rrname": f"n{number}.example", "rrtype": "A"},
                }  # fmt: skip
                file.write(json.dumps(record) + "\n")
        self.written += count

    async def command(self, *words: str) -> None:
        """A command of the collector, to its end."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_collector.cli", *words, "--config", str(self.collector_file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, said.decode()

    async def start(self, name: str) -> asyncio.subprocess.Process:
        """Start the collector, the capture or the forwarder."""
        commands = {
            "collector": ("schoolwacht_collector.cli", "serve", "--config", str(self.collector_file)),
            "capture": ("schoolwacht_agent", "run", "--only", "capture", "--config", str(self.agent_file)),
            "forwarder": ("schoolwacht_agent", "run", "--only", "forwarder", "--config", str(self.agent_file)),
        }
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        environment.pop("SCHOOLWACHT_AGENT_KEY", None)
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", *commands[name], env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
        """Collector, capture and forwarder until the block ends."""
        processes = {name: await self.start(name) for name in ("collector", "capture", "forwarder")}
        try:
            yield processes
        finally:
            for process in processes.values():
                if process.returncode is None:
                    process.terminate()
            for process in processes.values():
                await asyncio.wait_for(process.wait(), 40)

    async def drained(self) -> None:
        """Wait until the spool has taken and settled everything that was written."""
        for _ in range(900):
            report = look(self.root / "agent" / "spool")
            if report is not None and report.delivered >= self.written and report.waiting == 0:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"the spool is not empty: {look(self.root / 'agent' / 'spool')}")

    async def stored_names(self) -> list[str]:
        """The names of all DNS events in the store, each as often as it stands there."""
        store = make_store(config.load(self.collector_file))
        await store.open()
        found: list[str] = []
        try:
            search = Search(Kind.EVENT, Equals("event.dataset", "dns"), SECTOR, limit=1000)
            while True:
                page = await store.search(search)
                found += [row["dns.question.name"] for row in page.rows]
                if page.next is None:
                    return found
                search = search._replace(after=page.next)
        finally:
            await store.close()


@pytest.fixture(params=["sqlite", "elasticsearch"])
def store(request: pytest.FixtureRequest) -> str:
    """The collector's ``[store]``."""
    if request.param == "sqlite":
        return '[store]\nkind = "sqlite"\n'
    url, prefix = request.getfixturevalue("elasticsearch_url"), request.getfixturevalue("index_prefix")
    return f'[store]\nkind = "elasticsearch"\n[store.elasticsearch]\nurls = ["{url}"]\nprefix = "{prefix}"\n'


@pytest.mark.timeout(300)
async def test_nothing_is_lost_and_nothing_doubled_when_every_part_is_killed(tmp_path: Path, store: str) -> None:
    line = Line(tmp_path, store)
    await line.command("init")
    await line.command("enrol", "gw", "--school", "00AA01", "--board", "99001", "--key-file", str(line.key))
    chance = random.Random(7)
    for _ in range(ROUNDS):
        async with line.running() as processes:
            await asyncio.sleep(1.5)
            for victim in chance.sample(sorted(processes), 3):
                line.write(chance.randint(200, 600))
                await asyncio.sleep(chance.uniform(0.05, 0.6))
                processes[victim].kill()
                await processes[victim].wait()
    async with line.running():
        line.write(100)
        await line.drained()
    await asyncio.sleep(6)  # Elasticsearch shows what was written after five seconds
    names = await line.stored_names()
    assert len(names) == len(set(names)), "stored twice"
    assert set(names) == {f"n{number}.example" for number in range(line.written)}

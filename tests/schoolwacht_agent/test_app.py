"""The agent as real processes: an EVE file that grows, kill -9 at any moment, a collector on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht.event import Dataset
from schoolwacht_agent.health import last_beat
from schoolwacht_agent.spool import look
from tests.schoolwacht_agent.collecting import StubCollector, collecting, cut_after_the_batch, status

START = datetime(2026, 1, 1, tzinfo=UTC)
#: A soak: SCHOOLWACHT_KILLS=1000 pytest tests/schoolwacht_agent/test_app.py -k killed --timeout 0
KILLS = int(os.environ.get("SCHOOLWACHT_KILLS", "6"))


class Place:
    """An agent's files, and its EVE file that Suricata would write."""

    def __init__(self, root: Path, url: str) -> None:
        self.state = root / "state"
        self.eve = root / "eve.json"
        self.config = root / "agent.toml"
        self.written = 0
        self.eve.touch()
        self.config.write_text(
            f'[agent]\nname = "gw"\nstate = "{self.state}"\nhealth_seconds = 5\n'
            f'[source]\nengine = "suricata"\n[source.suricata]\neve = "{self.eve}"\neve_from_start = true\n'
            f'[minimise]\ndetail = "full"\n[uplink]\ncollectors = ["{url}"]\nbackoff_seconds = 0.1\nbatch_items = 50\n'
        )

    def write(self, count: int) -> None:
        """More DNS queries, each with a name of its own."""
        with self.eve.open("a") as file:
            for number in range(self.written, self.written + count):
                moment = START + timedelta(milliseconds=number)
                record = {
                    "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
                    "event_type": "dns", "src_ip": "10.0.0.1", "src_port": 40000, "dest_ip": "9.9.9.9",
                    "dest_port": 53, "proto": "UDP",
                    "dns": {"type": "query", "id": number % 65536, "rrname": f"n{number}.example", "rrtype": "A"},
                }  # fmt: skip
                file.write(json.dumps(record) + "\n")
        self.written += count

    @asynccontextmanager
    async def agent(self, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """``schoolwacht-agent run`` until the block ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_agent", "run", "--config", str(self.config), *options,
            env=os.environ | {"SCHOOLWACHT_AGENT_KEY": "gw.secret"}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), 40)

    async def part(self, name: str, *, other_than: int = 0) -> int:
        """The process of a part, once it has begun a life of its own."""
        for _ in range(600):
            found = last_beat(self.state, name)
            if found is not None and found[0].pid != other_than and Path(f"/proc/{found[0].pid}").exists():
                return found[0].pid
            await asyncio.sleep(0.05)
        raise AssertionError(f"the {name} does not start")

    async def arrival(self, collector: StubCollector) -> None:
        """Wait until everything that was written is at the collector and settled."""
        for _ in range(1200):
            report = look(self.state / "spool")
            if len(names(collector)) >= self.written and report is not None and report.events.waiting == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.written - len(set(names(collector)))} of {self.written} did not arrive")


def names(collector: StubCollector) -> list[int]:
    """The numbers of the queries that the collector has, one for each identity."""
    return [
        int((event.dns_question_name or "")[1:].partition(".")[0])
        for event in collector.events.values()
        if event.event_dataset is Dataset.DNS
    ]


@pytest.fixture
async def collector() -> AsyncIterator[StubCollector]:
    async with collecting() as stub:
        yield stub


@pytest.mark.timeout(180 + 5 * KILLS)
async def test_parts_that_are_killed_lose_nothing_and_double_nothing(tmp_path: Path, collector: StubCollector) -> None:
    place = Place(tmp_path, collector.url)
    chance = random.Random(KILLS)
    for kill in range(KILLS):
        if kill % 3 == 1:
            collector.script = [cut_after_the_batch, status(503)]
        async with place.agent("--only", "capture") as capture, place.agent("--only", "forwarder") as forwarder:
            victims = [(capture,), (forwarder,), (capture, forwarder)][kill % 3]
            await place.part("capture", other_than=0)
            for _ in range(chance.randint(2, 12)):
                place.write(chance.randint(1, 60))
                await asyncio.sleep(chance.uniform(0, 0.08))
            for victim in victims:
                victim.kill()
                await victim.wait()
    async with place.agent("--only", "capture"), place.agent("--only", "forwarder"):
        await place.arrival(collector)
    assert sorted(names(collector)) == list(range(place.written))
    report = look(place.state / "spool")
    assert report is not None
    assert report.lost == {}


async def test_the_supervisor_starts_again_what_died_and_tells_the_collector(
    tmp_path: Path, collector: StubCollector
) -> None:
    place = Place(tmp_path, collector.url)
    async with place.agent() as parent:
        place.write(10)
        capture, forwarder = await place.part("capture"), await place.part("forwarder")
        os.kill(capture, signal.SIGKILL)
        os.kill(forwarder, signal.SIGKILL)
        place.write(10)
        await place.part("capture", other_than=capture)
        await place.part("forwarder", other_than=forwarder)
        await place.arrival(collector)
        for _ in range(200):
            told = [event for event in collector.events.values() if event.health_condition == "restarted"]
            if told:
                break
            await asyncio.sleep(0.05)
        parent.terminate()
        assert await asyncio.wait_for(parent.wait(), 40) == 0
    assert told
    assert "the capture was ended by SIGKILL" in (told[0].message or "")
    assert sorted(names(collector)) == list(range(20))
    assert not [part for part in ("capture", "forwarder") if _lives(place, part)]


async def test_health_comes_by_itself(tmp_path: Path, collector: StubCollector) -> None:
    place = Place(tmp_path, collector.url)
    async with place.agent():
        for _ in range(400):
            reports = [event for event in collector.events.values() if event.event_dataset is Dataset.HEALTH]
            totals = [event for event in reports if event.health_memory_bytes]
            if totals:
                break
            await asyncio.sleep(0.05)
    assert totals
    assert "spool.bytes" in (totals[0].nsm_detail or {})


async def test_parts_end_when_their_parent_is_killed(tmp_path: Path, collector: StubCollector) -> None:
    place = Place(tmp_path, collector.url)
    async with place.agent() as parent:
        await place.part("capture")
        await place.part("forwarder")
        parent.kill()
        await parent.wait()
        for _ in range(300):
            if not _lives(place, "capture") and not _lives(place, "forwarder"):
                return
            await asyncio.sleep(0.05)
    raise AssertionError("a part outlives its parent")


def _lives(place: Place, part: str) -> bool:
    found = last_beat(place.state, part)
    return found is not None and Path(f"/proc/{found[0].pid}").exists()

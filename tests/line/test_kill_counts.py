"""What the agent has counted and not sent survives SIGKILL: the capturing process, killed in the middle of its sums."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict, decode_event
from schoolwacht_agent.health import last_beat
from schoolwacht_agent.spool import Reader

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
KILLS = 4


class Agent:
    """A capturing process over an EVE file: pupils' events become sums, those of a staff network stay events."""

    def __init__(self, root: Path) -> None:
        self.state, self.eve, self.config = root / "state", root / "eve.json", root / "agent.toml"
        self.config.write_text(
            f'[agent]\nname = "gw"\nstate = "{self.state}"\n[minimise]\ndetail = "summary"\n'
            f'[source]\nengine = "suricata"\n[source.suricata]\neve = "{self.eve}"\neve_from_start = true\n'
            '[[zones]]\nname = "staff"\nkind = "staff"\nnetworks = ["10.9.0.0/16"]\n'
            '[uplink]\ncollectors = ["http://127.0.0.1:9"]\n'
        )
        self.eve.touch()
        self.written = 0

    def write(self, count: int) -> None:
        """More requests, one a tenth of a second; each seventh of the staff."""
        with self.eve.open("a") as file:
            for number in range(self.written, self.written + count):
                client = f"10.9.0.{number % 5 + 1}" if number % 7 == 0 else f"10.1.0.{number % 50 + 1}"
                record = {
                    "timestamp": (START + timedelta(milliseconds=100 * number)).strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
                    "event_type": "http", "src_ip": client, "src_port": 40000, "dest_ip": "203.0.113.9",
                    "dest_port": 80, "proto": "TCP",
                    "http": {"hostname": f"www.n{number % 30}.example", "http_user_agent": f"browser/{number % 4}"},
                }  # fmt: skip
                file.write(json.dumps(record) + "\n")
        self.written += count

    async def start(self) -> asyncio.subprocess.Process:
        """Start it and wait until it lives."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schoolwacht_agent", "run", "--only", "capture", "--config", str(self.config),
            env=os.environ | {"SCHOOLWACHT_AGENT_KEY": "gw.secret"}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(600):
            beat = last_beat(self.state, "capture")
            if beat is not None and beat[0].pid == process.pid:
                return process
            await asyncio.sleep(0.05)
        raise AssertionError("the capture does not come up")

    def events(self) -> list[Event]:
        """Everything in the spool."""
        found: list[Event] = []
        with Reader(self.state / "spool") as reader:
            while (portion := reader.take(2000, 1 << 22)) is not None:
                found += [decode_event(item.raw) for item in portion.items]
                reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
        for one in found:
            derive(one)
        return found


@pytest.mark.timeout(240)
async def test_no_count_is_lost_or_doubled_when_the_capture_is_killed(tmp_path: Path) -> None:
    agent, chance = Agent(tmp_path), random.Random(11)
    for _ in range(KILLS):
        process = await agent.start()
        for _ in range(chance.randint(1, 4)):
            agent.write(chance.randint(50, 400))
            await asyncio.sleep(chance.uniform(0.05, 0.9))
        process.kill()
        await process.wait()
    process = await agent.start()
    agent.write(100)
    for _ in range(600):
        beat = last_beat(agent.state, "capture")
        if beat is not None and beat[0].pid == process.pid and beat[0].figures.get("events", 0) >= 100:
            break
        await asyncio.sleep(0.05)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 60) == 0
    found: Counter[str] = Counter()
    for one in agent.events():
        if one.event_dataset is Dataset.SUMMARY:
            found["summed"] += one.summary_events or 0
        elif one.event_dataset is Dataset.SIGHTING:
            found[f"sighted {one.sighting_kind}"] += one.sighting_count or 0
        else:
            found[one.event_dataset.value] += one.event_dataset is Dataset.HTTP
        assert one.health_condition != "cut"
    staff = len(range(0, agent.written, 7))
    assert +found == {
        "http": staff,
        "summed": agent.written - staff,
        "sighted domain": agent.written,
        "sighted user-agent": agent.written,
    }

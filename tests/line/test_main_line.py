"""The whole line: captures through a real agent process and a real collector to alerts in a store."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht_collector.app import Collector, running
from schoolwacht_collector.config import local
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.indicators import load_indicators
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School
from schoolwacht_collector.registry import enrol
from tests.parts import CAPTURES

NAMES = ("web-and-dns", "port-scan", "ssh-guessing", "dns-tunnel", "bad-download", "bad-tls")


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    async with running(local(tmp_path / "collector"), init=True) as started:
        yield started


async def agent(collector: Collector, state: Path, *captures: Path) -> tuple[int, str]:
    """Run ``schoolwacht-agent replay --send`` to its end; its exit code and what it said."""
    school = School(location="00AA01", board="99001")
    enrolment = await enrol(collector.store, "gw-00aa01", [school], replace=True, now=datetime.now(UTC))
    state.mkdir(exist_ok=True)
    configuration = state / "agent.toml"
    configuration.write_text(
        f'[agent]\nname = "gw-00aa01"\nhome = ["10.0.0.0/8"]\nstate = "{state}"\n'
        f'[uplink]\ncollectors = ["{collector.intake_url}"]\n'
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schoolwacht_agent.cli", "replay", "--engine", "packets", "--send",
        "--config", str(configuration), *map(str, captures),
        env=os.environ | {"SCHOOLWACHT_AGENT_KEY": enrolment.key},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, said.decode()


async def stored(collector: Collector, kind: Kind) -> int:
    page = await collector.store.search(Search(kind, All(), SECTOR, limit=10_000))
    return len(page.rows)


async def test_every_event_of_the_recordings_is_stored_once_and_the_attacks_become_alerts(
    collector: Collector, tmp_path: Path
) -> None:
    indicators, faults = load_indicators(CAPTURES / "indicators.csv")
    assert faults == []
    await collector.store.put_many(Kind.INDICATOR, indicators)
    await asyncio.sleep(6)  # the matcher looks for new indicators every few seconds
    code, said = await agent(collector, tmp_path / "agent", *(CAPTURES / f"{name}.pcap" for name in NAMES))
    assert code == 0, said
    delivered = int(said.split("delivered ")[1].split(",")[0])
    alerts: dict[str, int] = {}
    for _ in range(100):
        page = await collector.store.search(Search(Kind.ALERT, All(), SECTOR, limit=1000))
        alerts = {str(row.get("signal.detection", row["rule.id"])): int(row["alert.count"]) for row in page.rows}
        if {"D01", "D04", "D21", "D24"} <= alerts.keys():
            break
        await asyncio.sleep(0.1)
    assert {"D01", "D04", "D21", "D24"} <= alerts.keys()
    events = await stored(collector, Kind.EVENT)
    signals = await collector.store.search(Search(Kind.SIGNAL, All(), SECTOR, limit=10_000))
    from_agent = sum(row["rule.ruleset"] == "behaviour" for row in signals.rows)
    assert events + from_agent == delivered
    assert {row["school.location"] for row in signals.rows} == {"00AA01"}


async def test_a_damaged_capture_is_named_and_the_others_are_delivered(collector: Collector, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes((CAPTURES / "bad-tls.pcap").read_bytes()[:500])
    code, said = await agent(collector, tmp_path / "agent", cut, CAPTURES / "bad-download.pcap")
    assert code == 2
    assert str(cut) in said
    assert await stored(collector, Kind.EVENT) > 5

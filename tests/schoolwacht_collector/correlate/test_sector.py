"""A small sector's school day: every campaign is found and no innocent twin is raised (the full size is a bench)."""

from __future__ import annotations

from datetime import timedelta

from schoolwacht_collector.index.memory import MemoryStore
from tests.bench.sector.day import Sector, background, plant, play

_RECORDED = [
    {"signal.detection": "D01", "signal.severity": "Minor", "network.direction": "internal", "source.ip": "10.1.0.7"},
    {"signal.detection": "D04", "signal.severity": "Minor", "network.direction": "inbound", "source.ip": "198.18.0.1"},
    {"signal.detection": "D18", "signal.severity": "Minor", "network.direction": "outbound", "source.ip": "10.1.0.8"},
]


async def test_every_campaign_is_found_and_no_twin_is_raised() -> None:
    sector = Sector(60, 13)
    background(sector, signals=150, sightings=150, recorded=_RECORDED)
    plant(sector)
    result = await play(sector, MemoryStore(), step=timedelta(minutes=30))
    assert {planted.rule for planted in result.found} == {"X1", "X2", "X3", "X4", "X5", "X6", "X7", "X8"}
    assert not result.missed
    assert not result.twins
    assert not result.others

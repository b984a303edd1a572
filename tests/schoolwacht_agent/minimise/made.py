"""A step over made settings, and events as a source would make them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.keys import BoardKey, Keys
from schoolwacht_agent.minimise.open import policy_of
from schoolwacht_agent.minimise.period import Period, number_of
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.settings import Level, MinimiseTable
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.standpoint.settings import ZoneTable

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KEY = BoardKey(period=Period.MONTH, number=number_of(Period.MONTH, NOW) - 1, key="5a" * 32)
CLIENT, SERVER = "10.21.3.7", "203.0.113.9"


def pseudonyms(school: str = "", period: str = "202611", key: bytes = bytes(32), **more: Any) -> Pseudonyms:
    """Of a school whose networks are the private ones."""
    return Pseudonyms(key, school, period, is_own=Homes().is_home, **more)


def hosts(**more: Any) -> Hosts:
    """Of the same school."""
    return Hosts(pseudonyms(), **more)


def keys(now: datetime = NOW, key: BoardKey = KEY) -> Keys:
    """The keys at ``now``."""
    return Keys(key, clock=lambda: now)


def step(
    level: Level = Level.FULL,
    zones: Sequence[ZoneTable] = (),
    *,
    register: Register | None = None,
    **settings: Any,
) -> Minimise:
    """The step with ``[minimise]`` settings."""
    homes = Homes()
    policy = policy_of(MinimiseTable(detail=level, **settings), zones, homes, Gateway(homes, zones))
    return Minimise(policy, keys(), register or Register(Path(), None, max_bytes=1, keep=1))


def flow(seconds: float = 0.0, **fields: Any) -> Event:
    """An outbound flow of a client that ends so many seconds after :data:`NOW`."""
    end = NOW + timedelta(seconds=seconds)
    given: dict[str, Any] = {
        "event_module": "packets",
        "source_ip": CLIENT,
        "source_port": 50000,
        "destination_ip": SERVER,
        "destination_port": 443,
        "network_transport": "tcp",
        "network_protocol": "tls",
        "network_direction": Direction.OUTBOUND,
        "event_start": end - timedelta(seconds=2),
        "event_end": end,
        "source_bytes": 100,
        "source_packets": 2,
        "destination_bytes": 900,
        "destination_packets": 3,
    }
    return Event(end, Dataset.FLOW, **(given | fields))


def event(dataset: Dataset, seconds: float = 0.0, **fields: Any) -> Event:
    """An outbound event of a client."""
    given: dict[str, Any] = {
        "source_ip": CLIENT,
        "destination_ip": SERVER,
        "network_direction": Direction.OUTBOUND,
    }
    return Event(NOW + timedelta(seconds=seconds), dataset, **(given | fields))


def shown(one: Event) -> dict[str, Any]:
    """The fields of an event that are set, by their Python names."""
    return {
        item.name: value for item in msgspec.structs.fields(type(one)) if (value := getattr(one, item.name)) is not None
    }

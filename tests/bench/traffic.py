"""Realistic events for the benchmarks: a capture through a real engine, moved to now, as batches ready to be sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import zstandard

from schoolwacht.event import Event
from schoolwacht.indicators import IndicatorType
from schoolwacht.wire import encode_batch, encode_event
from schoolwacht_agent.config import EngineName, SourceTable, SuricataTable
from schoolwacht_agent.sources import SOURCES
from schoolwacht_collector.records import Indicator

_TIMES = ("timestamp", "event_start", "event_end")


class Frame(NamedTuple):
    """One batch as it travels."""

    data: bytes
    items: int


def events_of(capture: Path, engine: EngineName, *, at_most: int) -> list[Event]:
    """The events that an engine makes of a capture (``.zst`` too), their times moved so that the last is now."""
    with tempfile.TemporaryDirectory() as directory:
        if capture.suffix == ".zst":
            plain = Path(directory) / capture.stem
            with capture.open("rb") as packed, plain.open("wb") as file:
                zstandard.ZstdDecompressor().copy_stream(packed, file)
            capture = plain
        source = SOURCES[engine]().offline(capture, SourceTable(engine=engine, suricata=SuricataTable(own_rules=False)))
        events: list[Event] = []
        for some in source.read():
            events += some
            if len(events) >= at_most:
                source.stop()
                break
    del events[at_most:]
    moved = datetime.now(UTC) - max(event.timestamp for event in events)
    for event in events:
        for name in _TIMES:
            if (moment := getattr(event, name)) is not None:
                setattr(event, name, moment + moved)
    return events


def frames(events: list[Event], *, size: int, number: int) -> Iterator[Frame]:
    """``number`` batches of ``size`` events each: the same events over and over, each time with new identities."""
    encoded = [encode_event(event) for event in events]
    for batch in range(number):
        start = batch * size % len(encoded)
        items = [encoded[(start + place) % len(encoded)] for place in range(size)]
        yield Frame(encode_batch(f"{batch:016x}", range(size), items, level=1), size)


def indicators(number: int) -> list[Indicator]:
    """``number`` indicators, a third each addresses, networks and domains, of which documentation traffic hits none."""
    now = datetime.now(UTC) - timedelta(days=1)
    made = []
    for place in range(number):
        kind, value = (
            (IndicatorType.ADDRESS, f"203.{place >> 14 & 255}.{place >> 6 & 255}.{place & 63}"),
            (IndicatorType.NETWORK, f"198.{place >> 16 & 255}.{place >> 8 & 255}.0/24"),
            (IndicatorType.DOMAIN, f"host{place}.bad{place % 977}.example"),
        )[place % 3]
        made.append(Indicator(id=f"bench-{place}", timestamp=now, type=kind, value=value))
    return made

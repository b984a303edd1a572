"""Frames through the engine, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.records import PAD, TAGGED, Batch, Link
from schoolwacht_agent.sources.port import Counters
from tests.schoolwacht_agent.sources.packets.made import START

Timed = tuple[float, bytes]


def batch_of(frames: Iterable[bytes | Timed], *, link: int = Link.ETHERNET, tag: int | None = None) -> Batch:
    """One batch. A frame without a time comes a millisecond after the one before; times are seconds after START."""
    buffer = bytearray()
    records = []
    now = 0.0
    for item in frames:
        now, frame = item if isinstance(item, tuple) else (now + 0.001, item)
        mark = 0 if tag is None else tag | TAGGED
        records.append((START + now, len(frame), len(buffer), len(frame), mark))
        buffer += frame
    return Batch(bytes(buffer) + PAD, link, records)


class Played:
    """What the engine tells of some frames, and what it counts."""

    def __init__(
        self,
        *frames: bytes | Timed,
        link: int = Link.ETHERNET,
        tag: int | None = None,
        settings: PacketsTable | None = None,
        batches: Iterable[Batch] = (),
    ) -> None:
        self.counters = Counters()
        engine = Engine(settings or PacketsTable(), self.counters)
        try:
            for batch in batches or [batch_of(frames, link=link, tag=tag)]:
                engine.feed(batch)
            #: What was known before the end.
            self.early = engine.take()
            engine.close()
            self.events = self.early + engine.take()
        finally:
            engine.end()

    @property
    def flows(self) -> list[Event]:
        return [event for event in self.events if event.event_dataset is Dataset.FLOW]

    @property
    def flow(self) -> Event:
        """The only flow."""
        (flow,) = self.flows
        return flow

    def of(self, dataset: Dataset) -> list[Event]:
        return [event for event in self.events if event.event_dataset is dataset]

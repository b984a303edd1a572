"""What the behaviour detectors cost: memory a tracked thing, and time an event.

    python -m tests.bench.behaviour                  memory, by tracemalloc
    python -m tests.bench.behaviour CAPTURE          and the time over a capture, beside the engine's own

Memory is that of a detector that has seen 500 different things (a pair of hosts, a domain, a user: what its module
says), each once, by what it holds afterwards. Time is CPU time: of the ``packets`` engine, the detectors, and each.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from pathlib import Path

from schoolwacht.event import Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour, detectors
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.calendar import Calendar, CalendarSettings
from schoolwacht_agent.behave.port import Detector
from schoolwacht_agent.config import EngineName, SourceTable
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.sources import SOURCES
from tests.schoolwacht_agent.behave.floods import FLOODS

THINGS = 500
ROUNDS = 5


def fresh() -> tuple[Detector, ...]:
    """New detectors."""
    return detectors(BehaveSettings(), Baselines(Calendar(CalendarSettings())))


def memory() -> None:
    """Bytes a tracked thing."""
    for name, flood in FLOODS.items():
        events = list(flood(THINGS))
        measured = next(one for one in fresh() if one.id == name)
        gc.collect()
        tracemalloc.start()
        for event in events:
            if event.event_dataset in measured.datasets:
                list(measured.see(event))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{name}  {held / THINGS:8,.0f} bytes a thing")


def cost(judge: object, events: list[Event]) -> float:
    """CPU seconds of the cheapest of a few rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        run = judge()  # type: ignore[operator]
        began = time.process_time()
        run(events)
        best = min(best, time.process_time() - began)
    return best


def speed(capture: Path) -> None:
    """Time over a capture."""
    source = SOURCES[EngineName.PACKETS]().offline(capture, SourceTable(engine=EngineName.PACKETS))
    began = time.process_time()
    events = [event for some in source.read() for event in some]
    engine = time.process_time() - began
    homes = Homes()
    for event in events:
        homes.direct(event)
    packets = source.counters.packets
    together = cost(lambda: Behaviour(BehaveSettings()).judge, events)
    print(f"{packets:,} packets, {len(events):,} events; engine {packets / engine:,.0f} packets/s")
    print(
        f"all detectors {together / len(events) * 1e6:.2f} µs an event; "
        f"engine and detectors {packets / (engine + together):,.0f} packets/s"
    )
    for place, one in enumerate(fresh()):
        own = [event for event in events if event.event_dataset in one.datasets]

        def alone(place: int = place) -> object:
            see = fresh()[place].see
            return lambda some: [signal for event in some for signal in see(event)]

        seconds = cost(alone, own)
        print(f"{one.id}  {len(own):7,} of them its own, {seconds / max(1, len(own)) * 1e6:6.2f} µs each")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="What the behaviour detectors cost.")
    parser.add_argument("capture", nargs="?", type=Path, metavar="CAPTURE")
    capture: Path | None = parser.parse_args().capture
    memory()
    if capture is not None:
        speed(capture)


if __name__ == "__main__":
    main()

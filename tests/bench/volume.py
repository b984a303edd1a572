"""How many bytes an agent sends for a million packets, at each level of detail.

    python -m tests.bench.volume CAPTURE… [--engine suricata|packets] [--batch 2000]

Each capture goes through source, standpoint, behaviour and ``minimise`` as in ``run``; what comes out is put into
batches as the uplink does (MessagePack, zstd level 1). Beside the levels stands what leaves with ``minimise`` off,
and the capture itself. Goal: ``summary`` at most 15 % of ``full``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from schoolwacht.event import Event
from schoolwacht.wire import encode_batch, encode_event
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.config import DEFAULT_HOME, EngineName, SourceTable
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.minimise.keys import Keys, new_key
from schoolwacht_agent.minimise.open import policy_of
from schoolwacht_agent.minimise.period import Period
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.settings import Level, MinimiseTable
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.sources import choose
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from tests.bench.eve import EPOCH

MILLION = 1_000_000


class Volume(NamedTuple):
    """What a capture gives: packets, and events and bytes on the wire by level (None: minimise off)."""

    packets: int
    events: dict[Level | None, int]
    sizes: dict[Level | None, int]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("captures", type=Path, nargs="+")
    parser.add_argument("--engine", type=EngineName, choices=list(EngineName), default=EngineName.AUTO)
    parser.add_argument("--batch", type=int, default=2000)
    options = parser.parse_args()
    total = Volume(0, {}, {})
    print(f"{'bytes a million packets':28}{'off':>14}{'full':>14}{'summary':>14}{'alerts':>14}  summary : full")
    for capture in options.captures:
        found = volume(capture, options.engine, options.batch)
        show(capture.name, found)
        total = Volume(
            total.packets + found.packets,
            {level: total.events.get(level, 0) + count for level, count in found.events.items()},
            {level: total.sizes.get(level, 0) + size for level, size in found.sizes.items()},
        )
    if len(options.captures) > 1:
        show("all together", total)


def volume(capture: Path, engine: EngineName, batch: int) -> Volume:
    """What one capture gives."""
    events: dict[Level | None, int] = {}
    sizes: dict[Level | None, int] = {}
    packets = 0
    for level in (None, *Level):
        table = structs.replace(SourceTable(home=DEFAULT_HOME), engine=engine)
        source = choose(table)[1].offline(capture, table)
        steps = _steps(level)
        kept = [event for each in source.read() for event in steps.through(each)] + steps.finish()
        packets = source.counters.packets
        events[level] = len(kept)
        sizes[level] = sum(len(frame) for frame in _frames(kept, batch))
    return Volume(packets, events, sizes)


def show(name: str, found: Volume) -> None:
    """One line."""
    each = {level: size * MILLION / max(1, found.packets) for level, size in found.sizes.items()}
    share = 100 * found.sizes[Level.SUMMARY] / max(1, found.sizes[Level.FULL])
    columns = "".join(f"{each[level]:14,.0f}" for level in (None, Level.FULL, Level.SUMMARY, Level.ALERTS))
    print(f"{name[:27]:28}{columns}  {share:5.1f} %")
    counts = "".join(f"{found.events[level]:14,}" for level in (None, Level.FULL, Level.SUMMARY, Level.ALERTS))
    print(f"{f'  events of {found.packets:,} packets':28}{counts}")


def _steps(level: Level | None) -> Steps:
    homes = Homes()
    gateway = Gateway(homes)
    if level is None:
        return Steps(gateway, BehaveSettings())
    policy = policy_of(MinimiseTable(detail=level), (), homes, gateway)
    keys = Keys(new_key(Period.MONTH, datetime.now(UTC)))
    register = Register(Path(), None, max_bytes=1, keep=1)
    return Steps(gateway, BehaveSettings(), minimise=Minimise(policy, keys, register))


def _frames(events: Sequence[Event], batch: int) -> list[bytes]:
    encoded = [encode_event(event) for event in events]
    parts = [encoded[at : at + batch] for at in range(0, len(encoded), batch)]
    return [encode_batch(EPOCH, range(len(part)), part) for part in parts]


if __name__ == "__main__":
    main()

"""What behaviour and minimising cost behind Suricata: EVE lines to batches on one core.

    python -m tests.bench.minimise EVE_OR_CAPTURE [--batch 1000] [--rounds 5] [--times 4]

The same lines go through the line in one process, as the agent takes them (32 KiB of lines at a time) and sends them
(batches of some thousand events), each step added in turn: events to compressed batches; with direction, zone and
behaviour; with ``minimise`` at each level. CPU time, best of some rounds, over the lines ``--times`` times (a capture
is short, a school's names and addresses come back all day; the first time with empty caches is shown apart).
Goals: minimise at most 2.5 µs an event; 100,000 events a second with everything on.

The ceiling shown beside it is what HMAC-SHA-256 alone does in this process.
"""

from __future__ import annotations

import argparse
import hmac
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from schoolwacht.wire import encode_batch, encode_event
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.cycles import look_seldom
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.minimise.keys import Keys, new_key
from schoolwacht_agent.minimise.open import policy_of
from schoolwacht_agent.minimise.period import Period
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.settings import Level, MinimiseTable
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata.eve import Reader
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.steps import Steps
from tests.bench.eve import EPOCH, chunks, peer_frames, read_lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path, help="an EVE file (.json) or a capture")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=4)
    options = parser.parse_args()
    lines = read_lines(options.file)
    look_seldom()  # as the capturing process does
    batches = [lines[at : at + options.batch] for at in range(0, len(lines), options.batch)]
    print(f"{options.file.name}: {len(lines)} lines, in batches of {options.batch}, {options.times} times over")

    def run(steps: Steps | None, times: int) -> float:
        reader = Reader(Counters(), own_engine=True, health=False)
        seconds = 0.0
        for _ in range(times):
            for batch in batches:
                began = time.process_time()
                encoded: list[bytes] = []
                for some in chunks(batch):
                    events = reader.events(some)
                    encoded += map(encode_event, events if steps is None else steps.through(events))
                encode_batch(EPOCH, range(len(encoded)), encoded)
                seconds += time.process_time() - began
        return seconds / (times * len(lines)) * 1e6

    def best(name: str, level: Level | None = None, *, plain: bool = False, times: int = options.times) -> float:
        each = min(run(None if plain else _steps(level), times) for _ in range(options.rounds))
        print(f"  {name:44} {each:7.2f} µs an event   {1e6 / each:10,.0f} events/s")
        return each

    best("line → event → MessagePack → zstd", plain=True)
    judged = best("with direction and behaviour")
    for level in Level:
        each = best(f"with minimise, {level.value}", level)
        print(f"    minimise adds {each - judged:+.2f} µs an event")
    cold = best("with minimise, full, empty caches", Level.FULL, times=1)
    print(f"    against {cold - best('without, once', times=1):+.2f} µs an event added")
    began = time.process_time()
    list(peer_frames(batches, 1))
    peer = (time.process_time() - began) / len(lines) * 1e6
    print(f"  {'peer: json.loads → dict → msgpack → zstd':44} {peer:7.2f} µs an event")
    print(f"  HMAC-SHA-256 alone: {_hmacs():,.0f} a second")


def _steps(level: Level | None) -> Steps:
    homes = Homes()
    gateway = Gateway(homes)
    if level is None:
        return Steps(gateway, BehaveSettings())
    policy = policy_of(MinimiseTable(detail=level), (), homes, gateway)
    keys = Keys(new_key(Period.MONTH, datetime.now(UTC)))
    return Steps(
        gateway, BehaveSettings(), minimise=Minimise(policy, keys, Register(Path(), None, max_bytes=1, keep=1))
    )


def _hmacs() -> float:
    key, values = bytes(32), [str(number).encode() for number in range(50_000)]
    began = time.process_time()
    for value in _each(values):
        hmac.digest(key, value, "sha256")
    return len(values) / (time.process_time() - began)


def _each(values: list[bytes]) -> Iterator[bytes]:
    yield from values


if __name__ == "__main__":
    main()

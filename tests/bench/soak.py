"""Half the highest rate for a long time: how memory grows and what is lost.

    python -m tests.bench.soak CAPTURE [--minutes 30] [--rate 75000] [--engine packets]

The agent's capturing process with everything on listens at one end of a veth pair, its forwarding process delivers to a
collector that takes everything; tcpreplay plays the capture over and over at the other end. Once a second the resident
memory of each process is noted. The slope is that of a straight line through the second half (the first fills tables
that are bounded), in MiB an hour. A goal: below 1 MiB/h, nothing lost. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.agents import Part, environment, family, memory, write_config
from tests.bench.promises.backlog import taking
from tests.bench.veth import Wire, playable, wire

_PIECE_SECONDS = 60.0


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=75_000)
    parser.add_argument("--engine", default="packets")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, wire("soak") as pair:
        capture = playable(options.capture, Path(directory))
        with environment(SCHOOLWACHT_AGENT_KEY="bench.secret"):
            asyncio.run(soak(options, pair, capture, Path(directory)))


async def soak(options: argparse.Namespace, pair: Wire, capture: Path, root: Path) -> None:
    """Run and print."""
    async with taking() as sink:
        tables = {
            "source": {"engine": options.engine, "interface": pair.interface},
            "uplink": {"collectors": [sink.url]},
        }
        config = write_config(root, tables)
        with Part(config, "capture", wrap=pair.listening) as capturing, Part(config, "forwarder") as forwarding:
            await asyncio.to_thread(capturing.wait, lambda: capturing.listens() and capturing.beat() is not None, 30.0)
            await asyncio.sleep(2.0)
            parts = {"capture": capturing, "forwarder": forwarding}
            playing = asyncio.create_task(asyncio.to_thread(play, pair, capture, options.rate, options.minutes * 60))
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
            began = time.monotonic()
            while not playing.done():
                for name, part in parts.items():
                    size = sum(memory(one) for one in family(part.process.pid)) / (1 << 20)
                    seen[name].append(((time.monotonic() - began) / 3600, size))
                await asyncio.sleep(1.0)
            sent = await playing
            await asyncio.sleep(5.0)
            beat = capturing.beat()
    figures = beat.figures if beat is not None else {}
    counted, dropped = figures.get("packets", 0), figures.get("dropped", 0)
    print(f"{sent:,} packets in {options.minutes:g} minutes, {options.rate:,} a second, engine {options.engine}")
    print(f"  lost: {sent - counted:,} packets ({100 * (sent - counted) / max(1, sent):.4f} %), told: {dropped:,}")
    print(f"  events shed: {figures.get('shed', 0):,}; delivered: {sink.taken:,}")
    for name, points in seen.items():
        half = points[len(points) // 2 :]
        slope = statistics.linear_regression([at for at, _ in half], [size for _, size in half]).slope
        most = max(size for _, size in points)
        print(f"  {name}: {points[-1][1]:.1f} MiB at the end, {most:.1f} at most, {slope:+.2f} MiB/h")


def play(pair: Wire, capture: Path, rate: int, seconds: float) -> int:
    """Play for so long, in pieces; returns how many packets were sent."""
    sent = 0
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0.5:
        sent += pair.send(capture, rate=rate, seconds=min(left, _PIECE_SECONDS)).packets
    return sent


if __name__ == "__main__":
    main()

"""What evidence costs: ``python -m tests.bench.evidence [CAPTURE]``.

The engine over the same packets with and without the ring of recent packets, in turns, by processor time: nanoseconds a
packet and the share of the engine's speed. Then one decoding: seconds, and the most memory of its processes together.
The peer is the engine alone, in the same run.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.evidence.dissect import Decoded, Job
from schoolwacht_agent.evidence.packets import capture_file, packets_of
from schoolwacht_agent.evidence.recent import Recent
from schoolwacht_agent.evidence.run import Run
from schoolwacht_agent.evidence.settings import EvidenceTable
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.records import Batch
from schoolwacht_agent.sources.port import Counters
from tests.parts import SHARED_CAPTURES, program
from tests.schoolwacht_agent.evidence.standin import processes_of, resident

ROUNDS = 5
DEPTHS = (8, 24, 64)


def seconds_of(batches: list[Batch], keeper: Recent | None) -> float:
    """Processor time of the engine over the batches."""
    engine = Engine(PacketsTable(rare_per_second=0), Counters(), keeper=keeper)
    began = time.process_time()
    for batch in batches:
        engine.feed(batch)
        engine.take()
    spent = time.process_time() - began
    engine.end()
    return spent


def ring(batches: list[Batch]) -> None:
    """Print what the ring costs."""
    packets = sum(len(batch.records) for batch in batches)
    total = sum(record[1] for batch in batches for record in batch.records)
    best: dict[int, float] = {}
    kept: dict[int, Recent] = {}
    with tempfile.TemporaryDirectory() as directory:
        for turn in range(ROUNDS):
            best[0] = min(best.get(0, 1e9), seconds_of(batches, None))
            for depth in DEPTHS:
                recent = Recent(depth, 32 << 20, 1e9)
                best[depth] = min(best.get(depth, 1e9), seconds_of(batches, recent))
                kept[depth] = recent
            disk = Recent(24, 32 << 20, 1e9, Path(directory) / str(turn))
            best[-24] = min(best.get(-24, 1e9), seconds_of(batches, disk))
    alone = best.pop(0)
    print(f"{packets:,} packets; engine alone {alone / packets * 1e9:,.0f} ns, {packets / alone:,.0f} packets/s")
    for depth, spent in best.items():
        where = "on disk" if depth < 0 else "in memory"
        share, more = kept[abs(depth)].taken / packets, (spent - alone) / packets * 1e9
        print(
            f"ring of {abs(depth):3} packets a direction {where:9}: +{more:4.0f} ns a packet, "
            f"{alone / spent:6.1%} of the speed; keeps {share:.1%} of the packets of {total >> 20} MiB"
        )


def decoding(batches: list[Batch]) -> None:
    """Print what one decoding costs."""
    settings = EvidenceTable()
    packets = [packet for batch in batches[:1] for packet in packets_of(batch)][: settings.packets]
    pcap = capture_file(packets, packets[0].link)
    tshark = str(program("tshark", "tshark"))
    job = Job(tshark, settings.dissect_mib << 20, settings.dissect_seconds, packets=len(packets))
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        for turn in range(3):
            began, most = time.monotonic(), 0
            run = Run(Path(directory) / str(turn), job, Decoded, seconds=30, capture=pcap)
            while not run.done():
                most = max(most, sum(resident(pid) for pid in processes_of(run.pid)))
                time.sleep(0.002)
            decoded = run.answer()
            print(
                f"decoding of {len(decoded.packets)} packets: {time.monotonic() - began:.2f} s, "
                f"{most / (1 << 20):.0f} MiB resident together"
            )
    print(f"largest process {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    """Run all of it."""
    capture = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED_CAPTURES / "mix.pcap.zst"
    batches = list(read_capture(capture))
    seconds_of(batches, None)
    ring(batches)
    decoding(batches)


if __name__ == "__main__":
    main()

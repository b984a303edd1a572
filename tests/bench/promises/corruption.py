"""Promise 3: corruption costs the damaged record only. Long form of tests/schoolwacht_agent/spool/test_damage.py.

    python -m tests.bench.promises.corruption [--groups 12] [--starts 60]

Every byte of every segment is flipped, and every segment is cut to every shorter length, each time in a fresh copy of
the spool; then the spool is opened, takes new events and gives out what it has. What comes out and what it counts as
lost must be all there was, and a flipped byte may cost one event at most. No file is ever deleted by hand. The time of
a start is measured on a real disk with full segments of 4 MiB, damaged at random places.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import Verdict as Word
from schoolwacht.wire import decode_event, encode_event
from schoolwacht_agent.spool import Reader, Writer, look
from tests.bench.promises.verdict import Verdict
from tests.schoolwacht_agent.spool.disk_model import ModelDisk

_NOWHERE = Path("/nowhere")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Harm(NamedTuple):
    """What came of some damage: how often it was done, the most it cost, and what was not counted exactly."""

    number: int
    most: int
    wrong: list[str]


def main() -> None:
    """Damage and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--groups", type=int, default=12, help="groups of one signal and four events")
    parser.add_argument("--starts", type=int, default=60, help="starts on a real disk that are timed")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    verdict = Verdict("3. Corruption costs the damaged record only")
    spool, written = make(options.groups)
    size = sum(len(inode.seen) for path, inode in spool.names.items() if path.endswith(".log"))
    verdict.note(f"{written} events in {size:,} bytes of segments")
    flips = harm(spool, written, flipped(spool))
    verdict.note(f"{flips.number:,} bytes flipped, {len(flips.wrong)} times not counted exactly {flips.wrong[:3]}")
    verdict.at_most("events that a flipped byte costs", flips.most, 1)
    cuts = harm(spool, written, shortened(spool))
    verdict.note(f"{cuts.number:,} truncations, the worst of which cost {cuts.most} events")
    verdict.exactly("damages whose loss was not counted exactly", len(flips.wrong) + len(cuts.wrong), 0)
    with tempfile.TemporaryDirectory() as directory:
        slowest, wrong = starts(Path(directory), options.starts)
    verdict.exactly("damages of full segments whose loss was not counted exactly", wrong, 0)
    verdict.at_most("slowest start with damaged full segments", slowest, 1.0, "s")
    verdict.end()


def made(number: int, dataset: Dataset) -> Event:
    """A record as schools have them; its number is in it."""
    return Event(
        _BEGAN, dataset, source_ip=str(IPv4Address(0x0A000000 + number)), destination_ip="198.51.100.7",
        source_port=50_000, destination_port=443, network_transport="tcp", message=str(number),
        tls_client_server_name=f"host{number}.school.example",
    )  # fmt: skip


def make(groups: int) -> tuple[ModelDisk, int]:
    """A spool of several segments in both lanes, closed well, of which nothing is delivered; and its events."""
    disk = ModelDisk()
    with Writer(_NOWHERE, disk=disk, segment_bytes=2500) as writer, Reader(_NOWHERE, disk=disk):
        for group in range(groups):
            numbers = range(5 * group + 1, 5 * group + 5)
            writer.append([made(5 * group, Dataset.SIGNAL), *(made(number, Dataset.TLS) for number in numbers)], b"m")
    return disk, 5 * groups


def flipped(spool: ModelDisk) -> Iterator[tuple[str, ModelDisk]]:
    """The spool with each byte of its segments flipped in turn."""
    for path in sorted(path for path in spool.names if path.endswith(".log")):
        for place in range(len(spool.names[path].seen)):
            disk = copy.deepcopy(spool)
            disk.names[path].seen[place] ^= 0xFF
            yield f"{path} byte {place}", disk


def shortened(spool: ModelDisk) -> Iterator[tuple[str, ModelDisk]]:
    """The spool with each of its segments cut to each shorter length in turn."""
    for path in sorted(path for path in spool.names if path.endswith(".log")):
        for size in range(len(spool.names[path].seen)):
            disk = copy.deepcopy(spool)
            del disk.names[path].seen[size:]
            yield f"{path} cut to {size}", disk


def harm(spool: ModelDisk, written: int, damaged: Iterator[tuple[str, ModelDisk]]) -> Harm:
    """Open each damaged spool and take out what it has."""
    result = Harm(0, 0, [])
    for what, disk in damaged:
        with Writer(_NOWHERE, disk=disk, segment_bytes=2500) as writer, Reader(_NOWHERE, disk=disk) as reader:
            writer.append([made(1_000_000, Dataset.SIGNAL), made(1_000_001, Dataset.TLS)], b"n")
            numbers = drained(reader)
        report = look(_NOWHERE, disk=disk)
        assert report is not None
        lost = sum(report.lost.values())
        came = [number for number in numbers if number < written]
        exact = len(came) == len(set(came)) and len(came) + lost == written and len(numbers) == len(came) + 2
        if not exact:
            result.wrong.append(f"{what}: {len(came)} came, {lost} counted as lost")
        result = Harm(result.number + 1, max(result.most, written - len(came)), result.wrong)
    return result


def drained(reader: Reader) -> list[int]:
    """The numbers of all events that a spool gives out."""
    numbers: list[int] = []
    while (portion := reader.take(500, 1 << 22)) is not None:
        numbers += [int(decode_event(item.raw).message or "-1") for item in portion.items]
        reader.settle(portion, [Word.DELIVERED] * len(portion.items))
    return numbers


def starts(directory: Path, number: int) -> tuple[float, int]:
    """Damage a real spool at random places; the slowest start in seconds, and how often the count was not exact."""
    intact = directory / "intact"
    raws = [encode_event(made(number, Dataset.TLS)) for number in range(50_000)]
    with Writer(intact) as writer:
        for first in range(0, len(raws), 500):
            writer.append_encoded([], raws[first : first + 500], b"m")
    chance = random.Random(3)
    slowest, wrong = 0.0, 0
    for _ in range(number):
        spool = directory / "damaged"
        shutil.copytree(intact, spool, copy_function=shutil.copyfile)
        path = chance.choice(sorted(spool.rglob("*.log")))
        with path.open("r+b") as file:
            file.seek(chance.randrange(path.stat().st_size))
            if chance.random() < 0.5:
                file.truncate()
            else:
                file.write(bytes(chance.randrange(1, 200)))
        began = time.perf_counter()
        with Writer(spool) as writer, Reader(spool) as reader:
            writer.append_encoded([], [], b"n")
            reader.take(1, 1 << 20)
            slowest = max(slowest, time.perf_counter() - began)
            came = drained(reader)
        report = look(spool)
        assert report is not None
        wrong += len(came) != len(set(came)) or len(came) + sum(report.lost.values()) != len(raws)
        shutil.rmtree(spool)
    return slowest, wrong


if __name__ == "__main__":
    main()

"""Does the leader find what is planted in a school day of the sector, and nothing else?

    python -m tests.bench.sector [--schools 10000] [--boards 1300] [--signals 60000] [--sightings 60000]

Plays the day of :mod:`.day` into a store on SQLite. Prints what was found and missed, twins that were raised, the delay
of each (the longest pauses of counter, correlator and folder, and what the look took), time for each signal and
sighting, and by how much the process grew. Exit code 1 if something is missed, a twin is raised or a delay exceeds 10
seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
from datetime import timedelta

from schoolwacht_collector.alerts import PACE as FOLDER_PACE
from schoolwacht_collector.correlate.job import IDLE, PACE
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite import SqliteStore
from schoolwacht_collector.prevalence.count import PERIOD
from tests.bench.sector.day import HOURS, Result, Sector, background, plant, play, recorded
from tests.parts import CAPTURES

LONGEST = 10.0
#: None of them has D02: a background of it would have to be there on the days before, too.
_CAPTURES = ("port-scan.pcap", "ssh-guessing.pcap", "behaviour/beacon.pcap", "behaviour/dhcp-rogue.pcap")


async def _run(arguments: argparse.Namespace, directory: str) -> Result:
    sector = Sector(arguments.schools, arguments.boards)
    templates = recorded(CAPTURES / name for name in _CAPTURES)
    background(sector, signals=arguments.signals, sightings=arguments.sightings, recorded=templates)
    plant(sector)
    store = SqliteStore(SqliteSettings(directory=directory))
    await store.init()
    await store.open()
    try:
        return await play(sector, store, step=timedelta(minutes=arguments.minutes), fold=False)
    finally:
        await store.close()


def main() -> int:
    """Play a day and say what came of it."""
    parser = argparse.ArgumentParser(prog="tests.bench.sector", description=__doc__)
    parser.add_argument("--schools", type=int, default=10_000)
    parser.add_argument("--boards", type=int, default=1_300)
    parser.add_argument("--signals", type=int, default=60_000)
    parser.add_argument("--sightings", type=int, default=60_000)
    parser.add_argument("--minutes", type=int, default=10, help="between looks, of the day's time")
    arguments = parser.parse_args()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as directory:
        result = asyncio.run(_run(arguments, directory))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{arguments.schools:,} schools, {arguments.boards:,} boards, {HOURS} hours")
    waits = PERIOD + PACE + IDLE + FOLDER_PACE
    slow = []
    for planted, seconds in sorted(result.delays.items(), key=lambda each: each[0].rule):
        state = "found" if planted in result.found else "MISSED"
        delay = waits + seconds
        slow += [planted] if delay > LONGEST else []
        print(f"  {planted.rule}  {state}  {planted.about:40} at most {delay:.1f} s ({seconds * 1000:.0f} ms of work)")
    print(f"twins raised: {', '.join(result.twins) or 'none'}; raised besides: {', '.join(result.others) or 'nothing'}")
    each = 1e6 * result.engine_seconds / (result.signals + result.sightings)
    print(
        f"{result.signals:,} signals, {result.sightings:,} sightings: {each:.0f} us each "
        f"with all reading and checks, {result.looks} looks; {result.groups:,} groups at the end"
    )
    print(f"the process grew by {grown / 1024:.0f} MiB (the day itself, prepared in memory, included)")
    return 1 if result.missed or result.twins or slow else 0


if __name__ == "__main__":
    sys.exit(main())

"""Promise 4: a full disk never corrupts. Long form of tests/schoolwacht_agent/spool/test_sweep.py and test_spool.py.

    python -m tests.bench.promises.full_disk [--rounds 5]

First each write of a spool's life meets ENOSPC in turn, half written, once and for a while, with and without a power
cut behind it. Then a real capturing process has all of its state on a tmpfs of 8 MiB that is filled up to the last
byte while more comes, and is emptied again: everything must be in the spool within five seconds, once. Needs root.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.promises.eve_agent import EveAgent
from tests.bench.promises.sweep import sweep
from tests.bench.promises.verdict import Verdict

_SIZE = 8 << 20


def main() -> None:
    """Fill and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    verdict = Verdict("4. A full disk never corrupts")
    swept = sweep("enospc")
    verdict.note(f"{swept.lives:,} lives with a write that met ENOSPC; {swept.refusals:,} groups refused meanwhile")
    verdict.exactly("lives with an event lost, doubled or miscounted", len(swept.wrong), 0)
    for line in swept.wrong[:5]:
        verdict.note(line)
    with small_disk() as root:
        slowest, held, missing, doubled = real(root, options.rounds)
    verdict.note(f"a real agent on a full tmpfs, {options.rounds} times: held back {held} times")
    verdict.exactly("events missing", missing, 0)
    verdict.exactly("events doubled", doubled, 0)
    verdict.at_most("longest until all was kept, once there was room", slowest, 5.0, "s")
    verdict.end()


@contextmanager
def small_disk() -> Iterator[Path]:
    """A small file system of its own."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "tmpfs", directory], check=True)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


def real(root: Path, rounds: int) -> tuple[float, int, int, int]:
    """Seconds of the slowest recovery, how often the log says that it was held back, events missing, doubled."""
    with tempfile.TemporaryDirectory() as elsewhere:
        agent = EveAgent(Path(elsewhere), {"agent": {"state": str(root / "state")}})
        agent.spool = root / "state" / "spool"
        slowest = 0.0
        numbers: list[int] = []
        with agent.start() as part:
            for _ in range(rounds):
                agent.write(500)
                assert part.wait(lambda: agent.kept() >= agent.written, 30), "does not begin"
                ballast = fill(root)
                agent.write(2000)
                time.sleep(2.0)
                agent.write(500)
                before = time.monotonic()
                ballast.unlink()
                assert part.wait(lambda: agent.kept() >= agent.written, 60), "does not go on"
                slowest = max(slowest, time.monotonic() - before)
        held = part.log.read_text(encoding="utf-8", errors="replace").count("is held back")
        numbers = agent.drained()
        return slowest, held, agent.written - len(set(numbers)), len(numbers) - len(set(numbers))


def fill(root: Path) -> Path:
    """A file that takes all the room there is."""
    path = root / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


if __name__ == "__main__":
    main()

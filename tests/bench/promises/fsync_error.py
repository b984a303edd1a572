"""Promise 5: an fsync error is handled. Long form of tests/schoolwacht_agent/spool/test_sweep.py.

    python -m tests.bench.promises.fsync_error [--events 20000]

First each sync of a spool's life fails with EIO in turn over a disk that then forgets its dirty pages, as Linux does,
so that a second fsync would succeed and lie; once and for a while, with and without a power cut behind it. Then the
real capturing process runs under strace, which makes every third fdatasync fail: each must be noticed, the segment
abandoned and written anew, and in the end every event must be there once. Needs strace and leave to trace.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.bench.promises.eve_agent import EveAgent
from tests.bench.promises.sweep import sweep
from tests.bench.promises.verdict import Verdict

_EVERY = 3
_OPENING = 10
#: Pieces in which the events come; each costs a sync or two.
_WRITES = 80


def main() -> None:
    """Fail and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    verdict = Verdict("5. An fsync error is handled")
    swept = sweep("eio_sync")
    verdict.note(f"{swept.lives:,} lives with a sync that met EIO; {swept.refusals:,} groups refused meanwhile")
    verdict.exactly("lives with an event lost, doubled, miscounted or falsely acknowledged", len(swept.wrong), 0)
    for line in swept.wrong[:5]:
        verdict.note(line)
    with tempfile.TemporaryDirectory() as directory:
        injected, noticed, missing, doubled = real(Path(directory), options.events)
    verdict.note(f"a real agent, {options.events:,} events, {injected} failing fdatasync, {noticed} abandoned groups")
    verdict.exactly("failures were injected", min(injected, 1), 1)
    verdict.exactly("events missing", missing, 0)
    verdict.exactly("events doubled", doubled, 0)
    verdict.end()


def real(root: Path, events: int) -> tuple[int, int, int, int]:
    """How many syncs failed, how many of them the log tells of, events missing, events doubled."""
    agent = EveAgent(root)
    trace = root / "trace"
    # Not while it opens the spool: then it would end with an error, for its supervisor to start it again.
    fault = f"inject=fdatasync:error=EIO:when={_OPENING}+{_EVERY}"
    tracer = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync", "-e", fault]
    with agent.start(wrap=lambda command: [*tracer, *command]) as part:
        for _ in range(_WRITES):
            agent.write(events // _WRITES)
            time.sleep(0.3)
        assert part.wait(lambda: agent.kept() >= agent.written, 120, every=0.1), "does not go on"
    injected = trace.read_text(encoding="utf-8").count("(INJECTED)")
    noticed = part.log.read_text(encoding="utf-8", errors="replace").count("Input/output error")
    numbers = agent.drained()
    return injected, noticed, agent.written - len(set(numbers)), len(numbers) - len(set(numbers))


if __name__ == "__main__":
    main()

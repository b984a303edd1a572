"""Promise 15: blindness is visible. Seconds from what blinds a real agent until its alarm is on the disk.

    python -m tests.bench.promises.blindness CAPTURE [--what overload,down,silent]

The capturing process with the own reader listens at one end of a veth pair, with settings as they are by default. It is
blinded in turn by more packets than it can take through a small ring, by its interface being set down, and by traffic
that ends. The alarm counts when the health event can be read from the spool. Needs root.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from schoolwacht.event import Dataset
from schoolwacht.wire import Verdict as Word
from schoolwacht.wire import decode_event
from schoolwacht_agent.health import Condition
from schoolwacht_agent.spool import Reader
from tests.bench.agents import Part, Tables, write_config
from tests.bench.promises.verdict import Verdict
from tests.bench.veth import Wire, playable, wire

_ALARM_SECONDS = 60.0
_CALM = 2000


def main() -> None:
    """Blind and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--what", default=",".join(BLINDED))
    options = parser.parse_args()
    verdict = Verdict("15. Blindness is visible")
    with tempfile.TemporaryDirectory() as directory:
        capture = playable(options.capture, Path(directory))
        for what in options.what.split(","):
            condition, blind = BLINDED[what]
            with wire("blind") as pair:
                seconds, said = alarm(pair, capture, condition, blind)
            verdict.at_most(f"{what}: alarm after", seconds, _ALARM_SECONDS, "s")
            verdict.note(f"  it says: {said}")
    verdict.end()


def alarm(pair: Wire, capture: Path, condition: Condition, blind: Callable[[Wire, Path], None]) -> tuple[float, str]:
    """Seconds until the alarm, and its words; infinite if none came within two minutes."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        tables: Tables = {
            "source": {"engine": "packets", "interface": pair.interface},
            "source.packets": {"ring_mib": 2},
        }
        with (
            Part(write_config(root, tables), "capture", wrap=pair.listening) as part,
            Reader(root / "state" / "spool") as reader,
        ):
            part.wait(lambda: part.listens() and part.beat() is not None, 30)
            pair.send(capture, rate=_CALM, seconds=8)
            told(reader)
            began = time.monotonic()
            blinding = threading.Thread(target=blind, args=(pair, capture))
            blinding.start()
            try:
                while time.monotonic() < began + 2 * _ALARM_SECONDS:
                    for what, said in told(reader):
                        if what == condition.value:
                            return time.monotonic() - began, said
                    time.sleep(0.05)
            finally:
                blinding.join()
    return float("inf"), "nothing"


def told(reader: Reader) -> list[tuple[str, str]]:
    """Conditions and words of the health events that are new in the spool."""
    found = []
    while (portion := reader.take(1000, 4 << 20)) is not None:
        for item in portion.items:
            event = decode_event(item.raw)
            if event.event_dataset is Dataset.HEALTH:
                found.append((event.health_condition or "", event.message or ""))
        reader.settle(portion, [Word.DELIVERED] * len(portion.items))
    return found


def _overload(pair: Wire, capture: Path) -> None:
    pair.send(capture, rate=0, seconds=20)


def _down(pair: Wire, _: Path) -> None:
    pair.set_state("down")


def _silent(_pair: Wire, _capture: Path) -> None:
    """Nothing more is sent."""


#: What blinds, by name: the condition that must be told, and the deed.
BLINDED: dict[str, tuple[Condition, Callable[[Wire, Path], None]]] = {
    "overload": (Condition.DROPPING, _overload),
    "down": (Condition.INTERFACE, _down),
    "silent": (Condition.SILENT, _silent),
}


if __name__ == "__main__":
    main()

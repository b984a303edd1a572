"""One failing operation at each place of a spool's life in turn: what promises 4 and 5 ask."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import SpoolError
from schoolwacht.wire import Verdict
from schoolwacht_agent.spool import Reader, Writer, look
from tests.schoolwacht_agent.spool.disk_model import ModelDisk

_NOWHERE = Path("/nowhere")
_GROUPS = 8


class Swept(NamedTuple):
    """How many lives with a failure there were, in how many of them the spool refused a group, and what was wrong."""

    lives: int
    refusals: int
    wrong: list[str]


def sweep(kind: str) -> Swept:
    """Let each operation of a life fail, once and for a while, with and without a power cut behind it.

    Args:
        kind: as for ``ModelDisk.arm``: ``enospc`` or ``eio_sync``.
    """
    lives = refusals = 0
    wrong: list[str] = []
    for power in (False, True):
        for lasting in (False, True):
            place = 0
            while True:
                life = Life(kind, place, lasting=lasting)
                met = life.run(power=power)
                refusals += life.refusals
                lives += 1
                if fault := life.fault():
                    wrong.append(f"{kind} at operation {place}{', lasting' * lasting}{', power cut' * power}: {fault}")
                if not met:
                    break
                place += 1
    return Swept(lives, refusals, wrong)


class Life:
    """A spool that takes groups and gives some out, on a disk that fails at one place."""

    def __init__(self, kind: str, place: int, *, lasting: bool) -> None:
        self.refusals = 0
        self._disk = ModelDisk(seed=place)
        self._kind, self._place, self._lasting = kind, place, lasting
        self._acknowledged = 0
        self._got: dict[tuple[str, int], int] = {}

    def run(self, *, power: bool) -> bool:
        """Live; False if the failing operation was never reached."""
        writer = Writer(_NOWHERE, disk=self._disk, segment_bytes=300)
        reader = Reader(_NOWHERE, disk=self._disk)
        self._disk.arm(self._kind, self._place, lasting=self._lasting)
        tries = 0
        while self._acknowledged < 4 * _GROUPS:
            numbers = range(self._acknowledged, self._acknowledged + 4)
            raws = [b"%d" % number for number in numbers]
            try:
                writer.append_encoded(raws[:1], raws[1:], b"%d" % numbers.stop)
            except SpoolError:
                self.refusals += 1
                tries += 1
                if tries >= 3:
                    self._disk.heal()
                continue
            self._acknowledged = numbers.stop
            if self._acknowledged % 12 == 0:
                self._deliver(reader)
        met = self._disk.fails_no_more
        self._disk.heal()
        if power:
            self._disk.cut_power()
            writer, reader = Writer(_NOWHERE, disk=self._disk), Reader(_NOWHERE, disk=self._disk)
        while self._deliver(reader):
            pass
        writer.close()
        return met or self.refusals > 0

    def fault(self) -> str:
        """What was wrong; empty if all that was acknowledged came once, and nothing counts as lost."""
        numbers = sorted(self._got.values())
        if numbers != list(range(self._acknowledged)):
            return f"{len(set(numbers))} of {self._acknowledged} events, {len(numbers) - len(set(numbers))} doubled"
        report = look(_NOWHERE, disk=self._disk)
        return "" if report is not None and not report.lost and not report.waiting else f"the account is {report}"

    def _deliver(self, reader: Reader) -> bool:
        try:
            portion = reader.take(7, 10_000)
            if portion is None:
                return False
            for item in portion.items:
                self._got[portion.epoch, item.sequence] = int(item.raw)
            reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
        except SpoolError:
            self.refusals += 1
        return True

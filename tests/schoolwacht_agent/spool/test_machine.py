"""The model test of the spool: whatever the disk and the processes do, nothing is lost, nothing is doubled.

The source can be read again: its events are numbers, its mark is the next number. The collector remembers what it was
given under which epoch and sequence, as the real one does.
"""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schoolwacht.errors import SpoolError
from schoolwacht.wire import Verdict
from schoolwacht_agent.spool import Portion, Reader, Writer, look
from tests.schoolwacht_agent.spool.disk_model import Crash, ModelDisk

NOWHERE = Path("/nowhere")
FAULTS = ("enospc", "eio_write", "eio_sync", "eio_read", "crash", "crash_sync")
#: More examples for a soak: SCHOOLWACHT_SPOOL_EXAMPLES=20000 pytest …/test_machine.py --timeout 0
EXAMPLES = int(os.environ.get("SCHOOLWACHT_SPOOL_EXAMPLES", "60"))


class SpoolMachine(RuleBasedStateMachine):
    max_bytes = 1 << 30
    segment_bytes = 700

    def __init__(self) -> None:
        super().__init__()
        self.disk = ModelDisk()
        self.writer: Writer | None = None
        self.reader: Reader | None = None
        self.portion: Portion | None = None
        #: What the source gives next.
        self.position = 0
        #: The collector: what it got under (epoch, sequence).
        self.collector: dict[tuple[str, int], bytes] = {}

    @initialize(seed=st.integers(0, 1 << 30))
    def begin(self, seed: int) -> None:
        self.disk = ModelDisk(seed)
        self.start()

    def start(self) -> None:
        """Start both processes on a disk that works, as a supervisor does in the end."""
        if self.writer is None or self.reader is None:
            # Only then: a failure that waits for the processes that run must meet them.
            self.disk.heal()
        if self.writer is None:
            self.writer = self.new_writer()
            mark = self.writer.mark
            assert int(mark or b"0") <= self.position + self.in_flight
            assert int(mark or b"0") >= self.position, "an acknowledged group is gone"
            self.position = int(mark or b"0")
            self.in_flight = 0
        if self.reader is None:
            self.reader = Reader(NOWHERE, disk=self.disk, clock=lambda: self.disk.now)
            self.portion = None

    def new_writer(self) -> Writer:
        return Writer(
            NOWHERE,
            disk=self.disk,
            clock=lambda: self.disk.now,
            max_bytes=self.max_bytes,
            segment_bytes=self.segment_bytes,
        )

    in_flight = 0
    #: Events that the collector got in portions whose settling failed: a power cut may take the record of it.
    unrecorded = 0

    def die(self, *, power: bool) -> None:
        self.writer = self.reader = self.portion = None
        if power:
            self.disk.cut_power()
        else:
            self.disk.kill()

    # What the agent does

    @rule(signals=st.integers(0, 3), events=st.integers(0, 6), size=st.integers(0, 200), power=st.booleans())
    def append(self, signals: int, events: int, size: int, power: bool) -> None:
        self.start()
        assert self.writer is not None
        numbers = range(self.position, self.position + signals + events)
        raws = [b"%d:" % number + b"x" * size for number in numbers]
        self.in_flight = len(raws)
        try:
            self.writer.append_encoded(raws[:signals], raws[signals:], b"%d" % (self.position + len(raws)))
        except SpoolError:
            # The source is held back: it gives the same events again.
            self.in_flight = 0
            return
        except Crash:
            self.die(power=power)
            return
        self.position += len(raws)
        self.in_flight = 0

    @rule(
        items=st.integers(1, 12),
        size=st.integers(1, 1000),
        verdicts=st.lists(st.sampled_from(list(Verdict)), min_size=12, max_size=12),
        settles=st.booleans(),
        power=st.booleans(),
    )
    def deliver(self, items: int, size: int, verdicts: list[Verdict], settles: bool, power: bool) -> None:
        if self.reader is None:
            self.start()
        assert self.reader is not None
        try:
            portion = self.reader.take(items, size)
            if portion is None:
                return
            self.receive(portion)
            if settles:
                self.unrecorded += len(portion.items)
                self.reader.settle(portion, verdicts[: len(portion.items)])
                self.unrecorded -= len(portion.items)
        except SpoolError:
            return
        except Crash:
            self.die(power=power)

    def receive(self, portion: Portion) -> None:
        assert portion.items
        lanes = [item.lane for item in portion.items]
        assert lanes == sorted(lanes), "events before signals"
        for item in portion.items:
            known = self.collector.setdefault((portion.epoch, item.sequence), item.raw)
            assert known == item.raw, "one number, two events"

    # What happens to it

    @rule(kind=st.sampled_from(FAULTS), after=st.integers(0, 25), lasting=st.booleans())
    def fault(self, kind: str, after: int, lasting: bool) -> None:
        self.disk.arm(kind, after, lasting=lasting)

    @rule()
    def heal(self) -> None:
        self.disk.heal()

    @rule()
    def kill(self) -> None:
        self.die(power=False)

    @rule()
    def cut_power(self) -> None:
        self.die(power=True)

    @rule()
    def restart_writer(self) -> None:
        self.disk.heal()
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        self.start()

    @rule()
    def restart_reader(self) -> None:
        self.disk.heal()
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        self.start()

    @rule(kind=st.sampled_from(FAULTS), after=st.integers(0, 30), power=st.booleans())
    def start_on_a_failing_disk(self, kind: str, after: int, power: bool) -> None:
        """A start that fails changes nothing that a later start cannot read."""
        self.die(power=power)
        self.disk.arm(kind, after)
        try:
            self.new_writer().close()
        except SpoolError:
            pass
        except Crash:
            self.die(power=power)
        else:
            self.disk.heal()

    # What must hold

    def drain(self) -> None:
        self.start()
        assert self.reader is not None
        for _ in range(10_000):
            portion = self.reader.take(50, 10_000)
            if portion is None:
                return
            self.receive(portion)
            self.reader.settle(portion, [Verdict.DELIVERED] * len(portion.items))
        raise AssertionError("the spool never ends")

    def teardown(self) -> None:
        self.die(power=True)
        self.drain()
        self.check_account()
        self.check_delivered()

    def check_account(self) -> None:
        report = look(NOWHERE, disk=self.disk)
        assert report is not None
        settled = report.delivered + report.rejected
        assert settled + sum(report.lost.values()) + report.waiting == self.position
        assert report.waiting == 0

    def check_delivered(self) -> None:
        got = sorted(int(raw.partition(b":")[0]) for raw in self.collector.values())
        assert got == list(range(self.position)), "lost or doubled"

    @invariant()
    def account_is_exact(self) -> None:
        if self.writer is None or self.in_flight:
            return
        fault, self.disk._fault = self.disk._fault, None
        report = look(NOWHERE, disk=self.disk)
        self.disk._fault = fault
        assert report is not None
        settled = report.delivered + report.rejected
        assert settled + sum(report.lost.values()) + report.waiting <= self.position


class FullSpoolMachine(SpoolMachine):
    """The same with a spool so small that it always drops; the account stays exact."""

    max_bytes = 40_000
    segment_bytes = 300

    @rule(hours=st.integers(1, 24 * 20))
    def wait(self, hours: int) -> None:
        self.disk.now += 3600.0 * hours

    def check_account(self) -> None:
        report = look(NOWHERE, disk=self.disk)
        assert report is not None
        account = report.delivered + report.rejected + sum(report.lost.values())
        assert self.position - self.unrecorded <= account <= self.position
        assert report.waiting == 0

    def check_delivered(self) -> None:
        report = look(NOWHERE, disk=self.disk)
        assert report is not None
        got = sorted(int(raw.partition(b":")[0]) for raw in self.collector.values())
        assert len(got) == len(set(got)), "doubled"
        assert set(got) <= set(range(self.position))
        lost = sum(report.lost.values())
        assert len(got) + lost >= self.position, "a loss that is not counted"


_SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
SpoolMachine.TestCase.settings = _SETTINGS
FullSpoolMachine.TestCase.settings = _SETTINGS
TestNothingIsLostOrDoubled = SpoolMachine.TestCase
TestAFullSpoolCountsWhatItDrops = FullSpoolMachine.TestCase

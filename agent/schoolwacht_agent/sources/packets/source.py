"""The packet engine behind the Source port: from capture files, or from an interface until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from schoolwacht.errors import CaptureError, SourceError
from schoolwacht.event import Event
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.engine import Engine
from schoolwacht_agent.sources.packets.gaps import EVERY
from schoolwacht_agent.sources.packets.records import Batch, Keeper, Link
from schoolwacht_agent.sources.packets.ring import LAG_SECONDS, Ring
from schoolwacht_agent.sources.port import Counters

_TICK_SECONDS = 1.0
#: EtherType of ARP.
_ARP = b"\x08\x06"


class PacketsSource:
    """Packets to events in one thread. Made by :meth:`from_files` or :meth:`from_interface`."""

    def __init__(
        self,
        settings: PacketsTable,
        *,
        paths: Sequence[Path] = (),
        interface: str | None = None,
        expression: str = "",
        sample: int = EVERY,
        waits: bool = True,
        only_arp: bool = False,
    ) -> None:
        self.counters = Counters()
        #: What was wrong with files, in their order, or with the interface.
        self.faults: list[SourceError] = []
        self._settings = settings
        self._paths = tuple(paths)
        self._interface = interface
        self._expression = expression
        self._sample = sample
        self._wait = _TICK_SECONDS if waits else 0.0
        self._only_arp = only_arp
        self._stopped = False
        #: Set before :meth:`read` to hold on to recent packets.
        self.keeper: Keeper | None = None

    @classmethod
    def from_files(
        cls, paths: Sequence[Path], settings: PacketsTable | None = None, *, only_arp: bool = False
    ) -> PacketsSource:
        """Read capture files one after the other, as one stretch of traffic (a ring of rotated files, say).

        A faulty file does not stop the ones behind it: what could be read of it counts, and its error is raised at the
        end (the first, if there are several; all are in ``faults``). ``only_arp`` leaves every other packet out.
        """
        return cls(settings or PacketsTable(), paths=paths, only_arp=only_arp)

    @classmethod
    def from_interface(
        cls,
        name: str,
        settings: PacketsTable | None = None,
        *,
        expression: str = "",
        sample: int = EVERY,
        waits: bool = True,
    ) -> PacketsSource:
        """Read from a network interface. Needs CAP_NET_RAW; ``read`` raises SourceError without it.

        Args:
            name: of the interface.
            settings: bounds and time-outs.
            expression: capture filter (``sources/bpf.py``); empty takes everything.
            sample: of so many TCP connections one is searched for gaps.
            waits: whether ``read`` waits for packets; else it gives an empty list where there are none.
        """
        return cls(settings or PacketsTable(), interface=name, expression=expression, sample=sample, waits=waits)

    def read(self) -> Iterator[list[Event]]:
        """See Source."""
        live = self._interface is not None
        engine = Engine(self._settings, self.counters, live=live, keeper=self.keeper, sample=self._sample)
        try:
            try:
                yield from self._from_ring(engine) if live else self._from_files(engine)
            except SourceError as fault:
                self.faults.append(fault)
            engine.close()
            yield engine.take()
        finally:
            engine.end()
        if self.faults:
            raise self.faults[0]

    def mark(self) -> bytes:
        """Empty: packets cannot be read again."""
        return b""

    def stop(self) -> None:
        """See Source."""
        self._stopped = True

    def _from_files(self, engine: Engine) -> Iterator[list[Event]]:
        for path in self._paths:
            try:
                for batch in read_capture(path, self._note_dropped):
                    if self._only_arp:
                        batch = arp_of(batch)  # noqa: PLW2901 - the same batch, less what is not wanted
                    engine.feed(batch)
                    yield engine.take()
                    if self._stopped:
                        return
            except CaptureError as fault:
                self.faults.append(fault)

    def _from_ring(self, engine: Engine) -> Iterator[list[Event]]:
        assert self._interface is not None
        settings = self._settings
        with Ring(
            self._interface,
            settings.ring_mib << 20,
            promiscuous=settings.promiscuous,
            own_packets=settings.own_packets,
            expression=self._expression,
        ) as ring:
            ticked = time.monotonic()
            while not self._stopped:
                batch = ring.next(self._wait)
                if batch is not None:
                    engine.feed(batch)
                else:
                    # Nobody tells the time but the packets; those that wait in the kernel are younger than this.
                    engine.advance(time.time() - LAG_SECONDS)
                now = time.monotonic()
                if now - ticked >= _TICK_SECONDS:
                    ticked = now
                    self._note_dropped(ring.dropped())
                    self.counters.behind = ring.fullness()
                    yield engine.take()
                elif (events := engine.take()) or (batch is None and not self._wait):
                    yield events
            self._drain(ring, engine)

    def _drain(self, ring: Ring, engine: Engine) -> None:
        """Take in what came until we were told to stop, and no more than a ring of it."""
        until = time.monotonic() + LAG_SECONDS
        for _ in range(ring.blocks):
            batch = ring.next(max(0.0, until - time.monotonic()))
            if batch is None:
                break
            engine.feed(batch)
        self._note_dropped(ring.dropped())

    def _note_dropped(self, count: int) -> None:
        self.counters.dropped += count


def arp_of(batch: Batch) -> Batch:
    """The ARP packets of a batch, also behind one or two VLAN tags; of a link that is not Ethernet all packets."""
    buffer, link, records = batch
    if link != Link.ETHERNET:
        return batch
    kept = [
        record for record in records if any(buffer[record[2] + at : record[2] + at + 2] == _ARP for at in (12, 16, 20))
    ]
    return Batch(buffer, link, kept)

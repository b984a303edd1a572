"""Promise 6: an outage drains whole, oldest first, alerts before flows.

    python -m tests.bench.promises.outage [--hours 72] [--speed 8640]

The real spool and the real uplink against a collector whose store is down: it answers 503 for 72 hours, while events
and signals come in. The event loop's clock runs so many times faster than the wall (8,640: 72 hours in 30 seconds),
so that every wait of the uplink passes as it would. Then the store is back: all must arrive, once and in order.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import selectors
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.spool import Reader, SetAside, Writer, look
from schoolwacht_agent.uplink import Uplink
from tests.bench.promises.verdict import Verdict
from tests.schoolwacht_agent.collecting import StubCollector, collecting, status

_HOUR = 3600.0
_EVENTS, _SIGNALS = 500, 5
_KEY = "gw.secret"


class _FastSelector(selectors.DefaultSelector):
    """Waits a fraction of what it is asked to."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs ``speed`` times faster than the wall's."""

    def __init__(self, speed: float) -> None:
        super().__init__(_FastSelector(speed))
        self._speed = speed
        self._began = time.monotonic()

    def time(self) -> float:
        return (time.monotonic() - self._began) * self._speed


def main() -> None:
    """Wait and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=int, default=72)
    parser.add_argument("--speed", type=float, default=8640.0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    verdict = Verdict("6. An outage drains whole, oldest first, alerts before flows")
    with asyncio.Runner(loop_factory=lambda: FastLoop(options.speed)) as runner, tempfile.TemporaryDirectory() as place:
        stub, written, asked, seconds = runner.run(drain(Path(place), options.hours))
        report = look(Path(place))
    numbers = [int(event.message or "-1") for event in stub.order]
    kinds = [event.event_dataset is Dataset.SIGNAL for event in stub.order]
    verdict.note(f"{options.hours} simulated hours, {written:,} events and signals; asked {asked:,} times meanwhile")
    verdict.note(f"all had arrived {seconds:,.0f} simulated seconds after the store was back")
    verdict.exactly("missing", written - len(set(numbers)), 0)
    verdict.exactly("doubled", len(numbers) - len(set(numbers)), 0)
    verdict.exactly("signals that came after a flow", sum(kinds) - sum(kinds[: sum(kinds)]), 0)
    signals = [number for number, is_signal in zip(numbers, kinds, strict=True) if is_signal]
    flows = [number for number, is_signal in zip(numbers, kinds, strict=True) if not is_signal]
    verdict.exactly("out of order", (signals != sorted(signals)) + (flows != sorted(flows)), 0)
    verdict.exactly("lost as the spool counts", sum(report.lost.values()) if report else -1, 0)
    verdict.end()


async def drain(place: Path, hours: int) -> tuple[StubCollector, int, int, float]:
    """The collector, how much was written, how often it was asked during the outage, and the seconds of the drain."""
    loop = asyncio.get_running_loop()
    began = datetime.now(UTC)
    written = 0
    async with collecting(_KEY) as stub:
        stub.script = [status(503, Retry_After="30")] * 1_000_000
        # Times on the fast clock: no answer is late because the machine takes a moment.
        settings = UplinkTable(collectors=(stub.url,), connect_seconds=1e6, answer_seconds=1e6)
        clock = began.timestamp()
        with (
            Writer(place, clock=lambda: clock + loop.time()) as writer,
            Reader(place, clock=lambda: clock + loop.time()) as reader,
        ):
            uplink = Uplink(reader, SetAside(place / "rejected", 1 << 20), settings, _KEY, clock=loop.time)
            running = asyncio.create_task(uplink.run())
            for hour in range(hours):
                moment = began + timedelta(hours=hour)
                kinds = [Dataset.FLOW] * _EVENTS + [Dataset.SIGNAL] * _SIGNALS
                writer.append([Event(moment, kind, message=str(written + at)) for at, kind in enumerate(kinds)], b"")
                written += len(kinds)
                await asyncio.sleep(_HOUR)
            asked = stub.requests
            stub.script.clear()
            back = loop.time()
            until = time.monotonic() + 60
            while len(stub.order) < written and time.monotonic() < until:  # noqa: ASYNC110 - it tells of no event
                await asyncio.sleep(1.0)
            seconds = loop.time() - back
            uplink.stop()
            await running
    return stub, written, asked, seconds


if __name__ == "__main__":
    main()

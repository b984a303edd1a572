"""A collector of several worker processes on one port: started, watched, started again, stopped together.

Each worker is a whole collector (:mod:`.worker`) that listens on the same port with SO_REUSEPORT, so that the kernel
spreads the agents' connections; the leader's jobs run in one of them by the lease, and the first has the console.

Promise: a worker that ends is started again, after a pause that grows to half a minute; the others go on taking what
agents send, and an agent whose connection broke sends its batch again. SIGTERM and SIGINT stop all as they stop one.
On SIGHUP the settings are read once and all get them, one that is started later too. ``/metrics`` is the sum over the
workers, those that ended included; ``/readyz`` beside it is 503 when no worker runs. Limits: needs a store that
several processes write to (Elasticsearch); quota and room for batches in flight are each worker's own, so an agent that
spreads over many connections can have them once per worker.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from schoolwacht.errors import ConfigError, SchoolwachtError
from schoolwacht_collector import reload
from schoolwacht_collector.config import Settings, address
from schoolwacht_collector.listener import bind, listen
from schoolwacht_collector.metrics import Sums
from schoolwacht_collector.worker import LINE, METRICS, Said, Start

_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
#: A worker that ran this long before it ended starts again after the shortest pause.
_HEALTHY = 60.0
#: Seconds between two looks at the metrics of a worker: what it counted since is lost if it is killed.
_LOOK = 5.0
_ANSWER = 5.0
#: Seconds that a stop waits beyond ``intake.stop_seconds`` before a worker is killed.
_GRACE = 20.0
COMMAND = (sys.executable, "-m", "schoolwacht_collector.worker")
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    number: int
    settings: Settings
    process: Process | None = None
    running: bool = False
    metrics: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Workers:
    """The workers of one collector.

    Args:
        settings: checked; ``intake.workers`` says how many.
        verbose: whether they log more.
        command: runs one worker.
        read: reads the settings again, on SIGHUP; may raise ConfigError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        verbose: bool = False,
        command: Sequence[str] = COMMAND,
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self._read = read
        self._reloads: set[asyncio.Task[None]] = set()
        self._reload_turn = asyncio.Lock()
        self._settings = settings
        self._verbose = verbose
        self._command = command
        self._where = settings.intake.listen
        self._stopped = asyncio.Event()
        self._workers: list[_Worker] = []
        self._ended = Sums()
        self._ready = asyncio.Event()
        #: Where agents deliver, and where the sum of the metrics is, once they run.
        self.url = self.metrics_url = ""

    @property
    def pids(self) -> list[int]:
        """Of the workers that run."""
        return [worker.process.pid for worker in self._workers if worker.process is not None and worker.running]

    def stop(self) -> None:
        """End :meth:`run` soon."""
        self._stopped.set()

    async def run(self) -> None:
        """Run them until SIGTERM, SIGINT or :meth:`stop`. Raises SchoolwachtError if they do not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._ask_for_reload)
        where = self._settings.intake.listen
        async with AsyncExitStack() as stack:
            # Bound and never listening: it takes no connection, but the port stays ours while workers come and go.
            reserved = stack.enter_context(bind(where, field="intake.listen", shared=True))
            host = where.rpartition(":")[0]
            self._where = f"{host}:{reserved.getsockname()[1]}"
            self._workers = [_Worker(place, self._of(place)) for place in range(self._settings.intake.workers)]
            if self._settings.metrics.listen:
                self.metrics_url = await listen(
                    stack,
                    self._application(),
                    self._settings.metrics.listen,
                    field="metrics.listen",
                    idle=75.0,
                    stop=2.0,
                )
            await self._supervise_all()

    def _ask_for_reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        """Read the settings again, once for all, and give them to every worker."""
        async with self._reload_turn:
            try:
                wanted = await asyncio.to_thread(self._read) if self._read is not None else self._settings
                change = reload.merge(self._settings, wanted)
                await asyncio.to_thread(reload.rehearse, change.settings)
            except ConfigError as error:
                _logger.error("the settings of before stay: %s", error)  # noqa: TRY400 - a fault of the file, not ours
                return
            self._settings = change.settings
            reload.tell(change)
            for worker in self._workers:
                worker.settings = self._of(worker.number)
                if worker.running:  # one that starts gets them once it is ready
                    self._give(worker)

    def _give(self, worker: _Worker) -> None:
        process = worker.process
        assert process is not None
        assert process.stdin is not None
        with suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(worker.settings) + b"\n")

    def _of(self, place: int) -> Settings:
        """The settings of a worker: all on one port, the console in the first, the metrics here."""
        settings = self._settings
        address(self._where, field="intake.listen")
        return msgspec.structs.replace(
            settings,
            intake=msgspec.structs.replace(settings.intake, listen=self._where),
            console=msgspec.structs.replace(settings.console, enabled=settings.console.enabled and place == 0),
            metrics=msgspec.structs.replace(settings.metrics, listen=""),
        )

    async def _supervise_all(self) -> None:
        tasks = [asyncio.create_task(self._supervise(worker)) for worker in self._workers]
        tasks.append(asyncio.create_task(self._look()))
        stopping = asyncio.create_task(self._stopped.wait())
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        self._stopped.set()
        stopping.cancel()
        tasks.pop().cancel()
        self._pass_on(signal.SIGTERM)
        _, late = await asyncio.wait(tasks, timeout=self._settings.intake.stop_seconds + _GRACE)
        if late:
            _logger.error("%d workers do not stop; they are killed", len(late))
            self._pass_on(signal.SIGKILL)
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done - {stopping}:
            task.result()

    def _pass_on(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.returncode is None:
                worker.process.send_signal(number)

    async def _supervise(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        pause = _PAUSE
        while not self._stopped.is_set():
            began = loop.time()
            status, was_ready = await self._life(worker)
            if self._stopped.is_set():
                return
            if not was_ready and not self._ready.is_set():
                raise SchoolwachtError(f"worker {worker.number} did not start (status {status}): its log says why")
            if loop.time() - began > _HEALTHY:
                pause = _PAUSE
            _logger.error("worker %d ended with status %d; it is started again in %.1f s", worker.number, status, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _life(self, worker: _Worker) -> tuple[int, bool]:
        """Run a worker to its end; its exit status and whether it was ever ready."""
        process = worker.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=LINE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        was_ready = False
        try:
            with suppress(ConnectionError, msgspec.DecodeError):
                given = worker.settings
                process.stdin.write(msgspec.json.encode(Start(given, self._verbose)) + b"\n")
                if self._stopped.is_set():
                    process.send_signal(signal.SIGTERM)
                first = msgspec.json.decode(await process.stdout.readline(), type=Said)
                self.url = first.url
                was_ready = worker.running = True
                if worker.settings is not given:  # they changed while it started
                    self._give(worker)
                if all(each.running for each in self._workers) and not self._ready.is_set():
                    self._ready.set()
                    _logger.info("%d workers take what agents deliver to %s", len(self._workers), self.url)
            status = await process.wait()
        finally:
            worker.running = False
            self._ended.add(worker.metrics, ended=True)
            worker.metrics = ""
        return status, was_ready

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._ask_all()

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(worker) for worker in self._workers if worker.running))

    async def _ask(self, worker: _Worker) -> None:
        process = worker.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        async with worker.turn:
            with suppress(ConnectionError, TimeoutError, msgspec.DecodeError):
                process.stdin.write(METRICS)
                async with asyncio.timeout(_ANSWER):
                    line = await process.stdout.readline()
                if worker.process is process and worker.running:
                    worker.metrics = msgspec.json.decode(line, type=Said).metrics

    def _application(self) -> web.Application:
        async def show(_request: web.Request) -> web.Response:
            await self._ask_all()
            sums = self._ended.copy()
            for worker in self._workers:
                sums.add(worker.metrics)
            return web.Response(body=sums.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

        async def readyz(_request: web.Request) -> web.Response:
            running = sum(worker.running for worker in self._workers)
            state = {
                "status": "ready" if running else "not ready",
                "workers": len(self._workers),
                "running": running,
            }
            return web.json_response(state, status=200 if running else 503)

        served = web.Application()
        served.router.add_get("/metrics", show)
        served.router.add_get("/readyz", readyz)
        return served

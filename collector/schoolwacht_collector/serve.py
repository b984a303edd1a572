"""``serve``: a collector until it is told to stop, and SIGHUP meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from schoolwacht.errors import ConfigError
from schoolwacht_collector import app, reload
from schoolwacht_collector.config import Settings
from schoolwacht_collector.index.port import Store

_logger = logging.getLogger(__name__)


async def until_stopped(
    settings: Settings,
    *,
    started: Callable[[app.Collector, asyncio.Event], None] = lambda _collector, _stopped: None,
    store: Store | None = None,
    read: Callable[[], Settings] | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or until the event that ``started`` was given is set.

    On SIGHUP the settings that ``read`` gives (it may raise ConfigError) take the place of those in force, as far as
    they can (:mod:`.reload`); without it, certificates and secrets of targets are read again.

    Raises ConfigError, StoreError.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with app.running(settings, store=store) as collector, _reloading(collector, read):
        # What start-up made stays: looking through it at each full collection would only hold up the loop.
        gc.collect()
        gc.freeze()
        _logger.info("agents deliver to %s", collector.intake_url)
        if collector.console_url is not None:
            _logger.info("the console is at %s", collector.console_url)
        started(collector, stopped)
        await stopped.wait()
        _logger.info("stopping: what was taken is stored first")
    _logger.info("stopped")


@asynccontextmanager
async def _reloading(collector: app.Collector, read: Callable[[], Settings] | None) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    asked: set[asyncio.Task[None]] = set()
    turn = asyncio.Lock()

    async def in_turn() -> None:
        async with turn:  # the file that was read last must be the one that stays
            await _reload(collector, read)

    def ask() -> None:
        task = loop.create_task(in_turn())
        asked.add(task)
        task.add_done_callback(asked.discard)

    loop.add_signal_handler(signal.SIGHUP, ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its default would end a stop that still stores


async def _reload(collector: app.Collector, read: Callable[[], Settings] | None) -> None:
    try:
        wanted = await asyncio.to_thread(read) if read is not None else collector.live.settings
    except ConfigError as error:
        _logger.error("the settings of before stay: %s", error)  # noqa: TRY400 - a fault of the file, not of ours
    else:
        await take_up(collector, wanted)


async def take_up(collector: app.Collector, wanted: Settings) -> None:
    """Exchange what can be, and log what came of it, a fault too."""
    try:
        change = await collector.live.exchange(wanted)
    except ConfigError as error:
        _logger.error("the settings of before stay: %s", error)  # noqa: TRY400 - a fault of the file, not of ours
        return
    reload.tell(change)
    if collector.live.tls is not None:
        _logger.info("new connections get the certificate of %s", change.settings.intake.certificate)

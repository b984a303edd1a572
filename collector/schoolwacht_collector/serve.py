"""``serve``: a collector until it is told to stop, and SIGHUP meanwhile."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from schoolwacht.errors import ConfigError
from schoolwacht_collector import app
from schoolwacht_collector.config import Settings
from schoolwacht_collector.index.port import Store

_logger = logging.getLogger(__name__)


async def until_stopped(
    settings: Settings,
    *,
    started: Callable[[app.Collector, asyncio.Event], None] = lambda _collector, _stopped: None,
    store: Store | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or until the event that ``started`` was given is set.

    Raises ConfigError, StoreError.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with app.running(settings, store=store) as collector, _reloading(collector):
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
async def _reloading(collector: app.Collector) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    asked: set[asyncio.Task[None]] = set()

    def ask() -> None:
        task = loop.create_task(_reload(collector))
        asked.add(task)
        task.add_done_callback(asked.discard)

    loop.add_signal_handler(signal.SIGHUP, ask)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def _reload(collector: app.Collector) -> None:
    """What a SIGHUP asks for: the certificates as they are now. The settings are read at start only."""
    if collector.tls is None:
        _logger.info("there is nothing to read again: the intake has no certificate")
        return
    try:
        await asyncio.to_thread(collector.tls.reload)
    except ConfigError as error:
        _logger.error("the certificates of before stay: %s", error)  # noqa: TRY400 - a fault of the files, not of ours
    else:
        _logger.info("new connections get the certificate of %s", collector.settings.intake.certificate)

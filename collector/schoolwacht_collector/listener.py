"""An HTTP listener that survives slow and silent clients.

Promise: a connection without a whole request is closed after ``idle`` seconds, whether it sent nothing or half a
header; no body is inflated; a stop waits for the requests that are being answered. What is no HTTP gets its 400 and
is counted, not logged each time: anybody can send it. Limits: plain HTTP.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from schoolwacht.errors import ConfigError
from schoolwacht_collector.config import address

#: Seconds that a refused request's unread body is waited for.
_LINGER = 2.0
_BACKLOG = 1024
#: Seconds between two lines about clients that do not speak HTTP.
_SAY_EVERY = 60.0
_logger = logging.getLogger(__name__)


class ServerLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's log of one listener, where faults of clients are no errors of ours.

    ``malformed`` counts the requests that were none; a line a minute tells of them. Everything else passes.
    """

    def __init__(self, where: str) -> None:
        super().__init__(_logger, {})
        self.malformed = 0
        self._where = where
        self._said = -_SAY_EVERY

    def log(self, level: int, msg: object, *args: object, exc_info: object = None, **rest: object) -> None:
        """Count a client's fault, or log (debug, exception and all others come here)."""
        if not isinstance(exc_info, HttpProcessingError) or exc_info.code >= 500:
            super().log(level, msg, *args, exc_info=exc_info, **rest)  # type: ignore[arg-type] # as they came
            return
        self.malformed += 1
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            _logger.info("%s: %d requests so far were no HTTP", self._where, self.malformed)


async def listen(
    stack: AsyncExitStack, application: web.Application, where: str, *, field: str, idle: float, stop: float
) -> str:
    """Serve an application until the stack unwinds.

    Args:
        stack: ends the listener.
        application: what is served.
        where: ``host:port`` as in the settings; port 0 takes a free one.
        field: the setting's name, for errors.
        idle: seconds that a connection may be open without a whole request.
        stop: seconds that a stop waits for requests.

    Returns its URL, without a slash at the end. Raises ConfigError if the port cannot be had.
    """
    at = address(where, field=field)
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=ServerLog(field),
        keepalive_timeout=idle,
        lingering_time=_LINGER,
        auto_decompress=False,
        shutdown_timeout=stop,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, at.host, at.port, backlog=_BACKLOG).start()
    except OSError as error:
        # asyncio puts its own words around the reason of the system.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"cannot listen on {where}: {reason}", field=field) from error
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

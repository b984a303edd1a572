"""An HTTP listener that survives slow and silent clients.

Promise: a connection without a whole request is closed after ``idle`` seconds, whether it sent nothing or half a
header; no body is inflated; a stop waits for the requests that are being answered. Limits: plain HTTP.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

from aiohttp import web

from schoolwacht.errors import ConfigError
from schoolwacht_collector.config import address

#: Seconds that a refused request's unread body is waited for.
_LINGER = 2.0
_BACKLOG = 1024


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

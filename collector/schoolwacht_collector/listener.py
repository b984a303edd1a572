"""An HTTP listener that survives slow and silent clients.

Promise: a connection without a whole request is closed after ``idle`` seconds, whether it sent nothing or half a
header; no body is inflated; a stop waits for the requests that are being answered. What is no HTTP gets its 400 and
is counted, not logged each time: anybody can send it. With TLS
a handshake has to be done within ``idle`` seconds too.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from asyncio import get_running_loop
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


class _Site(web.SockSite):
    """A listening socket whose TLS handshakes have a bound: aiohttp leaves asyncio's minute."""

    __slots__ = ("_handshake",)

    def __init__(
        self, runner: web.AppRunner, sock: socket.socket, *, context: ssl.SSLContext | None, handshake: float
    ) -> None:
        super().__init__(runner, sock, ssl_context=context, backlog=_BACKLOG)
        self._handshake = handshake

    async def start(self) -> None:
        """Begin to listen."""
        await web.BaseSite.start(self)
        assert self._runner.server is not None
        secure = self._ssl_context is not None
        self._server = await get_running_loop().create_server(
            self._runner.server,
            sock=self._sock,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=self._handshake if secure else None,
            ssl_shutdown_timeout=_LINGER if secure else None,
        )


async def listen(
    stack: AsyncExitStack,
    application: web.Application,
    where: str,
    *,
    field: str,
    idle: float,
    stop: float,
    tls: ssl.SSLContext | None = None,
    shared: bool = False,
) -> str:
    """Serve an application until the stack unwinds.

    Args:
        stack: ends the listener.
        application: what is served.
        where: ``host:port`` as in the settings; port 0 takes a free one.
        field: the setting's name, for errors.
        idle: seconds that a connection may be open without a whole request.
        stop: seconds that a stop waits for requests.
        tls: of HTTPS; None serves plain HTTP.
        shared: other processes of ours listen on the same port (SO_REUSEPORT); the kernel spreads connections.

    Returns its URL, without a slash at the end. Raises ConfigError if the port cannot be had.
    """
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
    sock = bind(where, field=field, shared=shared)
    try:
        await _Site(runner, sock, context=tls, handshake=idle).start()
    except OSError as error:
        sock.close()
        raise _taken(where, field, error) from error
    host, port = runner.addresses[0][:2]
    scheme = "http" if tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def bind(where: str, *, field: str, shared: bool = False) -> socket.socket:
    """A socket bound to ``where``, not yet listening; ``shared``: others may bind it too. Raises ConfigError."""
    at = address(where, field=field)
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("127.0.0.1" if at.host == "localhost" else at.host, at.port))
    except OSError as error:
        sock.close()
        raise _taken(where, field, error) from error
    return sock


def _taken(where: str, field: str, error: OSError) -> ConfigError:
    # asyncio puts its own words around the reason of the system.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ConfigError(f"cannot listen on {where}: {reason}", field=field)

"""Faults of the intake as answers: RFC 9457 problem details."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

PROBLEM_TYPE = "application/problem+json"
_logger = logging.getLogger(__name__)


def problem(status: int, detail: str, *, retry_after: float | None = None, close: bool = False) -> web.Response:
    """An answer that says what is wrong.

    Args:
        status: the HTTP status.
        detail: what is wrong and, where it helps, the way out.
        retry_after: seconds to wait before the same request can succeed.
        close: whether the connection ends with it: what of the body was not read is not waited for.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    response = web.Response(status=status, body=msgspec.json.encode(body), content_type=PROBLEM_TYPE)
    if retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if close:
        response.force_close()
    return response


@web.middleware
async def problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn aiohttp's own errors, and our own faults, into problem details."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, f"{request.method} {request.path[:200]}: {error.reason}", close=True)
    except Exception:  # the border of one request: the others go on
        _logger.exception("a request failed")
        return problem(500, "the collector failed; its log says more", close=True)

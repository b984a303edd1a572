"""Faults as answers: problem+json for programs (RFC 9457), a page for people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from schoolwacht.errors import (
    Conflict,
    IndicatorError,
    QueryError,
    SchoolwachtError,
    StoreError,
)
from schoolwacht_collector.alerts import AlertClosed, NoSuchAlert
from schoolwacht_collector.tuning.change import NoSuchTuning, TuningError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROBLEM_TYPE = "application/problem+json"
MAX_BODY = 8 << 20


class Problem(SchoolwachtError):  # noqa: N818 - the word of RFC 9457
    """A request that is not answered as asked. ``status`` is the HTTP status; ``extra`` are further members."""

    def __init__(self, status: int, message: str, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(message, field=field)
        self.status = status
        self.extra = extra


@contextmanager
def reading_body() -> Iterator[None]:
    """While a body is read: whoever asked may go away, or send half of it. Raises Problem."""
    try:
        yield
    except (ConnectionError, RequestPayloadError) as error:
        raise Problem(400, "the body ended early or is broken") from error


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error is to whoever asked, or None if it is our own fault."""
    match error:
        case Problem():
            return error
        case QueryError():
            extra = {} if error.column is None else {"column": error.column}
            return Problem(400, error.message, field=error.field, **extra)
        case NoSuchAlert():
            return Problem(404, "there is no alert of that id")
        case AlertClosed():
            return Problem(409, error.message)
        case Conflict():
            return Problem(409, "somebody else changed this in the meantime; load it again")
        case StoreError():
            return Problem(503, f"the store does not answer: {error.message}")
        case NoSuchTuning():
            return Problem(404, error.message)
        case TuningError():
            return Problem(422, error.message, field=error.field)
        case IndicatorError():
            extra = {} if error.line is None else {"line": error.line}
            return Problem(422, error.message, field=error.field, **extra)
        case msgspec.ValidationError() | msgspec.DecodeError():
            return Problem(400, f"the body cannot be used: {error}")
        case web.HTTPException() if error.status >= 400:
            return Problem(error.status, _HTTP.get(error.status, error.reason))
    return None


_HTTP = {
    404: "there is nothing at this address",
    405: "this address does not take that method",
    413: "the body is too large",
}


def as_json(problem: Problem) -> web.Response:
    """The problem+json answer."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.message,
    }
    if problem.field is not None:
        body["field"] = problem.field
    return web.json_response(body | problem.extra, status=problem.status, content_type=PROBLEM_TYPE)

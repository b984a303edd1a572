"""The JSON body of a call."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from schoolwacht_console.problem import Problem, reading_body

JSON = "application/json"
BodyT = TypeVar("BodyT")


async def body_of(request: web.Request, shape: type[BodyT]) -> BodyT:
    """The body as a ``shape``. Raises Problem, msgspec.ValidationError."""
    if request.content_type != JSON:
        raise Problem(415, f"the body must be {JSON}")
    with reading_body():
        body = await request.read()
    return msgspec.json.decode(body, type=shape)

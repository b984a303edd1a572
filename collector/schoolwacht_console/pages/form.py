"""The form that a page sent."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from schoolwacht_console.problem import Problem, reading_body

_FORM = "application/x-www-form-urlencoded"


async def form_of(request: web.Request) -> Mapping[str, str]:
    """The texts of a form; of one name the first. Raises Problem."""
    if request.content_type != _FORM:
        raise Problem(415, f"the form must be {_FORM}")
    try:
        with reading_body():
            given = await request.post()
    except (LookupError, UnicodeError) as error:  # a charset that there is not, or text that is not in it
        raise Problem(400, "the form is no text") from error
    return {name: value for name, value in reversed(list(given.items())) if isinstance(value, str)}

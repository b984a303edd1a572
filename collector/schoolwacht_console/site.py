"""The console as one aiohttp application: pages, API and what protects them, wired by hand.

Promise: whatever is asked, the answer is a page or problem+json with the security headers on it; a fault of our own is
logged and answered with 500 without its details.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files

from aiohttp import web

from schoolwacht_collector.index.port import SECTOR, Scope, Store
from schoolwacht_collector.indicators.gate import Gate
from schoolwacht_console import openapi, security
from schoolwacht_console.api import ENDPOINTS, PREFIX, handler
from schoolwacht_console.context import CONSOLE, Console
from schoolwacht_console.lookup import Directory
from schoolwacht_console.pages import NAVIGATION, PAGES
from schoolwacht_console.problem import MAX_BODY, Problem, as_json, problem_of
from schoolwacht_console.rendering import environment, page

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: The files that pages load, and their types. Nothing else is served.
STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}


def make_site(
    store: Store,
    *,
    scope: Scope = SECTOR,
    hosts: Collection[str] = (),
    gate: Gate | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> web.Application:
    """The console over an open store.

    Args:
        store: where everything is; it is neither opened nor closed here.
        scope: what the console's users may see; the whole sector if nothing is said, since there are no accounts yet.
        hosts: names or addresses, besides those of loopback, under which people reach the console.
        gate: what new indicators pass; one with the default settings if None.
        now: the clock (aware, UTC).
    """
    templates = environment()
    templates.globals["navigation"] = NAVIGATION
    site = web.Application(
        middlewares=[_answer_faults, security.only_hosts(hosts), security.only_own_pages],
        client_max_size=MAX_BODY,
    )
    site[CONSOLE] = Console(store, scope, Directory(store, scope), templates, now, gate or Gate(store, clock=now))
    site.on_response_prepare.append(security.add_headers)
    for each in PAGES:
        site.router.add_route(each.method, each.path, each.answer)
    for endpoint in ENDPOINTS:
        site.router.add_route(endpoint.method, f"{PREFIX}{endpoint.path}", handler(endpoint))
    description = openapi.document()
    site.router.add_get(openapi.PATH, _described(description))
    for name, kind in STATIC.items():
        site.router.add_get(f"/static/{name}", _static(name, kind))
    return site


async def _json(value: object) -> web.Response:
    return web.json_response(value)


def _described(description: object) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return await _json(description)

    return answer


def _static(name: str, kind: str) -> Handler:
    body = files("schoolwacht_console").joinpath("pages", "static", name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        # Revalidated, not kept: a style sheet of the version before would break the page of this one.
        return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"})

    return answer


@web.middleware
async def _answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        problem = problem_of(error) or Problem(error.status, error.reason)
    except Exception as error:  # noqa: BLE001 - the border: whatever it is, the user gets an answer
        known = problem_of(error)
        if known is None:
            _log.exception("%s %s failed", request.method, request.path)
        problem = known or Problem(500, "something went wrong here; the collector's log says what")
    if request.path.startswith("/api/"):
        return as_json(problem)
    context = {"title": HTTPStatus(problem.status).phrase, "detail": str(problem), "here": ""}
    return page(request.app[CONSOLE].templates, "fault.html", context, status=problem.status)

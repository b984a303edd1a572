"""``GET /v1/rules``: the present rule book's bundle, for agents; sent only to whom has another one."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from schoolwacht_collector.rulebook.shelf import RULES_TYPE, Shelf


class Desk:
    """Gives out the present bundle of a shelf, which it holds in memory as long as it is the present one."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._held: tuple[str, bytes] | None = None

    async def answer(self, request: web.Request) -> web.Response | None:
        """304 if the agent has this book, else 200 with it; None if there is none. Raises RulebookError."""
        held = await asyncio.to_thread(self._present)
        if held is None:
            return None
        version, bundle = held
        tag = f'"{version}"'
        headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "private, no-cache"}
        if tag in (one.strip() for one in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
            return web.Response(status=304, headers=headers)
        return web.Response(body=bundle, content_type=RULES_TYPE, headers=headers)

    def _present(self) -> tuple[str, bytes] | None:
        manifest = self._shelf.current()
        if manifest is None:
            return None
        if self._held is None or self._held[0] != manifest.version:
            self._held = (manifest.version, self._shelf.bundle(manifest.version))
        return self._held

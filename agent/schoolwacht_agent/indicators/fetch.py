"""The set of indicators from a collector to the agent's file: asked for every minute, sent only when it is another one.

Promise: what is put in use came whole from a collector that the agent's settings name, over the same checked connection
as its events. A collector that does not answer, is older or says something else changes nothing; what hinders is said
once. Limits: the whole set comes at each change (about 25 bytes an indicator); 32 MiB compressed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import SET_TYPE, read_set, unpack_set
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.indicators.keep import current, note_checked, put
from schoolwacht_agent.uplink import open_session, tls_context

log = logging.getLogger(__name__)

FRAME_MAX = 32 << 20
_CHUNK = 64 << 10


class Fetcher:
    """Keeps the file of indicators like the collector's.

    Args:
        state: the agent's state directory.
        settings: collectors and bounds.
        key: ``<agent name>.<secret>``.
        chance: gives a number in [0, 1): ten thousand agents must not ask in the same second.
    """

    def __init__(
        self, state: Path, settings: UplinkTable, key: str, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._state = state
        self._settings = settings
        self._key = key
        self._context: ssl.SSLContext = tls_context(settings)
        self._chance = chance
        self._said = ""

    async def run(self) -> None:
        """Ask for ever, every ``uplink.indicators_seconds``; return at once if that is 0."""
        period = self._settings.indicators_seconds
        if not period:
            return
        await asyncio.sleep(self._chance() * min(period, 5.0))
        async with open_session(self._settings, self._key, self._context) as session:
            while True:
                await self.fetch(session)
                await asyncio.sleep(period * (0.9 + 0.2 * self._chance()))

    async def fetch(self, session: aiohttp.ClientSession) -> bool:
        """Ask once, the collectors in their order. Whether another set is in use now."""
        hindrance = ""
        for url in self._settings.collectors:
            try:
                changed = await self._ask(session, url.rstrip("/"))
                await asyncio.to_thread(note_checked, self._state)
            except (IndicatorError, aiohttp.ClientError, TimeoutError, OSError) as error:
                hindrance = f"indicators of {url}: {error or type(error).__name__}"
            else:
                self._say("")
                return changed
        self._say(hindrance)
        return False

    async def _ask(self, session: aiohttp.ClientSession, url: str) -> bool:
        before = await asyncio.to_thread(current, self._state)
        headers = {"Accept": SET_TYPE}
        if before is not None:
            headers["If-None-Match"] = f'"{before.version}"'
        async with session.get(f"{url}/v1/indicators", headers=headers, allow_redirects=False) as response:
            if response.status == 304:
                return False
            if response.status != 200 or response.content_type != SET_TYPE:
                raise IndicatorError(f"answers {response.status} {response.content_type}")
            frame = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                frame += chunk
                if len(frame) > FRAME_MAX:
                    raise IndicatorError(f"sends more than {FRAME_MAX >> 20} MiB")
        number = await asyncio.to_thread(self._put, bytes(frame), url)
        if number is not None:
            log.info("%d indicators are in use", number)
        return number is not None

    def _put(self, frame: bytes, url: str) -> int | None:
        found = read_set(unpack_set(frame), path=url)
        return len(found.lines) if put(self._state, found) else None

    def _say(self, hindrance: str) -> None:
        if hindrance != self._said:
            self._said = hindrance
            if hindrance:
                log.warning("%s; the indicators at hand stay in use", hindrance)

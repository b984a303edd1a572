"""The way from the spool to a collector and back with verdicts.

Promise: an event is settled only by a collector's verdict on it; whatever goes wrong before that, it stays in the spool
and is sent again, under the same identity. Waits grow and are random, so that ten thousand agents do not come back at
once. Several collectors: the first that answers is kept to until it fails. A batch that no collector can read is halved
until the one event at fault is found; that one is set aside with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from schoolwacht.errors import WireError
from schoolwacht.wire import BATCH_TYPE, Verdict, decode_reply, encode_batch
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.spool import Item, Reader, SetAside

_log = logging.getLogger(__name__)
_FIRST_WAIT = 0.5
_REPLY_MAX = 1 << 20
#: Statuses that say the batch itself is wrong; smaller ones may pass.
_UNREADABLE = frozenset({400, 413})
#: Statuses that more haste does not mend: a wrong key, a disabled agent, another protocol.
_REFUSED = frozenset({401, 403, 404, 415})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a collector said of a batch: one verdict an event, or a fault of the whole, and how long to wait."""

    verdicts: Sequence[Verdict] | None = None
    unreadable: str | None = None
    wait: float | None = None


class Uplink:
    """Delivers what a spool holds.

    Args:
        reader: the spool.
        aside: where events go that no collector takes.
        settings: collectors and bounds.
        key: ``<agent name>.<secret>``.
    """

    def __init__(self, reader: Reader, aside: SetAside, settings: UplinkTable, key: str) -> None:
        self._reader = reader
        self._aside = aside
        self._settings = settings
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
        self._at = 0
        self._failures = 0
        self.delivered = 0
        self.rejected = 0

    async def drain(self) -> None:
        """Deliver until the spool is empty."""
        async with self._session() as session:
            while await self._deliver(session):
                pass

    async def run(self, idle_seconds: float = 0.2) -> None:
        """Deliver for ever; looks for new events every ``idle_seconds`` when there are none."""
        async with self._session() as session:
            while True:
                if not await self._deliver(session):
                    await asyncio.sleep(idle_seconds)

    def _session(self) -> aiohttp.ClientSession:
        settings = self._settings
        context: ssl.SSLContext | bool = True
        if not settings.verify:
            context = False
        elif settings.ca_file:
            context = ssl.create_default_context(cafile=settings.ca_file)
        timeout = aiohttp.ClientTimeout(total=settings.answer_seconds, connect=settings.connect_seconds)
        return aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context), auto_decompress=False
        )

    async def _deliver(self, session: aiohttp.ClientSession) -> bool:
        """Send and settle one portion. False if there was none."""
        settings = self._settings
        portion = await asyncio.to_thread(self._reader.take, settings.batch_items, settings.batch_bytes)
        if portion is None:
            return False
        verdicts = await self._send(session, portion.epoch, portion.items)
        self.delivered += sum(verdict is Verdict.DELIVERED for verdict in verdicts)
        self.rejected += sum(verdict is Verdict.REJECTED for verdict in verdicts)
        await asyncio.to_thread(self._reader.settle, portion, verdicts)
        return True

    async def _send(self, session: aiohttp.ClientSession, epoch: str, items: Sequence[Item]) -> list[Verdict]:
        """Verdicts on these events, however long it takes to get them."""
        while True:
            answer = await self._post(session, epoch, items)
            if answer.verdicts is not None:
                self._failures = 0
                if answer.wait or Verdict.RETRY in answer.verdicts:
                    await self._pause(answer.wait)
                return list(answer.verdicts)
            if answer.unreadable is not None:
                if len(items) > 1:
                    half = len(items) // 2
                    return await self._send(session, epoch, items[:half]) + await self._send(
                        session, epoch, items[half:]
                    )
                await asyncio.to_thread(self._aside.add, epoch, items[0].sequence, items[0].raw, answer.unreadable)
                return [Verdict.REJECTED]
            await self._pause(answer.wait)

    async def _post(self, session: aiohttp.ClientSession, epoch: str, items: Sequence[Item]) -> Answer:
        url = self._settings.collectors[self._at % len(self._settings.collectors)]
        body = await asyncio.to_thread(encode_batch, epoch, [one.sequence for one in items], [one.raw for one in items])
        try:
            async with session.post(f"{url.rstrip('/')}/v1/batches", data=body, allow_redirects=False) as response:
                data = await response.content.read(_REPLY_MAX)
                wait = _seconds(response.headers.get("Retry-After"))
                if response.status == 200:
                    reply = decode_reply(data, items=len(items))
                    return Answer(reply.verdicts, wait=reply.retry_after)
        except (aiohttp.ClientError, TimeoutError, OSError, WireError) as error:
            _log.warning("%s: %s; the events stay in the spool", url, error or type(error).__name__)
            self._at += 1
            return Answer()
        said = data[:200].decode("utf-8", "backslashreplace")
        if response.status in _UNREADABLE:
            return Answer(unreadable=f"{response.status}: {said}")
        _log.warning("%s answered %d: %s; the events stay in the spool", url, response.status, said)
        if response.status in _REFUSED:
            wait = self._settings.backoff_seconds
        elif wait is None:
            self._at += 1
        return Answer(wait=wait)

    async def _pause(self, wait: float | None) -> None:
        """As long as the collector asked for, else a random time below a bound that doubles."""
        self._failures += 1
        bound = min(self._settings.backoff_seconds, _FIRST_WAIT * 2 ** min(self._failures, 20))
        await asyncio.sleep(random.uniform(0, bound) if wait is None else wait)


def _seconds(text: str | None) -> float | None:
    try:
        return min(max(float(text), 0.0), 3600.0) if text else None
    except ValueError:
        return None

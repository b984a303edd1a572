"""The way from the spool to a collector, and back with verdicts.

Promise: an event is settled only by a collector's verdict on it, or set aside when every collector's word is that it
alone cannot be read. Whatever else goes wrong, it stays in the spool and is sent again under the same identity.

A batch that is refused as unreadable or too large is halved down to the one event at fault. Before that event is set
aside, an empty batch must be taken by the same collector: a proxy or a broken collector that refuses everything must
not empty the spool.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

import aiohttp

from schoolwacht.errors import ConfigError, SpoolError
from schoolwacht.wire import BATCH_TYPE, LIMITS, Verdict, encode_batch
from schoolwacht_agent.answer import Answer, Meaning, read_answer
from schoolwacht_agent.collectors import Collectors
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.spool import Item, Portion, Reader, SetAside

log = logging.getLogger(__name__)

_REPLY_MAX = 4 << 20
_CHUNK = 64 << 10


class Stopped(Exception):  # noqa: N818 - an order that was followed, not an error
    """The uplink was told to stop while it waited."""


class Outcome(NamedTuple):
    """What became of one event, and why."""

    verdict: Verdict
    reason: str = ""


class Uplink:
    """Delivers what a spool holds.

    Args:
        reader: the spool; closed by its owner.
        aside: where events go that no collector takes.
        settings: collectors and bounds.
        key: ``<agent name>.<secret>``.
        noted: called with what hinders delivery, in plain words, when that changes; with "" when it flows again.
        clock: seconds by which collectors rest; only differences count.
    """

    def __init__(
        self,
        reader: Reader,
        aside: SetAside,
        settings: UplinkTable,
        key: str,
        *,
        noted: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not settings.collectors:
            raise ConfigError("names no collector to send to", field="uplink.collectors")
        self._reader = reader
        self._aside = aside
        self._settings = settings
        self._context = tls_context(settings)
        self._key = key
        self._collectors = Collectors(settings.collectors, longest=settings.backoff_seconds, clock=clock)
        self._stop = asyncio.Event()
        self._noted = noted
        self._hindrance = ""
        self.delivered = 0
        self.rejected = 0
        #: Whether the last answer refused the key.
        self.refused = False

    def stop(self) -> None:
        """End :meth:`run` or :meth:`drain` soon, with the batch that is on its way."""
        self._stop.set()

    async def run(self, idle_seconds: float = 0.2) -> None:
        """Deliver until :meth:`stop`; look for new events every ``idle_seconds`` when there are none."""
        async with self._session() as session:
            try:
                while not self._stop.is_set():
                    if not await self._deliver(session):
                        await self._sleep(idle_seconds)
            except Stopped:
                return

    async def drain(self) -> bool:
        """Deliver until the spool is empty. False if it was stopped, or the key was refused everywhere, before that."""
        async with self._session() as session:
            try:
                while await self._deliver(session, patient=False):
                    pass
            except Stopped:
                return False
        return not self.refused

    def _session(self) -> aiohttp.ClientSession:
        return open_session(self._settings, self._key, self._context)

    # One portion

    async def _deliver(self, session: aiohttp.ClientSession, *, patient: bool = True) -> bool:
        """Send and settle one portion; False if there was none (or, not ``patient``, if the key is refused)."""
        settings = self._settings
        if not await self._can_send(patient=patient):
            return False
        try:
            portion = await asyncio.to_thread(self._reader.take, settings.batch_items, settings.batch_bytes)
        except SpoolError as error:
            self._hinders(str(error))
            await self._sleep(1.0)
            return True
        if portion is None:
            return False
        outcomes = await self._send(session, portion.epoch, portion.items, patient=patient, whole=True)
        if outcomes is None:
            # Taken anew when a collector can be tried again: what is more urgent may have come meanwhile.
            return True
        verdicts = await asyncio.to_thread(self._set_aside, portion, outcomes)
        await self._settle(portion, verdicts)
        self.delivered += verdicts.count(Verdict.DELIVERED)
        self.rejected += verdicts.count(Verdict.REJECTED)
        return True

    def _set_aside(self, portion: Portion, outcomes: Sequence[Outcome]) -> list[Verdict]:
        """Keep the rejected events with their reasons; one that cannot be kept now is tried again later."""
        verdicts = []
        for item, (verdict, reason) in zip(portion.items, outcomes, strict=True):
            said = verdict
            if verdict is Verdict.REJECTED:
                try:
                    self._aside.add(portion.epoch, item.sequence, item.raw, reason)
                    log.warning("event %d is set aside: %s", item.sequence, reason)
                except OSError as error:
                    log.warning("event %d cannot be set aside: %s", item.sequence, error)
                    said = Verdict.RETRY
            verdicts.append(said)
        return verdicts

    async def _settle(self, portion: Portion, verdicts: Sequence[Verdict]) -> None:
        while True:
            try:
                await asyncio.to_thread(self._reader.settle, portion, verdicts)
            except SpoolError as error:
                self._hinders(str(error))
                await self._sleep(1.0)
            else:
                return

    # Sending

    async def _can_send(self, *, patient: bool) -> bool:
        """Wait until a collector can be tried; False if the key is refused and nobody is patient."""
        while True:
            url, wait = self._collectors.choose()
            if url is not None:
                return True
            if self.refused and not patient:
                return False
            await self._sleep(wait)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        epoch: str,
        items: Sequence[Item],
        *,
        patient: bool,
        whole: bool = False,
    ) -> list[Outcome] | None:
        """What became of these events, however long that takes; None if the key is refused and nobody is patient.

        ``whole``: it is a whole portion, and after one attempt that failed it is given back (None).
        """
        while True:
            url, wait = self._collectors.choose()
            if url is None:
                if self.refused and not patient:
                    return None
                await self._sleep(wait)
                continue
            answer = await self._post(session, url, epoch, items)
            self.refused = answer.meaning is Meaning.REFUSED
            if answer.reply is not None:
                return self._outcomes(url, answer)
            if answer.meaning is Meaning.UNREADABLE:
                if len(items) > 1:
                    return await self._halves(session, epoch, items, patient=patient)
                if await self._takes_batches(session, url, epoch):
                    return [Outcome(Verdict.REJECTED, f"no collector can read it: {answer.said}")]
            self._note_failure(url, answer)
            if whole:
                return None

    async def _halves(
        self, session: aiohttp.ClientSession, epoch: str, items: Sequence[Item], *, patient: bool
    ) -> list[Outcome] | None:
        middle = len(items) // 2
        first = await self._send(session, epoch, items[:middle], patient=patient)
        if first is None:
            return None
        second = await self._send(session, epoch, items[middle:], patient=patient)
        return None if second is None else first + second

    async def _takes_batches(self, session: aiohttp.ClientSession, url: str, epoch: str) -> bool:
        """Whether a collector takes a batch without events, so that what it refused must be the event's fault."""
        answer = await self._post(session, url, epoch, [])
        return answer.reply is not None

    async def _post(self, session: aiohttp.ClientSession, url: str, epoch: str, items: Sequence[Item]) -> Answer:
        frame = await asyncio.to_thread(
            encode_batch, epoch, [item.sequence for item in items], [item.raw for item in items]
        )
        if len(frame) > LIMITS.frame:
            # The collector would say 413; sparing the line the bytes.
            return Answer(Meaning.UNREADABLE, f"is too large: {len(frame)} bytes compressed")
        return (await post_frame(session, url, frame, items=len(items)))[0]

    def _outcomes(self, url: str, answer: Answer) -> list[Outcome]:
        assert answer.reply is not None
        if self._collectors.works(url) or self._hindrance:
            log.info("%s takes events again", url)
            self._hindrance = ""
            self._noted("")
        reply = answer.reply
        retries = reply.verdicts.count(Verdict.RETRY)
        if retries or answer.wait:
            self._collectors.rest(answer.wait, little=2 * retries < len(reply.verdicts))
        else:
            self._collectors.flows()
        return [Outcome(verdict, reply.reasons.get(place, "")) for place, verdict in enumerate(reply.verdicts)]

    def _note_failure(self, url: str, answer: Answer) -> None:
        if answer.meaning is Meaning.REFUSED:
            self._collectors.refuses(url)
            self._hinders(
                f"{url} {answer.said}; enrol or enable the agent at the collector. The events stay in the spool"
            )
            return
        if answer.meaning is Meaning.SLOWER:
            self._collectors.rest(answer.wait)
        else:
            self._collectors.fails(url, answer.wait)
        self._hinders(f"{url} {answer.said}; the events stay in the spool")

    def _hinders(self, text: str) -> None:
        """Say what hinders delivery, once."""
        if text != self._hindrance:
            self._hindrance = text
            log.warning("%s", text)
            self._noted(text)

    async def _sleep(self, seconds: float) -> None:
        """Wait; raises Stopped if told to stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
        raise Stopped


def open_session(settings: UplinkTable, key: str, context: ssl.SSLContext) -> aiohttp.ClientSession:
    """A session that speaks to collectors as this agent. It follows no proxy of the environment."""
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": BATCH_TYPE,
        "User-Agent": f"schoolwacht-agent/{version('schoolwacht')}",
    }
    timeout = aiohttp.ClientTimeout(
        total=settings.connect_seconds + settings.answer_seconds, sock_connect=settings.connect_seconds
    )
    connector = aiohttp.TCPConnector(ssl=context)
    return aiohttp.ClientSession(
        headers=headers, timeout=timeout, connector=connector, auto_decompress=False, trust_env=False
    )


async def post_frame(
    session: aiohttp.ClientSession, url: str, frame: bytes, *, items: int
) -> tuple[Answer, str | None]:
    """Post a batch of so many events; the answer, and the collector's Date. Raises nothing for a failing network."""
    try:
        async with session.post(f"{url}/v1/batches", data=frame, allow_redirects=False) as response:
            date = response.headers.get("Date")
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > _REPLY_MAX:
                    return Answer(Meaning.FOREIGN, "answers with more than a reply can have"), date
            now = datetime.now(UTC)
            return read_answer(response.status, response.headers, bytes(body), items=items, now=now), date
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Answer(Meaning.FOREIGN, f"cannot be reached: {error or type(error).__name__}"), None


def tls_context(settings: UplinkTable) -> ssl.SSLContext:
    """TLS 1.3, checked by the system's authorities or ``uplink.ca_file``, showing the agent's own certificate.

    Raises ConfigError.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"is no readable PEM file of certificates: {error}", path=settings.ca_file, field="uplink.ca_file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if settings.client_certificate:
        try:
            context.load_cert_chain(settings.client_certificate, settings.client_key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"is no readable key of {settings.client_certificate}: {error}",
                path=settings.client_key,
                field="uplink.client_key",
            ) from error
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_password() -> str:
    raise ConfigError("is encrypted: give the key without a password", field="uplink.client_key")

"""Where agents deliver, ``POST /v1/batches``, and get indicators, ``GET /v1/indicators``.

Promise: a verdict is given only after the store has answered, DELIVERED only for what is stored with all its signals.
Nobody's bytes are read before the agent is known; what is held is bounded (:mod:`.admission`), and what one agent may
deliver too (:mod:`.quota`); a batch is decoded and matched in short steps, the agents in turn (:mod:`.fair`), so that
the loop stays free for the others. Nothing here is inflated by the HTTP layer. With mutual TLS (:mod:`.tls`) the name
in an agent's certificate must be that of its key. Limits: without ``intake.certificate`` there is no TLS; listen on
loopback then, or behind a proxy that ends it.

``/healthz`` and ``/readyz`` are for whoever watches the collector; :mod:`.offer` says more of the indicators.

Answers: 200 with a reply; otherwise problem details: 400 no batch, 401 unknown key, 403 disabled agent or another's
certificate, 408 slow body, 413 too large, 415 wrong type, 429 too much at once, 503 the store or the line is not free.
After 408, 429 and 503 the agent keeps the batch and sends it again (``Retry-After``).
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from schoolwacht.errors import StoreError, WireError
from schoolwacht.event import Event
from schoolwacht.known_bad import MOST
from schoolwacht.wire import BATCH_TYPE, LIMITS, REPLY_TYPE, VERSION, Opened, Reply, Verdict, encode_reply, open_batch
from schoolwacht_collector.admission import Flight, Room
from schoolwacht_collector.config import Settings
from schoolwacht_collector.dead_letters import DeadLetters, Letter
from schoolwacht_collector.fair import Line, Turn
from schoolwacht_collector.gather import Gather
from schoolwacht_collector.index.port import Outcome, Store
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.metrics import Metrics, make
from schoolwacht_collector.offer import answer
from schoolwacht_collector.prepare import Prepared, Verdicts, prepare, remember, verdicts
from schoolwacht_collector.problem import problem, problems
from schoolwacht_collector.quota import Quota
from schoolwacht_collector.records import Agent
from schoolwacht_collector.registry import Refusal, Registry
from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.serve import Desk
from schoolwacht_collector.rulebook.shelf import Shelf
from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.rules.told import Told
from schoolwacht_collector.stamp import Bounds, Stamper
from schoolwacht_collector.tls import names_of

#: Seconds that work may hold the loop before others get a turn.
TURN = 0.003
#: Seconds of work after which a batch lets another agent's go first.
QUANTUM = 0.02
#: Seconds after which an agent may try again what was not taken.
RETRY_SECONDS = 5.0
_STAMPERS = 20_000
_AGENT_VERSION = re.compile(r"schoolwacht-agent/([0-9A-Za-z.+-]{1,32})")
_logger = logging.getLogger(__name__)
T = TypeVar("T")


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours; it never leaves this module
    """A request that is answered with a problem."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Batch(NamedTuple):
    """A batch that waits for the store."""

    epoch: str
    sequences: list[int]
    prepared: Prepared


class Intake:
    """The intake over a store.

    Args:
        settings: limits and time-outs.
        secret: the collector's.
        store: open.
        registry: who may deliver.
        matching: the indicators of now.
        rules: the Sigma rules of now; without it none is matched.
        dead_letters: where rejected items go.
        signals_created: called when new signals were stored.
        ready: further facts for ``/readyz`` (the states of jobs).
        now: the clock (aware, UTC).
        clock: monotonic seconds, for the quota of agents.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        secret: bytes,
        store: Store,
        registry: Registry,
        matching: Matching,
        rules: Rules | None = None,
        dead_letters: DeadLetters,
        signals_created: Callable[[], None],
        metrics: Metrics | None = None,
        ready: Callable[[], dict[str, object]] = dict,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = settings.limits
        self._settings = settings
        self._secret = secret
        self._store = store
        self._registry = registry
        self._matching = matching
        self._rules = rules or Rules(settings.rules)
        self._told = Told()
        self._dead_letters = dead_letters
        self._signals_created = signals_created
        self._ready = ready
        self._now = now
        self._mutual = bool(settings.intake.client_ca)
        self._bounds = bounds_of(settings)
        self._flight = Flight(total=limits.flight_bytes, share=limits.agent_flight_bytes)
        self._room = Room(limits.prepared_events)
        self._line = Line()
        self._quota = Quota(rate=limits.agent_events_per_second, burst=limits.agent_burst_events, clock=clock)
        self._gather = Gather(store.create)
        self.metrics = metrics or make()
        self._desk = Desk(Shelf(settings.rulebook_directory))
        self._unsignalled = 0
        self._stampers: OrderedDict[str, Stamper] = OrderedDict()

    def exchange(self, settings: Settings) -> None:
        """Other limits from the next request on; those that run keep what they were admitted with."""
        limits = settings.limits
        self._settings = settings
        self._bounds = bounds_of(settings)
        self._stampers.clear()
        self._flight.exchange(total=limits.flight_bytes, share=limits.agent_flight_bytes)
        self._quota.exchange(rate=limits.agent_events_per_second, burst=limits.agent_burst_events)

    def application(self) -> web.Application:
        """The intake's routes."""
        application = web.Application(middlewares=[problems], client_max_size=LIMITS.frame)
        application.router.add_post("/v1/batches", self.take)
        application.router.add_get("/v1/indicators", self.give)
        application.router.add_get("/v1/rules", self.give_rules)
        application.router.add_get("/healthz", self.healthz)
        application.router.add_get("/readyz", self.readyz)
        return application

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process runs and its loop turns."""
        return web.json_response({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Whether batches can be stored now: 200 or 503. What is wrong stands in the log; this page is public."""
        health = await self._store.health()
        state = {
            "status": "ready" if health.writable else "not ready",
            "store": "writable" if health.writable else "not writable",
            "flight_bytes": self._flight.bytes,
            "hits_without_signal": self._unsignalled,
        }
        return web.json_response(state | self._ready(), status=200 if health.writable else 503)

    @property
    def flight_bytes(self) -> int:
        """Bytes of batches that are held now."""
        return self._flight.bytes

    @property
    def waiting_events(self) -> int:
        """Decoded events that hold room on their way to the store now."""
        return self._room.taken

    async def take(self, request: web.Request) -> web.Response:
        """One batch."""
        with self.metrics.batch_seconds.time():
            response = await self._answer(request)
        self.metrics.batches.labels(response.status).inc()
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            agent = await self._known(request)
            size = _expected(request)
            self._within_quota(agent, close=True)
            with self._flight.admitted(agent.id, size) as admitted:
                if not admitted:
                    wait = 1.0 + secrets.randbelow(3)
                    return problem(429, "too much is in flight; send it again", retry_after=wait, close=True)
                frame = await self._body(request)
                reply = await self._deliver(agent, frame, _version(request))
        except Refused as refused:
            return refused.response
        return web.Response(body=encode_reply(reply), content_type=REPLY_TYPE)

    def _within_quota(self, agent: Agent, *, close: bool) -> None:
        if wait := self._quota.wait(agent.id):
            raise Refused(
                problem(429, "this agent delivers more than its quota; send it later", retry_after=wait, close=close)
            )

    async def give(self, request: web.Request) -> web.Response:
        """The indicators that agents match themselves."""
        try:
            await self._known(request)
        except Refused as refused:
            return refused.response
        return answer(request, self._matching.offer)

    async def give_rules(self, request: web.Request) -> web.Response:
        """The rule book's bundle, for Suricata at the agents."""
        try:
            await self._known(request)
            found = await self._desk.answer(request)
        except Refused as refused:
            return refused.response
        except RulebookError as error:
            _logger.warning("the rule book cannot be given out: %s", error)
            return problem(503, "the rule book cannot be read", retry_after=RETRY_SECONDS)
        return found or problem(404, "there is no rule book")

    async def _known(self, request: web.Request) -> Agent:
        try:
            agent = await self._registry.authenticate(request.headers.get(hdrs.AUTHORIZATION))
        except StoreError as error:
            _logger.warning("an agent cannot be looked up: %s", error)
            raise Refused(problem(503, "the store does not answer", retry_after=RETRY_SECONDS, close=True)) from error
        if isinstance(agent, Refusal):
            status = 401 if agent is Refusal.UNKNOWN else 403
            raise Refused(problem(status, agent.value, close=True))
        if self._mutual and agent.id not in _certified(request):
            _logger.warning("%s delivers with a certificate of another name", agent.id)
            raise Refused(problem(403, "the certificate is not this agent's", close=True))
        return agent

    async def _body(self, request: web.Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.intake.body_seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > LIMITS.frame:
                        raise Refused(_too_large())
        except TimeoutError as error:
            raise Refused(
                problem(408, "the batch did not arrive in time", retry_after=RETRY_SECONDS, close=True)
            ) from error
        except (RequestPayloadError, ConnectionError) as error:
            raise Refused(problem(400, "the body ended early or is broken", close=True)) from error
        return bytes(body)

    async def _deliver(self, agent: Agent, frame: bytes, version: str | None) -> Reply:
        async with self._prepared(agent, frame, version) as batch:
            outcomes = await self._create(agent, batch.prepared.documents)
            result = verdicts(batch.prepared, outcomes)
            remember(self._told, batch.prepared, outcomes)
            await self._bury(agent, batch, result)
        self._count(len(frame), batch, outcomes, result)
        if result.signals:
            self._signals_created()
        if unsignalled := batch.prepared.unsignalled:
            self._unsignalled += unsignalled
            _logger.warning(
                "%s: indicators hit %d times more than signals were made (at most %d an event, fewer in a batch with"
                " many hits); the events themselves are kept",
                agent.id,
                unsignalled,
                MOST,
            )
        rejected = result.verdicts.count(Verdict.REJECTED)
        self._registry.note(
            agent.id,
            stored=result.created,
            delivered=result.verdicts.count(Verdict.DELIVERED),
            rejected=rejected,
            version=version,
            now=self._now(),
        )
        retry = RETRY_SECONDS if Verdict.RETRY in result.verdicts else None
        return Reply(VERSION, result.verdicts, result.reasons, retry)

    @asynccontextmanager
    async def _prepared(self, agent: Agent, frame: bytes, version: str | None) -> AsyncIterator[_Batch]:
        """The batch's documents, and room for them until the block ends.

        One batch is worked on at a time, and after :data:`QUANTUM` another agent's. Room is never waited for with a
        turn in hand, nor with an inflated batch: it is opened again then.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.limits.wait_seconds
        turn = Turn(self._line, agent.id)
        taken = 0
        try:
            try:
                await _before(deadline, turn.take())
                opened, weight = _opened(turn, frame)
                self._within_quota(agent, close=False)
                if not self._room.try_enter(agent.id, weight):
                    del opened
                    turn.give_back()
                    await _before(deadline, self._room.enter(agent.id, weight))
                    taken = self._room.bounded(weight)
                    await _before(deadline, turn.take())
                    opened, weight = _opened(turn, frame)
                taken = self._room.bounded(weight)
                self._quota.charge(agent.id, weight)
                # Only now: what arrives is looked for by its arrival, soon after it.
                stamp = self._stamper(agent).batch(opened.epoch, now=self._now(), version=version)
                steps = prepare(opened, stamp, self._matching.indicators, self._rules.current, self._told)
                batch = _Batch(opened.epoch, opened.sequences, await _in_turns(steps, turn))
                del opened, steps  # its raw items hold the whole of the inflated batch
                # How many signals there are is known only now.
                self._room.add(agent.id, batch.prepared.weight)
                taken += batch.prepared.weight
            finally:
                turn.give_back()
            yield batch
        finally:
            self._room.leave(agent.id, taken)

    async def _create(self, agent: Agent, documents: list[Event]) -> list[Outcome]:
        try:
            return await self._gather.create(documents, agent.id)
        except StoreError as error:
            _logger.warning("a batch cannot be stored: %s", error)
            return [Outcome(Verdict.RETRY, created=False, reason="the store does not answer")] * len(documents)

    async def _bury(self, agent: Agent, batch: _Batch, result: Verdicts) -> None:
        """Keep the rejected items; if that fails nobody may say that they are rejected."""
        places = [place for place, verdict in enumerate(result.verdicts) if verdict is Verdict.REJECTED]
        if not places:
            return
        raw = batch.prepared.bytes_of(places)
        now = self._now()
        letters = [
            Letter(now, agent.id, batch.epoch, batch.sequences[place], result.reasons[place], raw[place])
            for place in places
        ]
        try:
            await self._dead_letters.keep(letters)
        except StoreError as error:
            _logger.warning("%s", error)
            for place in places:
                result.verdicts[place] = Verdict.RETRY
                result.reasons[place] = "the collector cannot keep a dead letter now"

    def _count(self, size: int, batch: _Batch, outcomes: list[Outcome], result: Verdicts) -> None:
        metrics = self.metrics
        metrics.batch_bytes.inc(size)
        for verdict, number in Counter(result.verdicts).items():
            metrics.items[verdict].inc(number)
        created = Counter(
            document.event_dataset
            for document, outcome in zip(batch.prepared.documents, outcomes, strict=True)
            if outcome.created
        )
        for dataset, number in created.items():
            metrics.events[dataset].inc(number)
        metrics.unsignalled_hits.inc(batch.prepared.unsignalled)

    def _stamper(self, agent: Agent) -> Stamper:
        stamper = self._stampers.get(agent.id)
        if stamper is None or stamper.agent is not agent:
            stamper = self._stampers[agent.id] = Stamper(agent, self._secret, self._bounds)
            self._stampers.move_to_end(agent.id)
            while len(self._stampers) > _STAMPERS:
                self._stampers.popitem(last=False)
        return stamper


def _certified(request: web.Request) -> frozenset[str]:
    """The names in the certificate that the client of this connection showed."""
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    return names_of(certificate or {})


def bounds_of(settings: Settings) -> Bounds:
    """How far an event's time may lie from its arrival."""
    days = settings.limits.past_days
    return Bounds(timedelta(seconds=settings.limits.future_seconds), timedelta(days=days) if days else None)


def _expected(request: web.Request) -> int:
    """Bytes of the body at most, once type and length have been looked at."""
    if request.content_type != BATCH_TYPE or hdrs.CONTENT_ENCODING in request.headers:
        raise Refused(problem(415, f"a batch has the type {BATCH_TYPE} and no content encoding", close=True))
    length = request.content_length
    if length is None:
        return LIMITS.frame
    if length > LIMITS.frame:
        raise Refused(_too_large())
    return length


def _too_large() -> web.Response:
    return problem(413, f"a batch has at most {LIMITS.frame} bytes", close=True)


def _version(request: web.Request) -> str | None:
    """The software version that the agent names in its User-Agent."""
    found = _AGENT_VERSION.match(request.headers.get(hdrs.USER_AGENT, ""))
    return found[1] if found else None


async def _before(deadline: float, waiting: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout_at(deadline):
            return await waiting
    except TimeoutError as error:
        raise Refused(problem(503, "the line is not free; send it again", retry_after=RETRY_SECONDS)) from error


def _opened(turn: Turn, frame: bytes) -> tuple[Opened, int]:
    """The batch with its envelope open, and what it weighs: its items, a large one as many as it has KiB."""
    began = time.perf_counter()
    try:
        opened = open_batch(frame)
    except WireError as error:
        raise Refused(problem(400, error.message)) from error
    finally:
        turn.spent += time.perf_counter() - began
    return opened, max(len(opened.raws), opened.size >> 10)


async def _in_turns(steps: Generator[None, None, T], turn: Turn) -> T:
    """Run steps to their result; others run whenever :data:`TURN` is over, another agent's batch after a quantum."""
    began = time.perf_counter()
    while True:
        try:
            next(steps)
        except StopIteration as done:
            turn.spent += time.perf_counter() - began
            result: T = done.value
            return result
        if (spent := time.perf_counter() - began) > TURN:
            turn.spent += spent
            if turn.spent > QUANTUM:
                await turn.pause()
            await asyncio.sleep(0)
            began = time.perf_counter()

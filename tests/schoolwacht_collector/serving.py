"""An intake on loopback over a real store, for tests: agents that are enrolled, and clients that speak its protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import BATCH_TYPE, Reply, decode_reply, encode_batch, encode_event
from schoolwacht_collector.config import IntakeSettings, LimitSettings, local
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search, Store
from schoolwacht_collector.intake import Intake
from schoolwacht_collector.listener import listen
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.metrics import Metrics
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School, Standpoint
from schoolwacht_collector.registry import Registry, enrol
from schoolwacht_collector.tls import ServerTls

EPOCH = "00000000000000aa"
SECRET = b"0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SCHOOL = School(location="00AB00", board="12345", name="De Kring", sector="po", region="Utrecht")


def flow(**changes: Any) -> Event:
    """A flow as an agent sends it."""
    values: dict[str, Any] = {
        "timestamp": NOW,
        "event_dataset": Dataset.FLOW,
        "source_ip": "10.0.0.7",
        "source_port": 50000,
        "destination_ip": "198.51.100.9",
        "destination_port": 443,
        "network_transport": "tcp",
    }
    return Event(**(values | changes))


@dataclass(slots=True)
class Served:
    """A running intake."""

    url: str
    store: Store
    registry: Registry
    matching: Matching
    dead_letters: DeadLetters
    metrics: Metrics
    nudges: list[datetime] = field(default_factory=list)

    async def enrolled(self, name: str = "gateway-1", *schools: School) -> str:
        """The key of a new agent."""
        standpoint = Standpoint.NDC if len(schools) > 1 else Standpoint.GATEWAY
        return (await enrol(self.store, name, schools or (SCHOOL,), standpoint=standpoint)).key

    async def rows(self, kind: Kind = Kind.EVENT) -> list[Row]:
        """Everything of a kind, oldest first."""
        return (await self.store.search(Search(kind, All(), SECTOR, limit=10_000, oldest_first=True))).rows


@asynccontextmanager
async def serving(
    store: Store,
    directory: Path,
    *,
    limits: LimitSettings | None = None,
    body_seconds: float = 10.0,
    idle_seconds: float = 10.0,
    clock: list[datetime] | None = None,
    registry: Registry | None = None,
    intake: IntakeSettings | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Served]:
    """An intake over an open store. ``clock[0]`` is its time (NOW); ``intake`` says what TLS it has,
    ``monotonic`` is the clock of the quota."""
    times = clock or [NOW]
    settings = local(directory)
    settings = msgspec.structs.replace(
        settings,
        intake=msgspec.structs.replace(intake or settings.intake, body_seconds=body_seconds, idle_seconds=idle_seconds),
        limits=limits or LimitSettings(),
    )
    known = registry or Registry(store)
    matching = Matching(store, past=None)
    await matching.load()
    letters = DeadLetters(settings.dead_letters, daily_bytes=settings.limits.dead_letter_bytes, days=30)
    tls = ServerTls(settings.intake) if settings.intake.certificate else None
    taker = Intake(
        settings,
        secret=SECRET,
        store=store,
        registry=known,
        matching=matching,
        dead_letters=letters,
        signals_created=lambda: served.nudges.append(times[0]),
        now=lambda: times[0],
        clock=monotonic,
    )
    served = Served("", store, known, matching, letters, taker.metrics)
    async with AsyncExitStack() as stack:
        served.url = await listen(
            stack,
            taker.application(),
            "127.0.0.1:0",
            field="intake.listen",
            idle=idle_seconds,
            stop=5.0,
            tls=tls.context if tls else None,
        )
        yield served


@dataclass(frozen=True, slots=True)
class Answer:
    """What the intake answered: the reply of a 200, or the problem."""

    status: int
    headers: dict[str, str]
    reply: Reply | None
    problem: dict[str, Any]


async def post(
    url: str,
    key: str,
    frame: bytes,
    *,
    items: int,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one frame as an agent does."""
    sent = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE, "User-Agent": "schoolwacht-agent/0.1.0"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/v1/batches", data=frame, headers=sent | (headers or {})) as response,
    ):
        body = await response.read()
        if response.status == 200:
            return Answer(200, dict(response.headers), decode_reply(body, items=items), {})
        return Answer(response.status, dict(response.headers), None, msgspec.json.decode(body))


def batch(events: Sequence[Event], *, first: int = 1, epoch: str = EPOCH) -> bytes:
    """A batch of events with sequence numbers from ``first``."""
    return encode_batch(epoch, range(first, first + len(events)), [encode_event(event) for event in events])


async def deliver(url: str, key: str, events: Sequence[Event], *, first: int = 1, epoch: str = EPOCH) -> Reply:
    """Deliver events and return the reply; the batch must have been taken."""
    answer = await post(url, key, batch(events, first=first, epoch=epoch), items=len(events))
    assert answer.reply is not None, answer.problem
    return answer.reply

"""Who may deliver, and for which schools: enrolment, authentication, and what each agent delivered.

Promise: an agent's key is shown once, at enrolment, and only its SHA-256 is kept. A disabled or removed agent is
refused within five seconds on every collector: a registration is looked up again when it is older than :data:`LIFE`.
Limits: counts reach the store every :data:`INTERVAL` seconds; a crash loses those since the last time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from schoolwacht.errors import ConfigError, Conflict, StoreError
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.ledger_counts import Counts
from schoolwacht_collector.records import Agent, School, Standpoint

#: Seconds that a registration is believed without asking the store.
LIFE = 3.0
#: Seconds between two writes of what agents delivered.
INTERVAL = 15.0
#: Registrations (and unknown names) that are remembered.
CACHED = 20_000
#: Whose an agent on the NDC path is, if nothing else is said: no board's, so that no board sees it.
OPERATOR = "ndc"
_ATTEMPTS = 8
_NAME = re.compile(r"[a-z0-9-]{1,63}")
_BEARER = re.compile(r"Bearer ([a-z0-9-]{1,63})\.([A-Za-z0-9_-]{43})")
_LOCATION = re.compile(r"[0-9]{2}[A-Z]{2}[0-9]{2}")
_BOARD = re.compile(r"[A-Za-z0-9-]{1,32}")
# Compared with where there is no registration, so that an unknown name takes as long as a wrong key.
_NOBODY = hashlib.sha256(b"").hexdigest()


class Refusal(StrEnum):
    """Why somebody is not let in."""

    UNKNOWN = "this key is not known: enrol the agent, or check the key it was given"
    DISABLED = "this agent is disabled"


class Enrolment(NamedTuple):
    """A new registration and its key, which cannot be had again."""

    agent: Agent
    key: str


@dataclass(slots=True)
class Delivered:
    """What an agent delivered since its counts were last written."""

    last_seen: datetime
    stored: int = 0
    rejected: int = 0
    version: str | None = None


class _Known(NamedTuple):
    agent: Agent | None
    until: float


async def enrol(
    store: Store,
    name: str,
    schools: Sequence[School],
    *,
    standpoint: Standpoint = Standpoint.GATEWAY,
    operator: str = OPERATOR,
    replace: bool = False,
    now: datetime | None = None,
) -> Enrolment:
    """Register an agent and make its key.

    Args:
        store: where the registration is kept.
        name: 1–63 of ``a-z``, ``0-9`` and ``-``; also ``observer.name`` of its events.
        schools: what it may speak for: one at a gateway, any number on the NDC path.
        standpoint: where it stands.
        operator: of an agent on the NDC path: whose it is, in place of a board's number.
        replace: give an agent that exists a new key and these schools; the old key ends.
        now: time of the registration.

    Raises ConfigError for a name, school or board of the wrong form, Conflict if the name is taken, StoreError.
    """
    _check(name, schools, standpoint, operator)
    key = f"{name}.{secrets.token_urlsafe(32)}"
    agent = Agent(
        id=name,
        timestamp=now or datetime.now(UTC),
        key_hash=hash_of(key),
        board=schools[0].board if standpoint is Standpoint.GATEWAY else operator,
        schools=tuple(schools),
        standpoint=standpoint,
    )
    known = await store.get(Kind.AGENT, name)
    if known is not None and not replace:
        raise Conflict(f"an agent named {name} is enrolled already: choose another name, or replace it")
    if known is not None:
        old = known.record
        assert isinstance(old, Agent)
        agent = msgspec.structs.replace(agent, stored=old.stored, rejected=old.rejected, last_seen=old.last_seen)
    await store.put(Kind.AGENT, agent, None if known is None else known.version)
    return Enrolment(agent, key)


async def set_enabled(store: Store, name: str, *, enabled: bool) -> Agent:
    """Let an agent in or keep it out. Raises ConfigError if there is none of that name, StoreError."""
    changed = await _change(
        store, name, lambda agent: msgspec.structs.replace(agent, enabled=enabled, timestamp=datetime.now(UTC))
    )
    if changed is None:
        raise ConfigError(f"no agent named {name} is enrolled", field="name")
    return changed


async def set_schools(store: Store, name: str, schools: Sequence[School]) -> Agent:
    """Give an agent on the NDC path other schools; its key stays.

    Raises ConfigError if there is none of that name, it is a gateway's or a school has the wrong form, StoreError.
    """

    def changed(agent: Agent) -> Agent:
        if agent.standpoint is not Standpoint.NDC:
            raise ConfigError(f"{name} is a gateway's: enrol it again with --replace for another school", field="name")
        _check(name, schools, agent.standpoint, agent.board)
        return msgspec.structs.replace(agent, schools=tuple(schools), timestamp=datetime.now(UTC))

    agent = await _change(store, name, changed)
    if agent is None:
        raise ConfigError(f"no agent named {name} is enrolled", field="name")
    return agent


def hash_of(key: str) -> str:
    """SHA-256 of a key, hexadecimal. Keys hold 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class Registry:
    """The registrations as one collector sees them. ``clock`` gives monotonic seconds."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        #: What was counted, for the agents' ledgers.
        self.counts = Counts(store)
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Agent | None]] = {}
        self._delivered: dict[str, Delivered] = {}

    async def authenticate(self, header: str | None) -> Agent | Refusal:
        """The agent whose key an ``Authorization`` header carries. Raises StoreError if it cannot be looked up."""
        found = _BEARER.fullmatch(header or "")
        if found is None:
            return Refusal.UNKNOWN
        name = found[1]
        agent = await self._agent(name)
        given = hash_of(f"{name}.{found[2]}")
        right = hmac.compare_digest(given, _NOBODY if agent is None else agent.key_hash)
        if agent is None or not right:
            return Refusal.UNKNOWN
        return agent if agent.enabled else Refusal.DISABLED

    def note(
        self,
        agent: str,
        *,
        stored: int,
        rejected: int,
        version: str | None,
        now: datetime,
        delivered: int | None = None,
    ) -> None:
        """Count what an agent delivered; :meth:`flush` writes it.

        ``stored`` items were new, ``delivered`` were acknowledged (None: none but the new ones).
        """
        self.counts.note(
            agent, stored=stored, delivered=stored if delivered is None else delivered, rejected=rejected, now=now
        )
        self._noted(agent, stored=stored, rejected=rejected, version=version, now=now)

    def _noted(self, agent: str, *, stored: int, rejected: int, version: str | None, now: datetime) -> None:
        entry = self._delivered.get(agent)
        if entry is None:
            entry = self._delivered[agent] = Delivered(now)
        entry.last_seen = now
        entry.stored += stored
        entry.rejected += rejected
        entry.version = version or entry.version

    async def flush(self) -> None:
        """Write what was counted. What cannot be written now is kept for the next time; raises StoreError then."""
        taken, self._delivered = self._delivered, {}
        try:
            while taken:
                name = next(iter(taken))
                await _change(self._store, name, lambda agent, entry=taken[name]: _added(agent, entry))  # type: ignore[misc] # mypy cannot type a lambda's default
                del taken[name]
        finally:
            for name, entry in taken.items():
                self._noted(
                    name, stored=entry.stored, rejected=entry.rejected, version=entry.version, now=entry.last_seen
                )

    async def run(self) -> None:
        """Write the counts at intervals, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.flush()

    async def _agent(self, name: str) -> Agent | None:
        known = self._known.get(name)
        if known is not None and known.until > self._clock():
            return known.agent
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.get_running_loop().create_task(self._ask(name))
            task.add_done_callback(_retrieved)
        # Others may wait for the same answer: one who gives up must not end it for them.
        return await asyncio.shield(task)

    async def _ask(self, name: str) -> Agent | None:
        try:
            asked = self._clock()
            versioned = await self._store.get(Kind.AGENT, name)
        finally:
            del self._asking[name]
        agent = None if versioned is None else versioned.record
        assert agent is None or isinstance(agent, Agent)
        # Same registration, same object: whoever keeps something per registration can compare by identity.
        before = self._known.pop(name, None)
        if before is not None and before.agent is not None and _same(before.agent, agent):
            agent = before.agent
        self._known[name] = _Known(agent, asked + LIFE)
        while len(self._known) > CACHED:
            self._known.popitem(last=False)
        return agent


def _same(before: Agent, after: Agent | None) -> bool:
    """Whether two states of a registration give the same rights (they may differ in counts)."""
    return after is not None and _rights(before) == _rights(after)


def _rights(agent: Agent) -> tuple[object, ...]:
    return agent.key_hash, agent.enabled, agent.schools, agent.board, agent.standpoint


def _added(agent: Agent, delivered: Delivered) -> Agent:
    seen = delivered.last_seen if agent.last_seen is None else max(agent.last_seen, delivered.last_seen)
    return msgspec.structs.replace(
        agent,
        timestamp=datetime.now(UTC),
        last_seen=seen,
        stored=agent.stored + delivered.stored,
        rejected=agent.rejected + delivered.rejected,
        version=delivered.version or agent.version,
    )


async def _change(store: Store, name: str, change: Callable[[Agent], Agent]) -> Agent | None:
    """Change a registration by compare-and-set; None if there is none."""
    for attempt in range(_ATTEMPTS):
        versioned = await store.get(Kind.AGENT, name)
        if versioned is None:
            return None
        assert isinstance(versioned.record, Agent)
        changed = change(versioned.record)
        try:
            await store.put(Kind.AGENT, changed, versioned.version)
        except Conflict:
            await asyncio.sleep(0.01 * 2**attempt * secrets.randbelow(100) / 100)
            continue
        return changed
    raise StoreError(f"the registration of {name} is being changed by others all the time")


def _retrieved(task: asyncio.Task[Agent | None]) -> None:
    """Everyone who asked may have gone; the error is theirs alone."""
    if not task.cancelled():
        task.exception()


def _check(name: str, schools: Sequence[School], standpoint: Standpoint, operator: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f'"{name}" is no agent name: 1 to 63 of a-z, 0-9 and -', field="name")
    if not schools:
        raise ConfigError("an agent speaks for at least one school, such as 00AB00", field="school")
    if standpoint is Standpoint.GATEWAY and len(schools) > 1:
        raise ConfigError(
            "a gateway has one school; a sensor on a path of many is enrolled with --standpoint ndc", field="school"
        )
    if not _BOARD.fullmatch(operator):
        raise ConfigError(f'"{operator}" is no operator: 1 to 32 letters, digits and hyphens', field="operator")
    seen: set[str] = set()
    for school in schools:
        if not _LOCATION.fullmatch(school.location):
            raise ConfigError(
                f'"{school.location}" is no location: two digits, two capitals and two digits, such as 00AB00',
                field="school",
            )
        if school.location in seen:
            raise ConfigError(f"{school.location} is named twice", field="school")
        seen.add(school.location)
        if not _BOARD.fullmatch(school.board):
            raise ConfigError(f'"{school.board}" is no number of a board, such as 12345', field="board")

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schoolwacht.errors import ConfigError, Conflict, StoreError
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Versioned
from schoolwacht_collector.records import Agent, School, Standpoint
from schoolwacht_collector.registry import CACHED, LIFE, Refusal, Registry, enrol, hash_of, set_enabled, set_schools
from tests.schoolwacht_collector.serving import NOW, SCHOOL

OTHER = School(location="11CD01", board="23456")


class CountingStore(MemoryStore):
    """Counts look-ups, and can be slow or not answer them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.broken = False
        self.released: asyncio.Event | None = None

    async def get(self, kind: Kind, id: str) -> Versioned | None:  # noqa: A002 - the port's name
        self.asked += 1
        if self.released is not None:
            await self.released.wait()
        if self.broken:
            raise StoreError("no answer")
        return await super().get(kind, id)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def stored(store: MemoryStore, name: str = "gateway-1") -> Agent:
    found = await store.get(Kind.AGENT, name)
    assert found is not None
    assert isinstance(found.record, Agent)
    return found.record


async def test_a_key_is_shown_once_and_only_its_hash_is_kept() -> None:
    store = MemoryStore()
    agent, key = await enrol(store, "gateway-1", [SCHOOL], now=NOW)
    kept = await stored(store)
    assert kept == agent
    assert kept.key_hash == hash_of(key)
    assert key.partition(".")[2] not in msgspec.json.encode(kept).decode()


async def test_an_enrolled_agent_is_let_in() -> None:
    store = MemoryStore()
    agent, key = await enrol(store, "gateway-1", [SCHOOL])
    assert await Registry(store).authenticate(f"Bearer {key}") == agent


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic Z2F0ZXdheS0xOnNlY3JldA==",
        "Bearer gateway-1",
        "Bearer gateway-1.",
        "Bearer gateway-1." + "A" * 43,
        "Bearer gateway-1." + "A" * 42,
        "Bearer gateway-1." + "A" * 100_000,
        "Bearer unknown." + "A" * 43,
        "Bearer GATEWAY-1." + "A" * 43,
        "Bearer ." + "A" * 43,
        "Bearer gateway-1.\u00e9" + "A" * 42,
    ],
)
async def test_whoever_has_no_key_is_unknown(header: str | None) -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    assert await Registry(store).authenticate(header) is Refusal.UNKNOWN


async def test_the_key_of_one_agent_does_not_open_another() -> None:
    store = MemoryStore()
    _, key = await enrol(store, "gateway-1", [SCHOOL])
    await enrol(store, "gateway-2", [SCHOOL])
    assert await Registry(store).authenticate("Bearer gateway-2." + key.partition(".")[2]) is Refusal.UNKNOWN


async def test_a_disabled_agent_is_refused_when_its_registration_is_looked_up_again() -> None:
    store, clock = MemoryStore(), Clock()
    _, key = await enrol(store, "gateway-1", [SCHOOL])
    registry = Registry(store, clock=clock)
    assert isinstance(await registry.authenticate(f"Bearer {key}"), Agent)
    await set_enabled(store, "gateway-1", enabled=False)
    clock.now += LIFE
    assert await registry.authenticate(f"Bearer {key}") is Refusal.DISABLED
    await set_enabled(store, "gateway-1", enabled=True)
    clock.now += LIFE
    assert isinstance(await registry.authenticate(f"Bearer {key}"), Agent)


def test_a_registration_is_believed_for_less_than_five_seconds() -> None:
    assert LIFE < 5


async def test_a_gateway_has_one_school_and_a_sensor_on_the_path_any_number() -> None:
    store = MemoryStore()
    with pytest.raises(ConfigError, match="--standpoint ndc"):
        await enrol(store, "gateway-1", [SCHOOL, OTHER])
    agent, _ = await enrol(store, "ndc-1", [SCHOOL, OTHER], standpoint=Standpoint.NDC)
    assert (agent.board, agent.schools) == ("ndc", (SCHOOL, OTHER))
    owned, _ = await enrol(store, "ndc-2", [SCHOOL], standpoint=Standpoint.NDC, operator="cert-1")
    assert owned.board == "cert-1"
    with pytest.raises(ConfigError, match="operator"):
        await enrol(store, "ndc-3", [SCHOOL], standpoint=Standpoint.NDC, operator="a b")


async def test_a_sensor_gets_other_schools_within_five_seconds_and_keeps_its_key() -> None:
    store, clock = MemoryStore(), Clock()
    _, key = await enrol(store, "ndc-1", [SCHOOL], standpoint=Standpoint.NDC)
    registry = Registry(store, clock=clock)
    await registry.authenticate(f"Bearer {key}")
    await set_schools(store, "ndc-1", [SCHOOL, OTHER])
    clock.now += LIFE
    agent = await registry.authenticate(f"Bearer {key}")
    assert isinstance(agent, Agent)
    assert agent.schools == (SCHOOL, OTHER)


async def test_a_gateway_keeps_its_school() -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    with pytest.raises(ConfigError, match="is a gateway's"):
        await set_schools(store, "gateway-1", [OTHER])
    with pytest.raises(ConfigError, match="no agent named"):
        await set_schools(store, "ghost", [OTHER])


async def test_a_replaced_key_ends() -> None:
    store, clock = MemoryStore(), Clock()
    _, old = await enrol(store, "gateway-1", [SCHOOL])
    registry = Registry(store, clock=clock)
    await registry.authenticate(f"Bearer {old}")
    _, new = await enrol(store, "gateway-1", [SCHOOL], replace=True)
    clock.now += LIFE
    assert await registry.authenticate(f"Bearer {old}") is Refusal.UNKNOWN
    assert isinstance(await registry.authenticate(f"Bearer {new}"), Agent)


async def test_a_registration_is_looked_up_once_for_many_requests() -> None:
    store = CountingStore()
    _, key = await enrol(store, "gateway-1", [SCHOOL])
    store.asked = 0
    registry = Registry(store)
    found = await asyncio.gather(*(registry.authenticate(f"Bearer {key}") for _ in range(50)))
    assert store.asked == 1
    assert len({id(agent) for agent in found}) == 1


async def test_one_who_gives_up_does_not_end_the_look_up_of_the_others() -> None:
    store = CountingStore()
    _, key = await enrol(store, "gateway-1", [SCHOOL])
    store.released = asyncio.Event()
    registry = Registry(store)
    first = asyncio.create_task(registry.authenticate(f"Bearer {key}"))
    second = asyncio.create_task(registry.authenticate(f"Bearer {key}"))
    await asyncio.sleep(0)
    first.cancel()
    store.released.set()
    assert isinstance(await second, Agent)


async def test_a_store_that_does_not_answer_is_not_an_unknown_key() -> None:
    store = CountingStore()
    _, key = await enrol(store, "gateway-1", [SCHOOL])
    registry = Registry(store)
    store.broken = True
    with pytest.raises(StoreError):
        await registry.authenticate(f"Bearer {key}")
    store.broken = False
    assert isinstance(await registry.authenticate(f"Bearer {key}"), Agent)


async def test_names_that_nobody_has_do_not_fill_the_memory() -> None:
    registry = Registry(MemoryStore())
    for number in range(CACHED + 50):
        await registry.authenticate(f"Bearer n{number}." + "A" * 43)
    assert len(registry._known) == CACHED


async def test_counts_are_added_to_the_registration() -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    registry = Registry(store)
    registry.note("gateway-1", stored=10, rejected=1, version="0.1.0", now=NOW)
    registry.note("gateway-1", stored=5, rejected=0, version=None, now=NOW + timedelta(seconds=2))
    await registry.flush()
    registry.note("gateway-1", stored=1, rejected=2, version=None, now=NOW + timedelta(seconds=3))
    await registry.flush()
    agent = await stored(store)
    assert (agent.stored, agent.rejected, agent.version) == (16, 3, "0.1.0")
    assert agent.last_seen == NOW + timedelta(seconds=3)


async def test_counts_of_two_collectors_add_up() -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    registries = [Registry(store) for _ in range(4)]
    for registry in registries:
        registry.note("gateway-1", stored=100, rejected=0, version=None, now=NOW)
    await asyncio.gather(*(registry.flush() for registry in registries))
    assert (await stored(store)).stored == 400


async def test_counts_that_cannot_be_written_are_written_later() -> None:
    store = MemoryStore()
    for name in ("gateway-1", "gateway-2"):
        await enrol(store, name, [SCHOOL])
    registry = Registry(store)
    for name in ("gateway-1", "gateway-2"):
        registry.note(name, stored=7, rejected=1, version=None, now=NOW)
    store.outage = "full disk"
    with pytest.raises(StoreError):
        await registry.flush()
    store.outage = None
    registry.note("gateway-1", stored=1, rejected=0, version=None, now=NOW)
    await registry.flush()
    assert (await stored(store)).stored == 8
    assert (await stored(store, "gateway-2")).stored == 7


async def test_counts_of_an_agent_that_is_gone_are_dropped() -> None:
    registry = Registry(MemoryStore())
    registry.note("ghost", stored=1, rejected=0, version=None, now=NOW)
    await registry.flush()
    assert registry._delivered == {}


async def test_counting_does_not_enable_an_agent_that_was_disabled_meanwhile() -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    registry = Registry(store)
    registry.note("gateway-1", stored=1, rejected=0, version=None, now=NOW)
    await asyncio.gather(registry.flush(), set_enabled(store, "gateway-1", enabled=False))
    agent = await stored(store)
    assert (agent.enabled, agent.stored) == (False, 1)


async def test_a_taken_name_is_refused() -> None:
    store = MemoryStore()
    await enrol(store, "gateway-1", [SCHOOL])
    with pytest.raises(Conflict, match="enrolled already"):
        await enrol(store, "gateway-1", [SCHOOL])


async def test_disabling_a_name_that_nobody_has_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no agent named ghost"):
        await set_enabled(MemoryStore(), "ghost", enabled=False)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Gateway"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "a\n"}, "name"),
        ({"schools": []}, "school"),
        ({"schools": [School(location="00ab00", board="1")]}, "school"),
        ({"schools": [School(location="00AB0", board="1")]}, "school"),
        ({"schools": [School(location="00AB00\n", board="1")]}, "school"),
        ({"schools": [School(location="٠٠AB00", board="1")]}, "school"),
        ({"schools": [SCHOOL, SCHOOL]}, "school"),
        ({"schools": [School(location="00AB00", board="")]}, "board"),
        ({"schools": [School(location="00AB00", board="a b")]}, "board"),
    ],
)
async def test_a_registration_of_the_wrong_form_is_refused(changes: dict[str, Any], field: str) -> None:
    values = {"name": "gateway-1", "schools": [SCHOOL]} | changes
    with pytest.raises(ConfigError) as caught:
        await enrol(MemoryStore(), values["name"], values["schools"])
    assert caught.value.field == field

"""How far a job has come."""

from __future__ import annotations

from datetime import timedelta

from schoolwacht.errors import Conflict
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.progress import advance, reached
from tests.schoolwacht_collector.made import NOW

HOUR = timedelta(hours=1)


async def test_a_job_goes_on_where_the_last_leader_stood() -> None:
    store = MemoryStore()
    assert await reached(store, "job") is None
    assert await advance(store, "job", NOW, now=NOW)
    assert await advance(store, "job", NOW + HOUR, now=NOW)
    assert await reached(store, "job") == NOW + HOUR
    assert await reached(store, "another") is None


async def test_a_job_never_goes_back() -> None:
    store = MemoryStore()
    await advance(store, "job", NOW, now=NOW)
    assert await advance(store, "job", NOW - HOUR, now=NOW)
    assert await reached(store, "job") == NOW


class _Raced(MemoryStore):
    """Another leader writes between the look and the put."""

    async def put(self, kind: Kind, record: object, version: str | None) -> str:
        raise Conflict("another was here")


async def test_what_another_leader_noted_meanwhile_is_not_overwritten() -> None:
    assert not await advance(_Raced(), "job", NOW, now=NOW)

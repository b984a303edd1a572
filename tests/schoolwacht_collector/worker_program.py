"""A worker over a store in its own memory, in which one agent is enrolled: what the tests of workers run."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from schoolwacht_collector import worker
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.records import Agent, Standpoint
from schoolwacht_collector.registry import hash_of
from tests.schoolwacht_collector.serving import SCHOOL

KEY = "gateway-1." + "k" * 43


def known() -> Agent:
    """The agent whose key is :data:`KEY`."""
    return Agent(
        id="gateway-1",
        timestamp=datetime.now(UTC),
        key_hash=hash_of(KEY),
        board=SCHOOL.board,
        schools=(SCHOOL,),
        standpoint=Standpoint.GATEWAY,
    )


if __name__ == "__main__":
    store = MemoryStore()
    asyncio.run(store.put_many(Kind.AGENT, [known()]))
    sys.exit(worker.main(store))

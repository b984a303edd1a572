"""The stores as fixtures. Tests share one set of indices; each keeps to a board of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from schoolwacht_collector.index.port import Store
from tests.schoolwacht_collector.index import stores


@pytest.fixture(scope="session")
def shared_prefix(elasticsearch_url: str) -> Iterator[str]:
    """A prefix with templates and indices, for the whole run."""

    async def init() -> None:
        async with stores.elasticsearch(elasticsearch_url, prefix, init=True):
            pass

    prefix = f"t{secrets.token_hex(6)}"
    asyncio.run(init())
    yield prefix
    asyncio.run(stores.wipe(elasticsearch_url, prefix))


# Not asynchronous, so that the prefix is made before a test's event loop runs.
@pytest.fixture(params=["memory", "sqlite", "elasticsearch"])
def unopened(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Store]:
    """Each store in turn, to be entered."""
    if request.param == "memory":
        return stores.memory()
    if request.param == "sqlite":
        return stores.sqlite(tmp_path / "store")
    url, prefix = request.getfixturevalue("elasticsearch_url"), request.getfixturevalue("shared_prefix")
    return stores.elasticsearch(url, prefix)


@pytest.fixture
async def store(unopened: AbstractAsyncContextManager[Store]) -> AsyncIterator[Store]:
    """Each store in turn, opened."""
    async with unopened as opened:
        yield opened


@pytest.fixture
def board() -> str:
    """A board that no other test uses."""
    return f"board{secrets.token_hex(6)}"

"""A console over a filled store: in memory and in SQLite, through aiohttp's client and through the real Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from schoolwacht_collector.index import STORES
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_console.site import make_site
from tests.schoolwacht_console import sample

Client = TestClient[web.Request, web.Application]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open store with the sample in it."""
    made: Store = MemoryStore()
    if request.param == "sqlite":
        made = STORES["sqlite"].make(SqliteSettings(directory=str(tmp_path / "store")))
        await made.init()
    await made.open()
    try:
        await sample.fill(made)
        yield made
    finally:
        await made.close()


@pytest.fixture
async def client(store: Store) -> AsyncIterator[Client]:
    """A client of the console over that store."""
    server = TestServer(make_site(store, now=lambda: sample.NOW, hosts=["console.example"]), host="127.0.0.1")
    async with TestClient(server) as made:
        yield made

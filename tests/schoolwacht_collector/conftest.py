"""What tests of the collector share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schoolwacht_collector.index.port import Store
from tests.schoolwacht_collector.index import stores


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each embedded store, open and empty."""
    async with stores.memory() if request.param == "memory" else stores.sqlite(tmp_path / "store") as made:
        yield made

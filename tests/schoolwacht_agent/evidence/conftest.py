"""What several tests of evidence need."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory that every account can reach: a stand-in is run by one that owns nothing, and pytest's are closed."""
    with tempfile.TemporaryDirectory(prefix="schoolwacht-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)

"""Fixtures of the whole suite: the real Elasticsearch."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from tests.parts import ROOT, missing

_PORT = 19267


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """A running Elasticsearch: the one named by SCHOOLWACHT_TEST_ELASTICSEARCH, or our own on a port of its own."""
    if url := os.environ.get("SCHOOLWACHT_TEST_ELASTICSEARCH"):
        yield url
        return
    script = ROOT / "deploy" / "dev" / "elasticsearch.sh"
    directory = os.environ.get("SCHOOLWACHT_TEST_ELASTICSEARCH_DIR", str(ROOT / ".dev" / "elasticsearch"))
    environment = os.environ | {"ES_PORT": str(_PORT)}
    started = subprocess.run(
        [script, "start", directory], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    if started.returncode != 0:
        missing(f"no Elasticsearch: {(started.stderr or started.stdout).strip().splitlines()[-1]}")
    try:
        yield f"http://127.0.0.1:{_PORT}"
    finally:
        subprocess.run([script, "stop", directory], env=environment, capture_output=True, check=False, timeout=60)


@pytest.fixture
def index_prefix() -> str:
    """A name that keeps one test's indices apart from every other's."""
    return f"t{secrets.token_hex(6)}"

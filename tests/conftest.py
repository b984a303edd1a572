"""Fixtures of the whole suite: the real Elasticsearch."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.parts import ROOT, missing

# A shell's background jobs ignore SIGINT, and programs honour what they inherit: those that tests interrupt must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Other programs may take the processor meanwhile: how long an example takes proves nothing here.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """A command that runs in this process sends its log to a stream that the next test no longer has."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """A running Elasticsearch: the one named by SCHOOLWACHT_TEST_ELASTICSEARCH, or our own on a port of its own."""
    if url := os.environ.get("SCHOOLWACHT_TEST_ELASTICSEARCH"):
        yield url
        return
    script = ROOT / "deploy" / "dev" / "elasticsearch.sh"
    directory = os.environ.get("SCHOOLWACHT_TEST_ELASTICSEARCH_DIR", str(ROOT / ".dev" / "elasticsearch"))
    # Ports of its own, so that two runs on one machine do not meet.
    port = _free_port()
    environment = os.environ | {"ES_PORT": str(port), "ES_TRANSPORT_PORT": str(_free_port())}
    started = subprocess.run(
        [script, "start", directory], env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    if started.returncode != 0:
        said = " | ".join((started.stderr or started.stdout).strip().splitlines()[-6:])
        missing(f"no Elasticsearch: {said}")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        for command in ("stop", "wipe"):
            subprocess.run([script, command, directory], env=environment, capture_output=True, check=False, timeout=90)


@pytest.fixture
def index_prefix() -> str:
    """A name that keeps one test's indices apart from every other's."""
    return f"t{secrets.token_hex(6)}"

"""How a cluster is reached: TLS that is verified, secrets that stay secret, nodes that are gone."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from schoolwacht.errors import StoreError
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore, client
from schoolwacht_collector.index.settings import ElasticsearchSettings
from tests.parts import program
from tests.schoolwacht_collector.index.answering import Answering, item
from tests.schoolwacht_collector.index.stores import event


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-made certificate for 127.0.0.1 with its key, in one file."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=schoolwacht test", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", directory / "key.pem", "-out", directory / "ca.pem",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return directory


class Listening:
    """A node: takes every item, and notes who asked."""

    def __init__(self) -> None:
        self.authorizations: list[str | None] = []
        self.answering = Answering(lambda ids: (200, {"items": [item(201)] * len(ids)}))

    async def bulk(self, request: web.Request) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("Authorization"))
        return await self.answering.bulk(request)


@asynccontextmanager
async def node(tls: ssl.SSLContext | None = None, *, port: int = 0) -> AsyncIterator[tuple[str, Listening]]:
    """One node on loopback, until the block ends."""
    listening = Listening()
    application = web.Application(client_max_size=64 << 20)
    application.router.add_route("*", "/_bulk", listening.bulk)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}", listening
    finally:
        await runner.cleanup()


def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    return context


async def test_a_cluster_with_the_trusted_certificate_is_used(certificate: Path) -> None:
    async with node(served(certificate)) as (url, listening):
        store = ElasticsearchStore(ElasticsearchSettings(urls=(url,), ca_file=str(certificate / "ca.pem")))
        (outcome,) = await store.create([event(1, "b")])
        await store.close()

    assert outcome.created
    assert len(listening.authorizations) == 1


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
async def test_a_cluster_that_cannot_prove_who_it_is_gets_nothing(certificate: Path, wrong: str) -> None:
    """Neither an event nor a credential."""
    async with node(served(certificate)) as (url, listening):
        if wrong == "another name":
            named, ca_file = url.replace("127.0.0.1", "localhost"), str(certificate / "ca.pem")
        else:
            named, ca_file = url, ""
        store = ElasticsearchStore(ElasticsearchSettings(urls=(named,), ca_file=ca_file))
        (outcome,) = await store.create([event(1, "b")])
        with pytest.raises(StoreError, match="did not answer"):
            await store.open()
        await store.close()

    assert outcome.verdict is Verdict.RETRY
    assert listening.authorizations == []


@pytest.mark.parametrize("kind", ["key file", "key in the environment", "password"])
async def test_a_credential_is_sent_and_never_logged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "c2VjcmV0LXRoYXQtbXVzdC1ub3QtbGVhaw=="
    (tmp_path / "secret").write_text(secret)
    (tmp_path / "secret").chmod(0o600)
    caplog.set_level(logging.DEBUG)
    settings: dict[str, Any] = {
        "key file": {"api_key_file": str(tmp_path / "secret")},
        "key in the environment": {},
        "password": {"username": "writer", "password_file": str(tmp_path / "secret")},
    }[kind]
    if kind == "key in the environment":
        monkeypatch.setenv(client.API_KEY, secret)

    async with node() as (url, listening):
        store = ElasticsearchStore(ElasticsearchSettings(urls=(url,), **settings))
        assert (await store.create([event(1, "b")]))[0].created
    (outcome,) = await store.create([event(2, "b")])  # nobody is there any more
    health = await store.health()
    await store.close()

    (sent,) = listening.authorizations
    assert sent == f"ApiKey {secret}" if kind != "password" else (sent or "").startswith("Basic ")
    said = " ".join([caplog.text, outcome.reason or "", health.detail, repr(store), repr(store._settings)])
    assert secret not in said
    assert (sent or "").split()[1] not in said


async def test_a_node_that_is_gone_is_passed_over_and_used_again_when_it_is_back() -> None:
    async with node() as (second_url, second):
        async with node() as (first_url, _):
            pass
        port = int(first_url.rpartition(":")[2])
        store = ElasticsearchStore(ElasticsearchSettings(urls=(first_url, second_url)))
        alone = [await store.create([event(number, "b")]) for number in range(10)]
        async with node(port=port) as (_, again):
            number = 10
            # It rests for a second at first, longer if it fails again.
            for _ in range(600):
                await store.create([event(number := number + 1, "b")])
                if again.authorizations:
                    break
                await asyncio.sleep(0.05)
            back = len(again.authorizations)
        await store.close()

    assert all(outcome.created for (outcome,) in alone)
    assert len(second.authorizations) >= 10
    assert back

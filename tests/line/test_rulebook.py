"""The rule book from the collector's shelf to whoever has an agent's key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.rulebook.shelf import BUNDLE, Manifest, Shelf, unpack
from tests.schoolwacht_collector.serving import NOW, Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    store = MemoryStore()
    await store.open()
    async with serving(store, tmp_path / "collector") as started:
        yield started


def put(tmp_path: Path, version: str, text: bytes) -> Shelf:
    shelf = Shelf(tmp_path / "collector" / "rulebook")
    manifest = Manifest(version=version, created=NOW, rules=1, on=1, files=(), sources=(), checked=("7.0.10",))
    shelf.add(manifest, {"sources.rules": text}, keep=3)
    return shelf


async def ask(served: Served, key: str, known: str = "") -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {key}"} | ({"If-None-Match": f'"{known}"'} if known else {})
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/v1/rules", headers=headers) as answer:
        return answer.status, answer.headers.get("ETag", "").strip('"'), await answer.read()


async def test_the_present_book_is_given_once_and_the_next_when_there_is_one(served: Served, tmp_path: Path) -> None:
    key = await served.enrolled()
    assert (await ask(served, key))[0] == 404
    put(tmp_path, "v1", b"# one")
    status, version, body = await ask(served, key)
    assert (status, version) == (200, "v1")
    assert unpack(body)["sources.rules"] == b"# one"
    assert (await ask(served, key, "v1"))[0] == 304
    put(tmp_path, "v2", b"# two")
    assert (await ask(served, key, "v1"))[1] == "v2"


async def test_nobody_gets_rules_without_a_key(served: Served, tmp_path: Path) -> None:
    put(tmp_path, "v1", b"# one")
    assert (await ask(served, "gateway-1.wrong"))[0] == 401


async def test_a_book_that_cannot_be_read_is_said_to_be_for_later(served: Served, tmp_path: Path) -> None:
    shelf = put(tmp_path, "v1", b"# one")
    (shelf.directory / "v1" / BUNDLE).unlink()
    assert (await ask(served, await served.enrolled()))[0] == 503

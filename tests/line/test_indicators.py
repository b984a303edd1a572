"""Indicators from the collector's store to the agent's file, and a match that both find."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import SET_TYPE, read_lines, read_set, unpack_set
from schoolwacht_agent.config import UplinkTable
from schoolwacht_agent.indicators.fetch import Fetcher
from schoolwacht_agent.indicators.keep import current, path_of, refused_of
from schoolwacht_agent.indicators.match import Matcher
from schoolwacht_agent.uplink import open_session, tls_context
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind
from schoolwacht_collector.indicators import make_indicator
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.serving import NOW, Served, deliver, flow, serving


def indicator(value: str, **columns: str) -> Indicator:
    return make_indicator({"value": value} | columns, now=NOW)


async def keep(served: Served, *values: Indicator) -> None:
    await served.store.put_many(Kind.INDICATOR, values)
    served.matching._state = None
    await served.matching.load()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    store = MemoryStore()
    await store.open()
    async with serving(store, tmp_path / "collector") as started:
        yield started


async def fetch(served: Served, state: Path, key: str) -> bool:
    settings = UplinkTable(collectors=(served.url,))
    state.mkdir(exist_ok=True)
    async with open_session(settings, key, tls_context(settings)) as session:
        return await Fetcher(state, settings, key).fetch(session)


def number(state: Path) -> int:
    used = current(state)
    return -1 if used is None else used.number


async def test_a_set_is_fetched_once_and_again_when_it_changed(served: Served, tmp_path: Path) -> None:
    key, state = await served.enrolled(), tmp_path / "agent"
    await keep(served, indicator("evil.example"))
    assert await fetch(served, state, key)
    assert not await fetch(served, state, key)
    await keep(served, indicator("worse.example"))
    assert await fetch(served, state, key)
    assert number(state) == 2


async def test_what_is_for_named_people_or_no_longer_valid_is_not_handed_out(served: Served, tmp_path: Path) -> None:
    gone = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    await keep(
        served, indicator("a.example"), indicator("b.example", tlp="RED"), indicator("c.example", valid_until=gone)
    )
    await fetch(served, tmp_path / "agent", await served.enrolled())
    assert number(tmp_path / "agent") == 1


async def test_a_set_of_less_than_half_is_not_put_in_use(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, state = await served.enrolled(), tmp_path / "agent"
    many = [indicator(f"evil{place}.example") for place in range(10)]
    await keep(served, *many)
    await fetch(served, state, key)
    gone = datetime.now(UTC) - timedelta(days=1)
    await keep(served, *(replace(one, valid_until=gone) for one in many[:6]))
    assert not await fetch(served, state, key)
    assert number(state) == 10
    assert refused_of(state).exists()
    assert "less than half of the 10 in use" in caplog.text


async def test_nobody_gets_indicators_without_a_key(served: Served, tmp_path: Path) -> None:
    await keep(served, indicator("evil.example"))
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/v1/indicators") as response:
        assert response.status == 401
    assert not await fetch(served, tmp_path / "agent", "gateway-1.verkeerd")
    assert not path_of(tmp_path / "agent").exists()


async def test_the_answer_has_a_version_and_is_a_whole_set(served: Served) -> None:
    key = await served.enrolled()
    await keep(served, indicator("evil.example"))
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{served.url}/v1/indicators") as response,
    ):
        assert (response.status, response.content_type) == (200, SET_TYPE)
        found = read_set(unpack_set(await response.read()), path="answer")
        assert response.headers["ETag"] == f'"{found.version}"'
    assert [one.value for one in read_lines(found.lines)] == ["evil.example"]


async def test_what_agent_and_collector_both_find_is_one_signal(served: Served, tmp_path: Path) -> None:
    key, state = await served.enrolled(), tmp_path / "agent"
    await keep(served, indicator("evil.example"))
    await fetch(served, state, key)
    asked: Event = flow(event_dataset=Dataset.DNS, destination_port=53, dns_question_name="www.evil.example")
    told = Matcher(state).through([asked])
    assert len(told) == 2
    for first, part in enumerate((told, told[1:], told[:1])):  # together, the signal alone, the event alone
        await deliver(served.url, key, part, first=1 + 10 * first)
    (signal,) = await served.rows(Kind.SIGNAL)
    assert signal["threat.indicator.name"] == "evil.example"

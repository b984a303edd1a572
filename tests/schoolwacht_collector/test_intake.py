"""The intake over the SQLite store, by HTTP on loopback, with the loop watched for blocking calls."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import zstandard
from blockbuster import blockbuster_ctx

from schoolwacht.errors import StoreError
from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType
from schoolwacht.wire import BATCH_TYPE, LIMITS, Verdict, encode_batch, encode_event
from schoolwacht_collector.admission import LEAST
from schoolwacht_collector.config import LimitSettings
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Outcome, Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite.store import SqliteStore
from schoolwacht_collector.records import Indicator, School
from schoolwacht_collector.registry import LIFE, Registry, set_enabled
from tests.schoolwacht_collector.serving import EPOCH, NOW, SCHOOL, Served, batch, deliver, flow, post, serving

OTHER = School(location="11CD01", board="23456")
BAD = "203.0.113.66"


@pytest.fixture(autouse=True)
def _the_loop_is_never_blocked() -> Iterator[None]:
    with blockbuster_ctx("schoolwacht_collector"):
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = SqliteStore(SqliteSettings(directory=str(tmp_path / "store")))
    await opened.init()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def served(store: Store, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(store, tmp_path) as running:
        yield running


class Gate(MemoryStore):
    """A store whose writes wait until they are let through, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.open_gate = asyncio.Event()
        self.waiting = 0
        self.error: str | None = None

    async def create(self, events: Sequence[Event]) -> list[Outcome]:
        self.waiting += 1
        await self.open_gate.wait()
        if self.error is not None:
            raise StoreError(self.error)
        return await super().create(events)


def letters(directory: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in (directory / "dead-letters").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]


# Delivery


async def test_what_is_delivered_is_stored_with_its_tenant(served: Served) -> None:
    reply = await deliver(served.url, await served.enrolled(), [flow(), flow(source_port=50001)])
    assert reply.verdicts == [Verdict.DELIVERED] * 2
    rows = await served.rows()
    assert len(rows) == 2
    assert {(row["organization.id"], row["school.location"], row["observer.name"]) for row in rows} == {
        ("12345", "00AB00", "gateway-1")
    }
    assert {row["observer.version"] for row in rows} == {"0.1.0"}


async def test_an_indicator_that_hits_is_stored_as_a_signal_and_alerts_are_nudged(store: Store, tmp_path: Path) -> None:
    await store.put_many(Kind.INDICATOR, [Indicator(id="i1", timestamp=NOW, type=IndicatorType.ADDRESS, value=BAD)])
    async with serving(store, tmp_path) as served:
        key = await served.enrolled()
        await deliver(served.url, key, [flow()])
        assert served.nudges == []
        await deliver(served.url, key, [flow(destination_ip=BAD)], first=2)
        signals = await served.rows(Kind.SIGNAL)
        assert [signal["threat.indicator.id"] for signal in signals] == ["i1"]
        assert len(served.nudges) == 1
        await deliver(served.url, key, [flow(destination_ip=BAD)], first=2)
        assert len(served.nudges) == 1


async def test_a_batch_that_is_sent_again_adds_nothing(store: Store, tmp_path: Path) -> None:
    clock = [NOW.replace(hour=23, minute=59)]
    async with serving(store, tmp_path, clock=clock) as served:
        key = await served.enrolled()
        events = [flow(timestamp=clock[0] + timedelta(seconds=number)) for number in range(120)]
        for _ in range(3):
            reply = await deliver(served.url, key, events)
            assert reply.verdicts == [Verdict.DELIVERED] * 120
            clock[0] += timedelta(hours=1)
        assert len(await served.rows()) == 120
        await served.registry.flush()
        agent = await store.get(Kind.AGENT, "gateway-1")
        assert agent is not None
        assert agent.record.stored == 120  # type: ignore[attr-defined] # an Agent


async def test_batches_may_come_in_any_order(served: Served) -> None:
    key = await served.enrolled()
    events = [flow(source_port=number) for number in range(1, 31)]
    for first in (21, 1, 11, 1):
        await deliver(served.url, key, events[first - 1 : first + 9], first=first)
    assert sorted(row["source.port"] for row in await served.rows()) == list(range(1, 31))


async def test_the_same_sequences_of_a_new_spool_are_other_events(served: Served) -> None:
    key = await served.enrolled()
    await deliver(served.url, key, [flow()])
    await deliver(served.url, key, [flow()], epoch="00000000000000bb")
    assert len(await served.rows()) == 2


async def test_poison_is_set_aside_with_its_reason_and_the_rest_is_stored(served: Served, tmp_path: Path) -> None:
    key = await served.enrolled()
    good = [encode_event(flow(source_port=number)) for number in range(1, 100)]
    items = [
        *good[:50],
        msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "flow", "source.port": 70000}),
        *good[50:],
    ]
    answer = await post(served.url, key, encode_batch(EPOCH, range(100), items), items=100)
    assert answer.reply is not None
    assert [place for place, verdict in enumerate(answer.reply.verdicts) if verdict is Verdict.REJECTED] == [50]
    assert "source.port" in answer.reply.reasons[50]
    assert len(await served.rows()) == 99
    (letter,) = letters(tmp_path)
    assert (letter["agent"], letter["epoch"], letter["sequence"]) == ("gateway-1", EPOCH, 50)
    assert "source.port" in letter["reason"]


async def test_a_dead_letter_that_cannot_be_kept_is_not_rejected(served: Served, tmp_path: Path) -> None:
    (tmp_path / "dead-letters").write_text("in the way")
    reply = await deliver(served.url, await served.enrolled(), [flow(source_ip="nonsense"), flow()])
    assert reply.verdicts == [Verdict.RETRY, Verdict.DELIVERED]


async def test_an_empty_batch_is_answered(served: Served) -> None:
    reply = await deliver(served.url, await served.enrolled(), [])
    assert reply.verdicts == []


# Tenants


async def test_no_header_and_no_field_gives_another_tenant(served: Served, tmp_path: Path) -> None:
    key = await served.enrolled()
    await served.enrolled("gateway-2", OTHER)
    forged = {
        "organization_id": "23456",
        "event_id": "0" * 32,
        "observer_name": "gateway-2",
        "school_brin": "11CD",
        "school_region": "elsewhere",
    }
    events = [flow(**{name: value}) for name, value in forged.items()]
    events.append(flow(school_location="11CD01"))
    headers = {"X-Forwarded-User": "gateway-2", "X-Organization-Id": "23456", "Host": "gateway-2"}
    answer = await post(served.url, key, batch(events), items=len(events), headers=headers)
    assert answer.reply is not None
    assert answer.reply.verdicts == [Verdict.DELIVERED] * 5 + [Verdict.REJECTED]
    rows = await served.rows()
    assert {(row["organization.id"], row["school.location"], row["observer.name"]) for row in rows} == {
        ("12345", "00AB00", "gateway-1")
    }
    assert len({row["event.id"] for row in rows}) == 5
    assert {row["school.brin"] for row in rows} == {"00AB"}
    assert "school.location" in letters(tmp_path)[0]["reason"]


async def test_a_sensor_on_the_path_speaks_for_its_schools_and_no_others(served: Served) -> None:
    key = await served.enrolled("ndc-1", SCHOOL, OTHER)
    claims = ("00AB00", "11CD01", "22EF02", None)
    events = [flow(school_location=claim, organization_id="99999") for claim in claims]
    events.append(flow(event_dataset=Dataset.HEALTH, health_condition="ok"))
    reply = await deliver(served.url, key, events)
    assert reply.verdicts == [Verdict.DELIVERED] * 2 + [Verdict.REJECTED] * 2 + [Verdict.DELIVERED]
    rows = await served.rows()
    assert {(row["organization.id"], row.get("school.location")) for row in rows} == {
        ("12345", "00AB00"), ("23456", "11CD01"), ("ndc", None),
    }  # fmt: skip


async def test_of_duplicate_keys_in_an_event_none_reaches_another_tenant(served: Served) -> None:
    key = await served.enrolled()
    event = encode_event(flow(organization_id="23456"))
    # A map with the key twice: its count one higher, the pair once more at the end.
    assert event[0] == 0xDE
    pair = msgspec.msgpack.encode("organization.id") + msgspec.msgpack.encode("99999")
    doubled = b"\xde" + (int.from_bytes(event[1:3], "big") + 1).to_bytes(2, "big") + event[3:] + pair
    answer = await post(served.url, key, encode_batch(EPOCH, [1], [doubled]), items=1)
    assert answer.reply is not None
    assert [row["organization.id"] for row in await served.rows()] == ["12345"]


async def test_two_agents_with_the_same_sequences_do_not_meet(served: Served) -> None:
    first, second = await served.enrolled(), await served.enrolled("gateway-2", OTHER)
    await deliver(served.url, first, [flow()])
    await deliver(served.url, second, [flow()])
    assert {row["organization.id"] for row in await served.rows()} == {"12345", "23456"}


# Who is let in


@pytest.mark.parametrize("key", ["gateway-1." + "A" * 43, "ghost." + "A" * 43, "x", "gateway-1"])
async def test_an_unknown_key_is_401(served: Served, key: str) -> None:
    await served.enrolled()
    answer = await post(served.url, key, batch([flow()]), items=1)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert await served.rows() == []


async def test_a_disabled_agent_is_403_within_the_life_of_its_registration(store: Store, tmp_path: Path) -> None:
    times = [0.0]
    async with serving(store, tmp_path, registry=Registry(store, clock=lambda: times[0])) as served:
        key = await served.enrolled()
        await deliver(served.url, key, [flow()])
        await set_enabled(store, "gateway-1", enabled=False)
        times[0] += LIFE
        answer = await post(served.url, key, batch([flow()], first=2), items=1)
        assert answer.status == 403
        assert len(await served.rows()) == 1


async def test_nothing_of_a_body_is_waited_for_before_the_agent_is_known(served: Served) -> None:
    status, _ = await _raw(served.url, "Bearer ghost." + "A" * 43, length=100_000, body=b"")
    assert status == 401


async def test_a_store_that_cannot_be_asked_is_503(tmp_path: Path) -> None:
    class Silent(MemoryStore):
        async def get(self, kind: Kind, id: str) -> None:  # noqa: A002 - the port's name
            raise StoreError("no answer")

    store = Silent()
    async with serving(store, tmp_path) as served:
        answer = await post(served.url, "gateway-1." + "A" * 43, batch([flow()]), items=1)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0


# Hostile bodies


async def test_another_content_type_is_415(served: Served) -> None:
    answer = await post(
        served.url, await served.enrolled(), b"{}", items=0, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 415


async def test_a_content_encoding_is_415(served: Served) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = await post(served.url, await served.enrolled(), batch([flow()]), items=1, headers=headers)
    assert answer.status == 415


async def test_a_declared_length_over_the_limit_is_413_before_a_byte_is_read(served: Served) -> None:
    status, _ = await _raw(served.url, f"Bearer {await served.enrolled()}", length=LIMITS.frame + 1, body=b"")
    assert status == 413


async def test_a_chunked_body_over_the_limit_is_413(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    key = await served.enrolled()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/v1/batches", data=chunks(), headers=headers) as response,
    ):
        assert response.status == 413


def _map(**entries: Any) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode({"version": 1, "epoch": EPOCH} | entries))


_WIDE = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
_BOMBS: dict[str, bytes] = {
    "empty": b"",
    "noise": os.urandom(5000),
    "no zstd": b"\x28\xb5\x2f\xfd\x20",
    "inflates to 256 MiB": zstandard.compress(bytes(256 << 20)),
    "declares a terabyte": b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little"),
    "a window of 128 MiB": _WIDE.compress(b"x" * 100) + _WIDE.flush(),
    "nested 100000 deep": zstandard.compress(b"\x91" * 100_000),
    "a million empty maps": _map(sequences=[], events=[{}] * 1_000_000),
    "a million sequences": _map(sequences=[0] * 1_000_000, events=[]),
    "another version": zstandard.compress(
        msgspec.msgpack.encode({"version": 2, "epoch": EPOCH, "sequences": [], "events": []})
    ),
    "too many items": _map(sequences=list(range(2001)), events=[{}] * 2001),
    "too few sequences": _map(sequences=[], events=[{}]),
    "an epoch of another form": zstandard.compress(
        msgspec.msgpack.encode({"version": 1, "epoch": "x", "sequences": [], "events": []})
    ),
}


@pytest.mark.parametrize("name", _BOMBS)
async def test_a_frame_that_is_no_batch_is_400_and_the_intake_goes_on(served: Served, name: str) -> None:
    key = await served.enrolled()
    answer = await post(served.url, key, _BOMBS[name], items=0)
    assert answer.status == 400
    assert answer.problem["detail"]
    assert (await deliver(served.url, key, [flow()])).verdicts == [Verdict.DELIVERED]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xc1",
        b"\xc7\xff\xffx",
        b"\x91" * 5000 + b"\x90",
        msgspec.msgpack.encode({"@timestamp": "soon", "event.dataset": "flow"}),
        msgspec.msgpack.encode({"@timestamp": "2026-03-02T10:00:00", "event.dataset": "flow"}),
        msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "flow", "tags": ["x"] * 65}),
        msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "flow", "message": "x" * 2049}),
        msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "flow", "nsm.detail": {"a": {"b": {}}}}),
        msgspec.msgpack.encode(7),
    ],
)
async def test_a_hostile_item_is_rejected_or_the_batch_refused(served: Served, raw: bytes) -> None:
    key = await served.enrolled()
    answer = await post(served.url, key, encode_batch(EPOCH, [1], [raw]), items=1)
    if answer.reply is None:
        assert answer.status == 400
    else:
        assert answer.reply.verdicts == [Verdict.REJECTED]
        assert answer.reply.reasons[0]
    assert (await deliver(served.url, key, [flow()], first=2)).verdicts == [Verdict.DELIVERED]


async def _raw(url: str, authorization: str, *, length: int, body: bytes) -> tuple[int, bytes]:
    """Send a request with a declared length and (perhaps less of) a body by hand; the status and the rest."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/batches HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: {BATCH_TYPE}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        async with asyncio.timeout(20):
            line = await reader.readline()
            rest = await reader.read(4096)
    finally:
        writer.close()
    return (int(line.split()[1]) if line else 0), rest


async def test_a_slow_body_is_408_and_holds_up_nobody(store: Store, tmp_path: Path) -> None:
    async with serving(store, tmp_path, body_seconds=0.3) as served:
        key = await served.enrolled()
        slow = asyncio.create_task(_raw(served.url, f"Bearer {key}", length=5000, body=b"x" * 10))
        assert (await deliver(served.url, key, [flow()])).verdicts == [Verdict.DELIVERED]
        status, rest = await slow
        assert status == 408
        assert b"Retry-After" in rest


async def test_a_body_that_ends_early_is_no_loss(served: Served) -> None:
    key = await served.enrolled()
    host, port = served.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: {BATCH_TYPE}\r\n"
    writer.write(head.encode() + b"Content-Length: 5000\r\n\r\nxxxx")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await deliver(served.url, key, [flow()])).verdicts == [Verdict.DELIVERED]


async def test_ten_thousand_tiny_chunks_are_one_batch(served: Served) -> None:
    key = await served.enrolled()
    frame = batch([flow(message=os.urandom(900).hex()) for _ in range(12)])
    assert len(frame) > 10_000

    async def chunks() -> AsyncIterator[bytes]:
        for place in range(len(frame)):
            yield frame[place : place + 1]

    headers = {"Authorization": f"Bearer {key}", "Content-Type": BATCH_TYPE}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/v1/batches", data=chunks(), headers=headers) as response,
    ):
        assert response.status == 200
    assert len(await served.rows()) == 12


@pytest.mark.parametrize("sent", [b"", b"POST /v1/batches HT", b"POST /v1/batches HTTP/1.1\r\nHost: x\r\nA"])
async def test_half_open_connections_are_closed_and_the_honest_are_served(
    store: Store, tmp_path: Path, sent: bytes
) -> None:
    async with serving(store, tmp_path, idle_seconds=0.5) as served:
        key = await served.enrolled()
        host, port = served.url.removeprefix("http://").split(":")
        connections = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        for _, writer in connections:
            writer.write(sent)
        assert (await deliver(served.url, key, [flow()])).verdicts == [Verdict.DELIVERED]
        async with asyncio.timeout(10):
            ends = await asyncio.gather(*(reader.read() for reader, _ in connections), return_exceptions=True)
        assert {end for end in ends if isinstance(end, bytes)} <= {b""}
        for _, writer in connections:
            writer.close()


# Too much


async def test_more_than_an_agents_share_in_flight_is_429_and_others_are_served(tmp_path: Path) -> None:
    store = Gate()
    limits = LimitSettings(flight_bytes=4 << 20, agent_flight_bytes=2 << 20)
    async with serving(store, tmp_path, limits=limits) as served:
        greedy, modest = await served.enrolled(), await served.enrolled("gateway-2", OTHER)
        noise = [os.urandom(1000).hex() for _ in range(700)]
        large = batch([flow(message=text) for text in noise])
        assert len(large) > 700_000
        taken = [asyncio.create_task(post(served.url, greedy, large, items=700)) for _ in range(2)]
        async with asyncio.timeout(20):
            while store.waiting < 2:  # noqa: ASYNC110 - the store counts, it does not tell
                await asyncio.sleep(0.01)
        refused = await post(served.url, greedy, large, items=700)
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) >= 1
        honest = asyncio.create_task(post(served.url, modest, batch([flow()]), items=1))
        async with asyncio.timeout(20):
            while store.waiting < 3:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        store.open_gate.set()
        assert (await honest).status == 200
        assert {(await task).status for task in taken} == {200}
        assert (await post(served.url, greedy, large, items=700)).status == 200


async def test_a_batch_that_waits_too_long_for_its_turn_is_503(tmp_path: Path) -> None:
    store = Gate()
    async with serving(store, tmp_path, limits=LimitSettings(prepared_events=2000, wait_seconds=0.2)) as served:
        key = await served.enrolled()
        first = asyncio.create_task(post(served.url, key, batch([flow()] * 1500), items=1500))
        async with asyncio.timeout(20):
            while store.waiting < 1:  # noqa: ASYNC110 - the store counts, it does not tell
                await asyncio.sleep(0.01)
        second = await post(served.url, key, batch([flow()] * 1500, first=2000), items=1500)
        assert second.status == 503
        assert "Retry-After" in second.headers
        store.open_gate.set()
        assert (await first).status == 200
        assert (await post(served.url, key, batch([flow()] * 1500, first=2000), items=1500)).status == 200


async def test_signals_take_room_as_events_do(tmp_path: Path) -> None:
    store = Gate()
    await store.put_many(Kind.INDICATOR, [Indicator(id="i1", timestamp=NOW, type=IndicatorType.ADDRESS, value=BAD)])
    async with serving(store, tmp_path, limits=LimitSettings(prepared_events=2000, wait_seconds=0.2)) as served:
        key = await served.enrolled()
        hits = batch([flow(destination_ip=BAD)] * 1500)
        first = asyncio.create_task(post(served.url, key, hits, items=1500))
        async with asyncio.timeout(20):
            while store.waiting < 1:  # noqa: ASYNC110 - the store counts, it does not tell
                await asyncio.sleep(0.01)
        assert (await post(served.url, key, batch([flow()] * 100, first=2000), items=100)).status == 503
        store.open_gate.set()
        assert (await first).status == 200


async def test_hits_without_a_signal_of_their_own_are_counted(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = [f"45.33.7.{number}" for number in range(1, 65)]
    await store.put_many(
        Kind.INDICATOR,
        [Indicator(id=each, timestamp=NOW, type=IndicatorType.ADDRESS, value=each) for each in addresses],
    )
    async with serving(store, tmp_path) as served:
        events = [flow(source_port=50_000 + place, dns_resolved_ip=addresses) for place in range(5)]
        reply = await deliver(served.url, await served.enrolled(), events)
        assert reply.verdicts == [Verdict.DELIVERED] * 5
        assert len(await served.rows()) == 5
        signals = len(await served.rows(Kind.SIGNAL))
        async with aiohttp.ClientSession() as session, session.get(f"{served.url}/readyz") as response:
            assert (await response.json())["hits_without_signal"] == 5 * 64 - signals
    assert "gateway-1: indicators hit 280 times more than signals were made" in caplog.text


# The store's outage


async def test_a_store_that_takes_nothing_acknowledges_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    async with serving(store, tmp_path) as served:
        key = await served.enrolled()
        store.outage = "no space left"
        reply = await deliver(served.url, key, [flow(), flow()])
        assert reply.verdicts == [Verdict.RETRY] * 2
        assert (reply.retry_after or 0) > 0
        store.outage = None
        reply = await deliver(served.url, key, [flow(), flow()])
        assert reply.verdicts == [Verdict.DELIVERED] * 2
        assert len(await served.rows()) == 2


async def test_a_store_that_throws_acknowledges_nothing(tmp_path: Path) -> None:
    store = Gate()
    store.error = "no answer"
    store.open_gate.set()
    async with serving(store, tmp_path) as served:
        reply = await deliver(served.url, await served.enrolled(), [flow()])
        assert reply.verdicts == [Verdict.RETRY]


async def test_what_the_store_rejects_is_kept_as_a_dead_letter(served: Served, tmp_path: Path) -> None:
    class Picky(MemoryStore):
        async def create(self, events: Sequence[Event]) -> list[Outcome]:
            return [Outcome(Verdict.REJECTED, created=False, reason="mapping") for _ in events]

    async with serving(Picky(), tmp_path) as picky:
        reply = await deliver(picky.url, await picky.enrolled(), [flow()])
    assert reply.reasons == {0: "mapping"}
    assert [letter["reason"] for letter in letters(tmp_path)] == ["mapping"]


async def in_flight(served: Served) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{served.url}/readyz") as response:
        return int((await response.json())["flight_bytes"])


async def test_a_stop_finishes_what_was_taken(tmp_path: Path) -> None:
    store = Gate()
    async with serving(store, tmp_path) as served:
        key = await served.enrolled()
        tasks = [
            asyncio.create_task(post(served.url, key, batch([flow()] * 50, first=1 + 50 * n), items=50))
            for n in range(8)
        ]
        async with asyncio.timeout(20):
            while await in_flight(served) < 8 * LEAST or not store.waiting:  # noqa: ASYNC110 - asked by HTTP
                await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, store.open_gate.set)
    answers = await asyncio.gather(*tasks)
    assert {answer.status for answer in answers} == {200}
    assert len(await served.rows()) == 400


# Watching


async def test_health_and_readiness_tell_the_truth(tmp_path: Path) -> None:
    store = MemoryStore()
    async with serving(store, tmp_path) as served, aiohttp.ClientSession() as session:
        for outage, status, word in ((None, 200, "ready"), ("/srv/secret-path is full", 503, "not ready")):
            store.outage = outage
            async with session.get(f"{served.url}/healthz") as response:
                assert response.status == 200
            async with session.get(f"{served.url}/readyz") as response:
                body = await response.text()
                assert (response.status, json.loads(body)["status"]) == (status, word)
                assert "secret-path" not in body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/batches", 405), ("GET", "/", 404), ("POST", "/v1/batches/", 404)]
)
async def test_other_addresses_are_problems(served: Served, method: str, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as session, session.request(method, f"{served.url}{path}") as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert (await response.json())["status"] == status


async def test_health_events_and_signals_of_an_agent_are_stored_where_they_belong(served: Served) -> None:
    key = await served.enrolled()
    signal = flow(event_dataset=Dataset.SIGNAL, rule_id="2019", rule_ruleset="suricata", rule_name="test")
    health = Event(timestamp=NOW, event_dataset=Dataset.HEALTH, health_packets=5)
    await deliver(served.url, key, [signal, health])
    assert [row["rule.id"] for row in await served.rows(Kind.SIGNAL)] == ["2019"]
    assert [row["event.dataset"] for row in await served.rows()] == ["health"]
    assert len(served.nudges) == 1

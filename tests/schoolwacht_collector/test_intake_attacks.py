"""Attacks on the intake (docs/promises.md, 17 to 21), bounded in number and time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from blockbuster import blockbuster_ctx

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import LIMITS, Verdict, encode_batch, encode_event
from schoolwacht_collector.config import LimitSettings
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.records import School
from tests.schoolwacht_collector.serving import EPOCH, NOW, SCHOOL, batch, deliver, flow, post, serving

OTHER = School(location="11CD01", board="23456", name="Ander", sector="vo", region="Limburg")


@pytest.fixture(autouse=True)
def _the_loop_is_never_blocked() -> Iterator[None]:
    with blockbuster_ctx("schoolwacht_collector"):
        yield


# 17: bombs


def _envelope(events: bytes) -> bytes:
    head = b"\x84" + b"".join(
        msgspec.msgpack.encode(each) for each in ("version", 1, "epoch", EPOCH, "sequences", [1], "events")
    )
    return zstandard.compress(head + events)


_ZEROS = zstandard.compress(bytes(256 << 20))
_BOMBS = {
    "zstd of 32,000 to 1": _ZEROS,
    # A header that declares 2^62 bytes, without a block: 13 bytes.
    "a frame of 13 bytes": b"\x28\xb5\x2f\xfd\xc0" + (1 << 62).to_bytes(8, "little"),
    "two frames": zstandard.compress(b"\x80") + _ZEROS,
    "1,024 arrays deep": _envelope(b"\x91" * 1025 + b"\x90"),
    "100,000 maps deep in an unknown key": _envelope(b"\x91" + b"\x81\xa1x" * 100_000 + b"\xc0"),
    "a million empty maps": _envelope(b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x80" * 1_000_000),
    "an array that claims 2^32 items": _envelope(b"\xdd\xff\xff\xff\xff"),
    "an unknown extension": _envelope(b"\xc9" + (1 << 20).to_bytes(4, "big") + b"\x2a" + bytes(1 << 20)),
}


@pytest.mark.parametrize("name", _BOMBS)
async def test_a_bomb_is_refused_and_the_intake_goes_on(tmp_path: Path, name: str) -> None:
    async with serving(MemoryStore(), tmp_path) as served:
        key = await served.enrolled()
        answer = await post(served.url, key, _BOMBS[name], items=1)
        if answer.reply is None:
            assert answer.status == 400
        else:
            assert answer.reply.verdicts == [Verdict.REJECTED]
        assert (await deliver(served.url, key, [flow()], first=5)).verdicts == [Verdict.DELIVERED]
        assert len(await served.rows()) == 1


def test_a_bomb_is_one() -> None:
    assert (256 << 20) // len(_ZEROS) > 10_000
    assert all(len(frame) <= LIMITS.frame for frame in _BOMBS.values())


# 20: another school

_TEXTS = ("23456", "11CD01", "11CD", "gateway-2", "Limburg", "vo", "ndc", "", "*", "12345 OR 23456", "00AB00\0")
_CLAIMS = (
    "organization_id",
    "school_location",
    "school_brin",
    "school_sector",
    "school_region",
    "school_zone",
    "observer_name",
    "observer_vendor",
    "observer_type",
    "event_id",
    "signal_key",
    "signal_entity",
    "signal_event_id",
)


async def test_of_10000_forged_events_none_reaches_another_school(tmp_path: Path) -> None:
    chance = random.Random(20)
    async with serving(MemoryStore(), tmp_path) as served:
        key = await served.enrolled()
        await served.enrolled("gateway-2", OTHER)
        datasets = [each for each in Dataset if each is not Dataset.SIGNAL]
        first = 1
        for headers in 5 * (
            {},
            {"X-Forwarded-For": "192.0.2.1", "X-Remote-User": "gateway-2", "Host": "23456"},
            {"X-Client-Cert": "gateway-2", "X-SSL-Client-S-DN": "CN=gateway-2", "Forwarded": "for=gateway-2"},
            {"Cookie": "organization.id=23456", "X-Organization-Id": "23456"},
        ):
            events = [
                flow(
                    event_dataset=chance.choice(datasets),
                    **{name: chance.choice(_TEXTS) for name in chance.sample(_CLAIMS, 4)},
                )
                for _ in range(500)
            ]
            answer = await post(served.url, key, batch(events, first=first), items=500, headers=headers)
            assert answer.reply is not None
            first += 500
        rows = await served.rows()
        assert len(rows) > 2500
        assert {(row["organization.id"], row["school.location"], row["observer.name"]) for row in rows} == {
            (SCHOOL.board, SCHOOL.location, "gateway-1")
        }
        assert len({row["event.id"] for row in rows}) == len(rows)


async def test_the_key_of_one_agent_with_the_name_of_another_is_unknown(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path) as served:
        key = await served.enrolled()
        await served.enrolled("gateway-2", OTHER)
        forged = f"gateway-2.{key.partition('.')[2]}"
        for value in (forged, f"{key}, Bearer {forged}", f"gateway-1 gateway-2.{key.partition('.')[2]}"):
            assert (await post(served.url, value, batch([flow()]), items=1)).status == 401
        assert await served.rows() == []


# Replay, order, clocks, types


async def test_replayed_and_reordered_batches_of_two_agents_add_nothing(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path) as served:
        keys = [await served.enrolled(), await served.enrolled("gateway-2", OTHER)]
        sent = [
            (key, batch([flow(source_port=first + place) for place in range(20)], first=first))
            for key, first in itertools.product(keys, range(1, 200, 20))
        ]
        chance = random.Random(8)
        replayed = sent * 3
        chance.shuffle(replayed)
        for key, frame in replayed:
            answer = await post(served.url, key, frame, items=20)
            assert answer.reply is not None
            assert answer.reply.verdicts == [Verdict.DELIVERED] * 20
        rows = await served.rows()
        assert len(rows) == 400
        assert sorted(row["event.sequence"] for row in rows) == sorted([*range(1, 201)] * 2)


async def test_a_wrong_clock_gives_no_time_outside_the_bounds(tmp_path: Path) -> None:
    limits = LimitSettings(future_seconds=300, past_days=14)
    skews = [timedelta(days=days) for days in (-40_000, -7305, -15, 1, 7, 30, 365 * 200)]
    skews += [timedelta(seconds=seconds) for seconds in (-60, 0, 299, 301)]
    async with serving(MemoryStore(), tmp_path, limits=limits) as served:
        events = [flow(timestamp=NOW + skew, source_port=place + 1) for place, skew in enumerate(skews)]
        await deliver(served.url, await served.enrolled(), events)
        for row in await served.rows():
            moment = datetime.fromisoformat(row["@timestamp"])
            assert NOW - timedelta(days=14) <= moment <= NOW + timedelta(seconds=300)
            skew = skews[row["source.port"] - 1]
            wrong = not timedelta(days=-14) <= skew <= timedelta(seconds=300)
            assert ("timestamp-clamped" in row.get("tags", [])) is wrong


_WRONG: list[Any] = [None, True, -1, 1.5, "x", b"x", [], {}, [[]], datetime(2026, 1, 1, tzinfo=UTC), 1 << 63]


async def test_a_wrong_type_in_any_field_costs_that_item_only(tmp_path: Path) -> None:
    fields = [item.encode_name for item in msgspec.structs.fields(Event)]
    chance = random.Random(17)
    good = msgspec.msgpack.decode(encode_event(flow()))
    items = [msgspec.msgpack.encode(good | {name: chance.choice(_WRONG)}) for name in fields for _ in range(5)]
    items.append(encode_event(flow()))
    async with serving(MemoryStore(), tmp_path) as served:
        key = await served.enrolled()
        for start in range(0, len(items), 1000):
            some = items[start : start + 1000]
            answer = await post(
                served.url, key, encode_batch(EPOCH, range(start, start + len(some)), some), items=len(some)
            )
            assert answer.reply is not None
            counts = {each: answer.reply.verdicts.count(each) for each in Verdict}
            assert counts[Verdict.RETRY] == 0
            assert set(answer.reply.reasons) == {
                place for place, verdict in enumerate(answer.reply.verdicts) if verdict is Verdict.REJECTED
            }
        assert answer.reply is not None
        assert answer.reply.verdicts[-1] is Verdict.DELIVERED


# 21: one agent floods


async def test_a_flooding_agent_gets_429_and_weighs_no_more_than_its_quota(tmp_path: Path) -> None:
    limits = LimitSettings(agent_events_per_second=2, agent_burst_events=2000)
    async with serving(MemoryStore(), tmp_path, limits=limits, monotonic=lambda: 1000.0) as served:
        greedy = await served.enrolled()
        others = [await served.enrolled(f"other-{place}", OTHER) for place in range(10)]
        frames = [batch([flow()] * 200, first=1 + 200 * place) for place in range(40)]

        async def flood(frame: bytes) -> int:
            answer = await post(served.url, greedy, frame, items=200)
            if answer.status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
            return answer.status

        async def honest(key: str) -> list[Verdict]:
            return (await deliver(served.url, key, [flow(source_port=place + 1) for place in range(20)])).verdicts

        statuses, answers = await asyncio.gather(
            asyncio.gather(*(flood(frame) for frame in frames)), asyncio.gather(*(honest(key) for key in others))
        )
        assert answers == [[Verdict.DELIVERED] * 20] * 10
        assert statuses.count(200) == 10
        assert statuses.count(429) == 30
        rows = await served.rows()
        assert sum(row["observer.name"] == "gateway-1" for row in rows) == 2000
        assert sum(row["observer.name"] != "gateway-1" for row in rows) == 200


async def test_while_one_agent_floods_the_others_are_all_served(tmp_path: Path) -> None:
    limits = LimitSettings(agent_events_per_second=0, prepared_events=4000, wait_seconds=60)
    dear = flow(event_dataset=Dataset.DNS, dns_resolved_ip=[f"198.51.100.{place}" for place in range(64)])
    async with serving(MemoryStore(), tmp_path, limits=limits) as served:
        greedy = await served.enrolled()
        others = [await served.enrolled(f"other-{place}", OTHER) for place in range(10)]
        flood = [
            asyncio.create_task(post(served.url, greedy, batch([dear] * 500, first=1 + 500 * place), items=500))
            for place in range(8)
        ]
        for round_ in range(3):
            answers = await asyncio.gather(
                *(deliver(served.url, key, [flow()] * 10, first=1 + 10 * round_) for key in others)
            )
            assert [answer.verdicts for answer in answers] == [[Verdict.DELIVERED] * 10] * 10
        assert {answer.status for answer in await asyncio.gather(*flood)} <= {200, 429}
        by = [row["observer.name"] for row in await served.rows()]
        assert sum(name != "gateway-1" for name in by) == 300

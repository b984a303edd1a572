"""The outcome of each item is exact, whatever a cluster, a proxy or a network answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.wire import Verdict
from schoolwacht_collector.index.elasticsearch.bulk import CREATED, THERE, Builder, outcomes
from tests.schoolwacht_collector.index.answering import Answer, answering, item
from tests.schoolwacht_collector.index.stores import event

DELIVERED, RETRY, REJECTED = Verdict.DELIVERED, Verdict.RETRY, Verdict.REJECTED
FLOOD = "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"

ANSWERS = [
    (item(201), DELIVERED, True),
    (item(200), DELIVERED, True),
    (item(409, "version_conflict_engine_exception"), DELIVERED, False),
    (item(400, "document_parsing_exception", "failed to parse field [source.ip]"), REJECTED, False),
    (item(400, "illegal_argument_exception", "immense term"), REJECTED, False),
    (item(400, "validation_exception", "this cluster has [1000]/[1000] maximum shards open"), RETRY, False),
    (item(401, "security_exception"), RETRY, False),
    (item(403, "cluster_block_exception", FLOOD), RETRY, False),
    (item(403, "security_exception", "is unauthorized"), RETRY, False),
    (item(404, "index_not_found_exception"), RETRY, False),
    (item(429, "cluster_block_exception", FLOOD), RETRY, False),
    (item(429, "es_rejected_execution_exception", "queue full"), RETRY, False),
    (item(500, "null_pointer_exception"), RETRY, False),
    (item(503, "unavailable_shards_exception"), RETRY, False),
    ({}, RETRY, False),
    ({"create": {}}, RETRY, False),
    ({"index": {"status": 201}}, RETRY, False),
    ("nonsense", RETRY, False),
    (None, RETRY, False),
]


@given(st.lists(st.sampled_from(ANSWERS), max_size=30), st.integers(0, 5))
def test_each_item_has_its_own_outcome_and_the_sum_is_the_input(
    answers: list[tuple[Any, Verdict, bool]], missing: int
) -> None:
    found = outcomes({"items": [answer for answer, _, _ in answers]}, len(answers) + missing)

    expected = [(verdict, created) for _, verdict, created in answers] + [(RETRY, False)] * missing
    assert [(outcome.verdict, outcome.created) for outcome in found] == expected
    assert all(outcome.reason for outcome in found if outcome not in (CREATED, THERE))


@pytest.mark.parametrize("answer", [None, "text", [], {}, {"items": None}, {"items": "x"}, {"error": "x"}])
def test_an_answer_without_items_delivers_nothing(answer: Any) -> None:
    assert [outcome.verdict for outcome in outcomes(answer, 2)] == [RETRY, RETRY]


def test_more_answers_than_items_change_nothing() -> None:
    assert outcomes({"items": [item(201)] * 3}, 2) == [CREATED, CREATED]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((429, {"error": {"type": "es_rejected_execution_exception", "reason": "queue full"}}), "429: es_rejected"),
        ((503, "<html>Service Unavailable</html>"), "503"),
        ((502, ""), "502"),
        ((500, {"error": "x"}), "500: x"),
        ((401, {"error": {"type": "security_exception", "reason": "missing authentication"}}), "401: security"),
        ((403, {"error": {"type": "cluster_block_exception", "reason": FLOOD}}), "/12/"),
        ((400, {"error": {"type": "illegal_argument_exception", "reason": "x"}}), "400"),
        ((200, "<html>a proxy's page</html>"), "Elasticsearch"),
        ((200, {"took": 1}), "no answer"),
        (None, "did not answer"),
    ],
    ids=["429", "503", "502", "500", "401", "403", "400", "not JSON", "no items", "hung up"],
)
async def test_a_request_that_fails_as_a_whole_is_a_retry_of_all(answer: Answer, reason: str) -> None:
    async with answering(lambda ids: answer) as (store, server):
        found = await store.create([event(number, "b") for number in range(3)])

    assert [outcome.verdict for outcome in found] == [RETRY] * 3
    assert all(reason in (outcome.reason or "") for outcome in found), found[0].reason
    # The HTTP client itself asks again, once, where a connection broke before any answer.
    assert len(server.requests) <= (2 if answer is None else 1)


async def test_nobody_listening_is_a_retry_of_all() -> None:
    async with answering(lambda ids: None) as (store, _):
        pass
    found = await store.create([event(1, "b")])

    assert [outcome.verdict for outcome in found] == [RETRY]
    assert not (await store.health()).writable
    await store.close()


async def test_no_answer_in_time_is_a_retry_of_all() -> None:
    release = asyncio.Event()

    async with answering(lambda ids: (200, {"items": []}), request_seconds=0.05) as (store, server):
        before = server.bulk

        async def late(request: Any) -> Any:
            await release.wait()
            return await before(request)

        server.bulk = late  # type: ignore[method-assign]  # the script cannot wait
        (outcome,) = await store.create([event(1, "b")])
        release.set()

    assert outcome.verdict is RETRY


async def test_a_request_that_is_too_large_is_halved_until_it_fits() -> None:
    def script(ids: list[str]) -> Answer:
        if len(ids) > 2 or "b-00003" in ids:
            return 413, {"error": "too large"}
        return 200, {"items": [item(201)] * len(ids)}

    async with answering(script) as (store, server):
        found = await store.create([event(number, "b") for number in range(7)])

    assert [outcome.verdict for outcome in found] == [DELIVERED] * 3 + [REJECTED] + [DELIVERED] * 3
    assert max(map(len, server.requests)) == 7


async def test_requests_are_bounded_in_items_bytes_and_number() -> None:
    def script(ids: list[str]) -> Answer:
        return 200, {"items": [item(201)] * len(ids)}

    async with answering(script, bulk_items=10, bulk_bytes=1 << 16, bulk_requests=2) as (store, server):
        small = await store.create([event(number, "b") for number in range(95)])
        assert server.most_running == 2
        assert sorted(map(len, server.requests)) == [5] + [10] * 9
        server.requests.clear()
        large = await store.create(
            [event(number, "b", message="x" * 2000, tags=["y" * 256] * 50) for number in range(10)]
        )

    assert all(outcome.created for outcome in small + large)
    assert 1 < len(server.requests) < 10
    assert sorted(name for ids in server.requests for name in ids) == [f"b-{number:05}" for number in range(10)]


async def test_one_bad_part_leaves_the_other_parts_delivered() -> None:
    def script(ids: list[str]) -> Answer:
        return (503, "") if "b-00010" in ids else (200, {"items": [item(201)] * len(ids)})

    async with answering(script, bulk_items=10) as (store, _):
        found = await store.create([event(number, "b") for number in range(30)])

    assert [outcome.verdict for outcome in found] == [DELIVERED] * 10 + [RETRY] * 10 + [DELIVERED] * 10


def test_text_of_an_event_cannot_start_another_action() -> None:
    builder = Builder("p", items=10, size=1 << 20)
    evil = '"}}\n{"delete":{"_index":"*","_id":"x"}}\n'

    builder.add(0, event(1, "b", event_id=evil, message=evil, nsm_detail={evil: evil}))

    part = builder.flush()
    assert part is not None
    assert part.body.count(b"\n") == 2
    assert builder.flush() is None

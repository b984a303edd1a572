"""The CERT's receiver, against messages signed by the reference library of Standard Webhooks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from standardwebhooks import Webhook

from schoolwacht_console.demo.receiver import Arrival, Receiver

KEY = bytes(range(32))
NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
BODY = json.dumps(
    {
        "type": "alert.opened",
        "timestamp": "2026-09-01T12:00:00Z",
        "data": {
            "id": "a1",
            "title": "Port scan",
            "severity": "high",
            "school": "00AA00",
            "count": 3,
            "first": "2026-09-01T11:59:58.5Z",
        },
    }
)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(KEY, lambda _arrival: None, now=lambda: NOW)


@pytest.fixture
async def client(receiver: Receiver) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    async with TestClient(TestServer(receiver.application())) as made:
        yield made


def signed(delivery_id: str = "d1", at: datetime = NOW, key: bytes = KEY, body: str = BODY) -> dict[str, str]:
    signature = Webhook(f"whsec_{base64.b64encode(key).decode()}").sign(delivery_id, at, body)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


async def test_a_genuine_alert_is_taken_with_the_time_since_its_packet(
    receiver: Receiver, client: TestClient[web.Request, web.Application]
) -> None:
    assert (await client.post("/alerts", data=BODY, headers=signed())).status == 200
    assert receiver.arrivals == [Arrival("d1", "a1", "alert.opened", "Port scan", "high", "00AA00", 3, 1.5)]


async def test_a_repeat_is_answered_well_and_counted_once(
    receiver: Receiver, client: TestClient[web.Request, web.Application]
) -> None:
    for _ in range(3):
        assert (await client.post("/alerts", data=BODY, headers=signed())).status == 200
    assert (len(receiver.arrivals), receiver.repeated) == (1, 2)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(key=bytes(32)),
        signed() | {"webhook-id": "d2"},
        signed(body=BODY + " "),
        signed(at=NOW - timedelta(minutes=6)),
        signed(at=NOW + timedelta(minutes=6)),
        signed() | {"webhook-signature": "v1,ä"},
        signed() | {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")},
        signed() | {"webhook-timestamp": "²"},
    ],
)
async def test_what_is_not_genuine_is_refused(
    receiver: Receiver, client: TestClient[web.Request, web.Application], headers: dict[str, str]
) -> None:
    assert (await client.post("/alerts", data=BODY, headers=headers)).status == 401
    assert (receiver.arrivals, receiver.refused) == ([], 1)


async def test_one_right_signature_among_several_is_enough(
    receiver: Receiver, client: TestClient[web.Request, web.Application]
) -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    assert (await client.post("/alerts", data=BODY, headers=headers)).status == 200

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Oracle

from schoolwacht.errors import ConfigError
from schoolwacht.wire import Verdict
from schoolwacht_collector.notify import NOTIFIERS
from schoolwacht_collector.notify.webhook import (
    Webhook,
    WebhookSettings,
    is_public,
    judge,
    make,
    sign,
    signing_key,
)
from tests.schoolwacht_collector.notify.receiver import SECRET, Receiver, receiving

KEY = signing_key(SECRET, target="cert")
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@asynccontextmanager
async def opened(url: str, *, allow_private: bool = True, seconds: float = 5) -> AsyncIterator[Webhook]:
    settings = WebhookSettings(name="cert", url=url, allow_private=allow_private, timeout_seconds=seconds)
    webhook = Webhook(settings, KEY)
    await webhook.open()
    try:
        yield webhook
    finally:
        await webhook.close()


@given(st.binary(min_size=24, max_size=64), st.from_regex(r"^msg_[0-9a-f]{32}$", fullmatch=True), st.text())
def test_what_we_sign_the_reference_library_accepts(key: bytes, name: str, body: str) -> None:
    payload = json.dumps(body)
    headers = sign(key, name, datetime.now(UTC), payload.encode())
    secret = "whsec_" + base64.b64encode(key).decode()
    assert Oracle(secret).verify(payload, headers) == body


async def test_a_body_arrives_with_its_id_and_a_good_signature() -> None:
    async with receiving(Receiver()) as receiver, opened(receiver.url) as webhook:
        attempt = await webhook.deliver("msg_1", '{"type":"alert.opened"}', datetime.now(UTC))
    assert attempt.verdict is Verdict.DELIVERED
    assert (receiver.ids, receiver.bodies) == (["msg_1"], [{"type": "alert.opened"}])
    assert receiver.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (202, Verdict.DELIVERED),
        (301, Verdict.RETRY),
        (400, Verdict.REJECTED),
        (401, Verdict.REJECTED),
        (404, Verdict.REJECTED),
        (408, Verdict.RETRY),
        (410, Verdict.REJECTED),
        (425, Verdict.RETRY),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (503, Verdict.RETRY),
    ],
)
def test_an_answer_means(status: int, verdict: Verdict) -> None:
    assert judge(status, {}, b"", NOW).verdict is verdict


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(seconds=120)),
        ("999999", timedelta(hours=1)),
        ("Tue, 24 Nov 2026 09:00:30 GMT", timedelta(seconds=30)),
        ("Tue, 24 Nov 2026 08:00:00 GMT", timedelta()),
        ("soon", None),
        ("-5", None),
    ],
)
def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(header: str, wait: timedelta | None) -> None:
    assert judge(503, {"Retry-After": header}, b"", NOW).wait == wait


def test_what_a_receiver_says_is_kept_short_and_inert() -> None:
    assert judge(400, {}, b"no such hook", NOW).detail == "HTTP 400: no such hook"
    assert judge(400, {}, b"\x1b[31mred\xff", NOW).detail == "HTTP 400"
    assert len(judge(400, {}, b"x" * 1024, NOW).detail) <= 256


async def test_a_redirect_is_not_followed() -> None:
    async with receiving(Receiver()) as other:
        receiver = Receiver(answer=lambda _: web.Response(status=307, headers={"Location": other.url}))
        async with receiving(receiver), opened(receiver.url) as webhook:
            attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt.verdict is Verdict.RETRY
    assert other.ids == []


async def test_a_receiver_that_does_not_answer_costs_no_more_than_the_time_out() -> None:
    async with receiving(Receiver(answer=lambda _: 30.0)) as receiver, opened(receiver.url, seconds=1) as webhook:
        attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt == (Verdict.RETRY, "no answer within 1 s", None)


async def test_a_receiver_that_hangs_up_is_tried_again() -> None:
    async with receiving(Receiver(answer=lambda _: -0.1)) as receiver, opened(receiver.url) as webhook:
        attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt.verdict is Verdict.RETRY


async def test_nobody_there_is_tried_again_and_says_so() -> None:
    async with receiving(Receiver()) as receiver:
        pass
    async with opened(receiver.url) as webhook:
        attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt.verdict is Verdict.RETRY
    assert "ClientConnectorError" in attempt.detail


async def test_a_huge_answer_is_not_read() -> None:
    async with (
        receiving(Receiver(answer=lambda _: web.Response(status=400, body=b"x" * 50_000_000))) as receiver,
        opened(receiver.url) as webhook,
    ):
        attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt.verdict is Verdict.REJECTED
    assert len(attempt.detail) <= 256


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::1",
        "64:ff9b::7f00:1",
    ],
)
def test_an_address_inside_is_no_target(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2a00:1450:400e::1", "64:ff9b::808:808"])
def test_an_address_outside_is_a_target(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254"])
def test_a_private_address_in_the_url_is_refused_at_the_start(host: str) -> None:
    settings = WebhookSettings(name="cert", url=f"https://{host}/hook")
    with pytest.raises(ConfigError, match=r"notify\.cert\.url: .*allow_private = true"):
        Webhook(settings, KEY)


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    async with receiving(Receiver()) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        async with opened(url, allow_private=False) as webhook:
            refused = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
        async with opened(url, allow_private=True) as webhook:
            allowed = await webhook.deliver("msg_2", "{}", datetime.now(UTC))
    assert refused.verdict is Verdict.RETRY
    assert "allow_private = true" in refused.detail
    assert allowed.verdict is Verdict.DELIVERED
    assert receiver.ids == ["msg_2"]


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("topsecret", "must begin with whsec_"),
        ("whsec_!!!", "is no base64"),
        ("whsec_c2hvcnQ=", "has 5 bytes"),
    ],
)
def test_a_bad_secret_is_refused_without_being_repeated(secret: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        signing_key(secret, target="cert")
    assert secret not in str(caught.value)


def test_a_url_with_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="no user name or password"):
        Webhook(WebhookSettings(name="cert", url="https://user:pass@example.org/hook"), KEY)


def test_the_table_makes_a_notifier_from_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    kind = NOTIFIERS["webhook"]
    made = kind.make(kind.settings(name="cert", url="https://cert.example.org/hook", secret_file=str(file)))
    assert made.name == "cert"


def test_the_secret_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHOOLWACHT_WEBHOOK_SECRET_CERT_ONE", SECRET)
    assert make(WebhookSettings(name="cert-one", url="https://cert.example.org/hook")).name == "cert-one"


def test_without_a_secret_the_error_names_both_ways() -> None:
    with pytest.raises(ConfigError, match=r"notify\.cert\.secret_file: .*SCHOOLWACHT_WEBHOOK_SECRET_CERT"):
        make(WebhookSettings(name="cert", url="https://cert.example.org/hook"))


async def test_opened_twice_and_opened_again_after_closing_it_works() -> None:
    async with receiving(Receiver()) as receiver, opened(receiver.url) as webhook:
        await webhook.open()
        await webhook.close()
        await webhook.open()
        attempt = await webhook.deliver("msg_1", "{}", datetime.now(UTC))
    assert attempt.verdict is Verdict.DELIVERED

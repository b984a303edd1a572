"""Notification by HTTP: a signed POST as Standard Webhooks 1.0 describes it (standardwebhooks.com).

Promise: only the configured host is spoken to, at an address that was checked in the same look-up that the connection
uses, so that a name which changes its answer (DNS rebinding) leads nowhere else. No redirect is followed, no proxy
is taken from the environment, an answer is read to 1 KiB at most, and an attempt ends after ``timeout_seconds``.

What an answer means: 2xx delivered; 408, 425, 429, 5xx and 3xx, a time-out and any fault of the network try again;
every other 4xx (410 Gone among them) rejected. ``Retry-After`` of a 429 or 503 is kept to, up to an hour.

Limits: one key a target; to change it without a gap, let the receiver accept both for a while.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Meta, Struct
from yarl import URL

from schoolwacht.config import secret
from schoolwacht.errors import ConfigError
from schoolwacht.event import clip
from schoolwacht.wire import Verdict
from schoolwacht_collector.notify.port import Attempt
from schoolwacht_collector.records import Severity
from schoolwacht_collector.tlp import Tlp

PREFIX = "whsec_"
READ_LIMIT = 1024
LONGEST_WAIT = timedelta(hours=1)
_RETRIED = frozenset({408, 425, 429})
_KEY_BYTES = range(24, 65)  # what the specification allows


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type", tag="webhook"):
    """``[[notify]]`` with ``type = "webhook"``: one target.

    The secret is ``whsec_`` and base64 of 24 to 64 random bytes, from the environment variable that
    :func:`secret_variable` names or from ``secret_file``.
    """

    name: Annotated[
        str, Meta(pattern=r"^[a-z0-9-]{1,63}$", description="Name of the target, kept with each delivery; unique.")
    ]
    url: Annotated[
        str, Meta(pattern=r"^https?://[^\s/]+(/\S*)?$", description="Where notifications are posted (https, or http).")
    ]
    secret_file: Annotated[
        str | None,
        Meta(description='File with the signing secret ("whsec_…"), which only the collector can read.'),
    ] = None
    min_severity: Annotated[Severity, Meta(description="Alerts below this severity are not sent here.")] = (
        Severity.MEDIUM
    )
    max_tlp: Annotated[
        Tlp, Meta(description="Alerts from an indicator with a narrower TLP label than this are not sent here.")
    ] = Tlp.AMBER_STRICT
    allow_private: Annotated[
        bool, Meta(description="Whether the target may have a private, link-local or loopback address.")
    ] = False
    timeout_seconds: Annotated[
        float, Meta(ge=1, le=60, description="How long one attempt may take, connection included, seconds.")
    ] = 10.0


class Webhook:
    """A notifier that posts to one URL. See :class:`~schoolwacht_collector.notify.port.Notifier`."""

    def __init__(self, settings: WebhookSettings, key: bytes) -> None:
        self.name = settings.name
        self.min_severity = settings.min_severity
        self.max_tlp = settings.max_tlp
        self._url = _checked(settings)
        self._key = key
        self._allow_private = settings.allow_private
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready; again does nothing. No connection is made yet."""
        if self._session is not None:
            return
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(allow_private=self._allow_private), use_dns_cache=False, limit=16
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "Schoolwacht", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def deliver(self, delivery_id: str, body: str, at: datetime) -> Attempt:
        """Post one body. See the module for what the answers mean."""
        if self._session is None:
            raise RuntimeError("deliver() before open()")
        payload = body.encode()
        headers = {"Content-Type": "application/json"} | sign(self._key, delivery_id, at, payload)
        try:
            async with self._session.post(self._url, data=payload, headers=headers, allow_redirects=False) as answer:
                text = await answer.content.read(READ_LIMIT)
                return judge(answer.status, answer.headers, text, at)
        except TimeoutError:
            return Attempt(Verdict.RETRY, f"no answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Attempt(Verdict.RETRY, clip(f"{type(error).__name__}: {error}"))


def make(settings: WebhookSettings) -> Webhook:
    """A notifier from its settings; reads the secret. Raises ConfigError."""
    file = Path(settings.secret_file) if settings.secret_file else None
    text = secret(secret_variable(settings.name), file=file, setting=f"notify.{settings.name}.secret_file")
    return Webhook(settings, signing_key(text, target=settings.name))


def secret_variable(target: str) -> str:
    """The environment variable that may hold a target's secret."""
    return f"SCHOOLWACHT_WEBHOOK_SECRET_{target.upper().replace('-', '_')}"


def signing_key(text: str, *, target: str) -> bytes:
    """The bytes of a ``whsec_…`` secret. Raises ConfigError, which does not repeat the secret."""
    field = f"notify.{target}.secret"
    if not text.startswith(PREFIX):
        raise ConfigError(
            f"must begin with {PREFIX} (make one with: echo {PREFIX}$(openssl rand -base64 32))", field=field
        )
    try:
        key = base64.b64decode(text[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise ConfigError(f"is no base64 after {PREFIX}", field=field) from error
    if len(key) not in _KEY_BYTES:
        raise ConfigError(f"has {len(key)} bytes; 24 to 64 are needed", field=field)
    return key


def sign(key: bytes, delivery_id: str, at: datetime, payload: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks; times in whole seconds since 1970."""
    stamp = str(int(at.timestamp()))
    signed = b".".join((delivery_id.encode(), stamp.encode(), payload))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery_id, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def judge(status: int, headers: Mapping[str, str], text: bytes, at: datetime) -> Attempt:
    """What an HTTP answer means for the delivery."""
    if 200 <= status < 300:
        return Attempt(Verdict.DELIVERED, f"HTTP {status}")
    said = text.decode("utf-8", "replace").strip()
    detail = clip(f"HTTP {status}: {said}" if said.isprintable() and said else f"HTTP {status}")
    if 400 <= status < 500 and status not in _RETRIED:
        return Attempt(Verdict.REJECTED, detail)
    return Attempt(Verdict.RETRY, detail, _asked_wait(status, headers.get("Retry-After"), at))


def is_public(address: str) -> bool:
    """Whether an address may be a target without ``allow_private``: global unicast, also of what it carries inside.

    IPv4 inside IPv6 (mapped, 6to4, Teredo, NAT64) counts as that IPv4 address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SECONDS = re.compile(r"^\d{1,9}$")


def _asked_wait(status: int, header: str | None, at: datetime) -> timedelta | None:
    if status not in {429, 503} or header is None:
        return None
    if _SECONDS.match(header.strip()):
        return min(timedelta(seconds=int(header)), LONGEST_WAIT)
    try:
        until = datetime.strptime(header.strip(), "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=at.tzinfo)
    except ValueError:
        return None
    return min(max(until - at, timedelta()), LONGEST_WAIT)


def _checked(settings: WebhookSettings) -> URL:
    field = f"notify.{settings.name}.url"
    try:
        url = URL(settings.url)
    except ValueError as error:
        raise ConfigError(f"is no URL: {error}", field=field) from error
    if not url.host or url.user is not None or url.password is not None:
        raise ConfigError("needs a host, and no user name or password in it", field=field)
    # The resolver is not asked about a literal address, so it is looked at here.
    try:
        public = is_public(url.host)
    except ValueError:
        return url
    if not public and not settings.allow_private:
        raise ConfigError(
            f"{url.host} is a private, link-local or loopback address; set allow_private = true if that is meant",
            field=field,
        )
    return url


class _CheckedResolver(AbstractResolver):
    """Answers with addresses that may be connected to, and with no others."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        allowed = [
            ResolveResult(
                hostname=host,
                host=str(place[0]),
                port=int(place[1]),
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, place in found
            if self._allow_private or is_public(str(place[0]))
        ]
        if not allowed:
            # With a number, because what aiohttp tells of it is the text that goes with one.
            raise OSError(errno.EACCES, f"{host} has only private addresses; set allow_private = true if that is meant")
        return allowed

    async def close(self) -> None:
        """Holds nothing."""

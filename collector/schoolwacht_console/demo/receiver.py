"""A receiver in the role of the CERT: it verifies each notification's signature and tells of each alert.

It shares no code with the sender: it is written from the text of Standard Webhooks 1.0, as a receiver elsewhere would
be. Limits: what it has seen is held in memory, for the length of a demo.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from aiohttp import web

_TOLERANCE_SECONDS = 300
_BODY_MAX = 1 << 20


class Arrival(NamedTuple):
    """A notification that came, was genuine and was not there before.

    ``seconds`` is the time from the packet that the alert begins with to its arrival here.
    """

    delivery_id: str
    alert_id: str
    reason: str
    title: str
    severity: str
    school: str
    signals: int
    seconds: float


class Receiver:
    """Takes notifications at any path.

    Args:
        key: the shared signing key.
        tell: called with each arrival.
        now: the clock (aware, UTC).
    """

    def __init__(
        self,
        key: bytes,
        tell: Callable[[Arrival], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.arrivals: list[Arrival] = []
        #: Requests that were not genuine, and genuine ones that had come before.
        self.refused = 0
        self.repeated = 0
        self._key = key
        self._tell = tell
        self._now = now

    def application(self) -> web.Application:
        """The receiver as a web application."""
        made = web.Application(client_max_size=_BODY_MAX)
        made.router.add_post("/{path:.*}", self._take)
        return made

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        delivery_id = request.headers.get("webhook-id", "")
        stamp = request.headers.get("webhook-timestamp", "")
        signatures = request.headers.get("webhook-signature", "")
        now = self._now()
        if not is_genuine(self._key, delivery_id, stamp, signatures, body, now=now):
            self.refused += 1
            return web.Response(status=401, text="the signature is not right")
        if any(known.delivery_id == delivery_id for known in self.arrivals):
            self.repeated += 1
            return web.Response(text="known already")
        arrival = read(delivery_id, body, now=now)
        self.arrivals.append(arrival)
        self._tell(arrival)
        return web.Response(text="taken")


def is_genuine(key: bytes, delivery_id: str, stamp: str, signatures: str, body: bytes, *, now: datetime) -> bool:
    """Whether one of the ``v1`` signatures is that of id, timestamp and body, and the timestamp is of now."""
    if not (stamp.isascii() and stamp.isdigit()) or abs(now.timestamp() - int(stamp)) > _TOLERANCE_SECONDS:
        return False
    expected = hmac.digest(key, f"{delivery_id}.{stamp}.".encode() + body, hashlib.sha256)
    for signature in signatures.split(" "):
        version, _, text = signature.partition(",")
        try:
            given = base64.b64decode(text, validate=True)
        except ValueError:  # no base64, or no ASCII
            continue
        if version == "v1" and hmac.compare_digest(given, expected):
            return True
    return False


def read(delivery_id: str, body: bytes, *, now: datetime) -> Arrival:
    """What a genuine body says."""
    message = json.loads(body)
    data = message["data"]
    return Arrival(
        delivery_id=delivery_id,
        alert_id=data["id"],
        reason=message["type"],
        title=data["title"],
        severity=data["severity"],
        school=data["school"],
        signals=data["count"],
        seconds=(now - datetime.fromisoformat(data["first"])).total_seconds(),
    )

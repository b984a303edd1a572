"""The set of indicators that agents get: ``GET /v1/indicators``, with a version, sent only to whom has another one.

Promise: collectors on one store offer the same bytes under the same version, so that an agent may ask any of them.
Limits: indicators of TLP:RED stay at the collector, which matches them itself; they are for named people, not for ten
thousand gateways. The whole set is sent at each change.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from aiohttp import hdrs, web

from schoolwacht.indicators import NUMBER_MAX, SET_TYPE, encode_set, pack_set
from schoolwacht_collector.records import Indicator

RED = "RED"


class Offer(NamedTuple):
    """A set ready to be sent: its version, how many it holds, and its bytes on the wire."""

    version: str
    number: int
    frame: bytes


def offer_of(indicators: Iterable[Indicator], now: datetime) -> Offer:
    """The set of those that are still valid and may be handed on; the newest if they are too many."""
    chosen = [one for one in indicators if one.tlp != RED and (one.valid_until is None or one.valid_until > now)]
    if len(chosen) > NUMBER_MAX:
        chosen = sorted(chosen, key=lambda one: (one.timestamp, one.id))[-NUMBER_MAX:]
    version, number, raw = encode_set(chosen)
    return Offer(version, number, pack_set(raw))


def answer(request: web.Request, offer: Offer) -> web.Response:
    """304 if the agent has this set, else 200 with it."""
    tag = f'"{offer.version}"'
    headers = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "private, no-cache"}
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    if tag in (one.strip() for one in known.split(",")):
        return web.Response(status=304, headers=headers)
    return web.Response(body=offer.frame, content_type=SET_TYPE, headers=headers)

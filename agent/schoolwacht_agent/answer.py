"""What a collector's answer to a batch means. Pure; docs/wire.md says it for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from schoolwacht.errors import WireError
from schoolwacht.wire import Reply, decode_reply

#: The longest wait that an answer can ask for, seconds.
WAIT_MAX = 900.0
_SAID_MAX = 300


class Meaning(Enum):
    """What the agent has to do."""

    #: The store has answered: settle.
    VERDICTS = auto()
    #: The batch cannot be read or is too large: take it apart.
    UNREADABLE = auto()
    #: This agent sends too much: wait, whatever the collector.
    SLOWER = auto()
    #: This collector cannot take it now: try another, or the same later.
    BUSY = auto()
    #: The key is unknown or the agent disabled: a person has to act.
    REFUSED = auto()
    #: Nothing that a collector of ours says: a wrong address, a proxy, a fault. Try another, or the same later.
    FOREIGN = auto()


class Answer(NamedTuple):
    """An answer. ``wait`` is how long it asks for, in seconds; ``said`` is for the log."""

    meaning: Meaning
    said: str
    wait: float | None = None
    reply: Reply | None = None


_BY_STATUS = {
    400: Meaning.UNREADABLE,
    401: Meaning.REFUSED,
    403: Meaning.REFUSED,
    408: Meaning.BUSY,
    413: Meaning.UNREADABLE,
    429: Meaning.SLOWER,
    500: Meaning.BUSY,
    502: Meaning.BUSY,
    503: Meaning.BUSY,
    504: Meaning.BUSY,
}


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, items: int, now: datetime) -> Answer:
    """The meaning of an answer to a batch of ``items`` events.

    Args:
        status: of HTTP.
        headers: a mapping that looks names up whatever their case.
        body: whole.
        items: how many events the batch had.
        now: aware, for a Retry-After that names a date.
    """
    if status == 200:
        try:
            reply = decode_reply(body, items=items)
        except WireError as error:
            return Answer(Meaning.FOREIGN, f"answers with what is no reply: {error.message}")
        return Answer(Meaning.VERDICTS, "", _bounded(reply.retry_after), reply)
    meaning = _BY_STATUS.get(status, Meaning.FOREIGN)
    return Answer(meaning, f"answers {status}{_told(body)}", _retry_after(headers.get("Retry-After"), now))


def _told(body: bytes) -> str:
    """What the problem details say, cut and made safe for a log."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, object])
        text = str(problem.get("detail") or problem.get("title") or "")
    except msgspec.MsgspecError:
        text = body[:_SAID_MAX].decode("utf-8", "replace").partition("\n")[0]
    text = "".join(sign if sign.isprintable() else " " for sign in text[:_SAID_MAX]).strip()
    return f": {text}" if text else ""


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if not text:
        return None
    try:
        return _bounded(float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _bounded((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def _bounded(seconds: float | None) -> float | None:
    # The first comparison is false for NaN too.
    return None if seconds is None or not seconds >= 0 else min(seconds, WAIT_MAX)

"""What people do: hide alerts by a rule, end a rule, snooze an alert, register a test. Each with who and why, audited.

Raises TuningError for what cannot be, naming the field.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_network
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from schoolwacht.errors import Conflict, SchoolwachtError
from schoolwacht_collector import audit
from schoolwacht_collector.alerts import TRIES, AlertClosed, NoSuchAlert
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import pages
from schoolwacht_collector.query.ast import All, And, Equals, Node
from schoolwacht_collector.records import Alert, AlertState, RegisteredTest, Tuning
from schoolwacht_collector.tuning.judge import Judge

LONGEST = timedelta(days=366)
LONGEST_SNOOZE = timedelta(days=31)
LONGEST_TEST = timedelta(days=92)
#: Shorter prefixes hold much of the Internet, by version of IP.
_WIDEST = MappingProxyType({4: 8, 6: 16})
PREVIEW = timedelta(days=30)
#: Alerts that a preview looks at, the latest.
PREVIEW_MOST = 20_000
_PAGE = 1000
_CRITERIA = ("rule", "school", "board", "entity", "network", "destination")
_TEXT_MAX = 1000


class TuningError(SchoolwachtError):
    """A rule, a test or a snooze that cannot be. ``field`` says where."""


class NoSuchTuning(SchoolwachtError):  # noqa: N818 - says what is the matter
    """No rule or test has that id."""


class Preview(NamedTuple):
    """Of the alerts of the last 30 days: how many there were, how many the rule would have hidden, and the latest."""

    alerts: int
    hidden: int
    latest: list[Alert]


def make_tuning(*, by: str, reason: str, until: datetime, now: datetime, criteria: dict[str, str | None]) -> Tuning:
    """A checked rule of ``criteria`` (rule, school, board, entity, network, destination). Raises TuningError."""
    given = {name: text for name, value in criteria.items() if (text := (value or "").strip())}
    for name, text in given.items():
        if name not in _CRITERIA:
            raise TuningError(f"is none of {', '.join(_CRITERIA)}", field=name)
        if len(text) > 256 or not text.isprintable():
            raise TuningError("is longer than 256 characters, or holds a control character", field=name)
    if not given:
        raise TuningError(f"would hide every alert of the sector: give one of {', '.join(_CRITERIA)}", field="rule")
    for name in ("network", "destination"):
        if name in given:
            given[name] = network(given[name], name)
            if not {"rule", "school", "board"} & given.keys():
                narrow(given[name], name)
    if not now < until <= now + LONGEST:
        raise TuningError("must lie in the future, at most a year ahead: what nobody renews ends", field="until")
    return Tuning(
        id=secrets.token_hex(8),
        timestamp=now,
        created=now,
        by=by,
        reason=_reason(reason),
        until=until,
        rule=given.get("rule"),
        school=given.get("school"),
        board=given.get("board"),
        entity=given.get("entity"),
        network=given.get("network"),
        destination=given.get("destination"),
    )


async def add(store: Store, tuning: Tuning) -> Tuning:
    """Put a rule in force. Raises StoreError."""
    detail = ", ".join(f"{name} {value}" for name in _CRITERIA if (value := getattr(tuning, name)))
    await audit.note(
        store, "tuning.added", tuning.id, by=tuning.by, reason=tuning.reason, detail=detail, now=tuning.timestamp
    )
    await store.put(Kind.TUNING, tuning, None)
    return tuning


async def end(store: Store, name: str, *, by: str, reason: str, now: datetime) -> Tuning:
    """End a rule: what it hid and is still open comes back. One that has ended stays as it is.

    Raises NoSuchTuning, TuningError, StoreError.
    """
    why = _reason(reason)
    for _ in range(TRIES):
        found = await store.get(Kind.TUNING, name)
        if found is None or not isinstance(found.record, Tuning):
            raise NoSuchTuning(f"there is no tuning rule {name}")
        if found.record.ended_at is not None:
            return found.record
        ended = replace(found.record, timestamp=now, ended_at=now, ended_by=by, ended_why=why)
        await audit.note(store, "tuning.ended", name, by=by, reason=why, now=now)
        try:
            await store.put(Kind.TUNING, ended, found.version)
        except Conflict:
            continue
        return ended
    raise Conflict(f"tuning rule {name} changed {TRIES} times meanwhile; try again")


async def preview(store: Store, tuning: Tuning, *, now: datetime) -> Preview:
    """What a rule would have hidden of the alerts of the last 30 days. Raises StoreError."""
    judge = Judge(store)
    wanted: list[Node] = [All()]
    wanted += [
        Equals(field, value)
        for field, value in (
            ("school.location", tuning.school),
            ("organization.id", tuning.board),
            ("signal.entity", tuning.entity),
        )
        if value is not None
    ]
    where = And(tuple(wanted))
    search = Search(Kind.ALERT, All(), SECTOR, since=now - PREVIEW, time_field="alert.opened")
    total = sum(each.number for each in (await store.tally(search, "alert.state")).values())
    hidden: list[Alert] = []
    seen = 0
    search = search._replace(where=where, limit=_PAGE)
    async for rows in pages(store, search):
        alerts = [msgspec.convert(row, Alert) for row in rows]
        hidden += [each for each in alerts if await judge.hides(tuning, each)]
        seen += len(alerts)
        if seen >= PREVIEW_MOST:
            break
    return Preview(total, len(hidden), hidden[:10])


async def snooze(store: Store, name: str, *, until: datetime | None, by: str, reason: str, now: datetime) -> Alert:
    """Tell nobody of an alert until then (None: tell again at once). Raises NoSuchAlert, AlertClosed, TuningError."""
    if until is not None and not now < until <= now + LONGEST_SNOOZE:
        raise TuningError("must lie in the future, at most 31 days ahead", field="until")
    why = _reason(reason) if until is not None else reason.strip()
    for _ in range(TRIES):
        found = await store.get(Kind.ALERT, name)
        if found is None or not isinstance(found.record, Alert):
            raise NoSuchAlert(f"there is no alert {name}")
        alert = found.record
        if alert.state is AlertState.CLOSED:
            raise AlertClosed("a closed alert is told to nobody anyway", field="alert.state")
        action = "alert.snoozed" if until is not None else "alert.woken"
        detail = "" if until is None else f"until {until.isoformat()}"
        await audit.note(store, action, name, by=by, reason=why, detail=detail, now=now)
        changed = replace(alert, snoozed_until=until, timestamp=max(now, alert.timestamp))
        try:
            await store.put(Kind.ALERT, changed, found.version)
        except Conflict:
            continue
        return changed
    raise Conflict(f"alert {name} changed {TRIES} times meanwhile; try again")


async def register(
    store: Store,
    *,
    name: str,
    by: str,
    since: datetime,
    until: datetime,
    now: datetime,
    sources: Sequence[str] = (),
    schools: Sequence[str] = (),
    expected: Sequence[str] = (),
) -> RegisteredTest:
    """Register a test. Raises TuningError, StoreError."""
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise TuningError("is empty, longer than 200 characters, or holds a control character", field="name")
    if not since < until or until - since > LONGEST_TEST:
        raise TuningError("must lie after its beginning, at most 92 days", field="until")
    if until <= now - timedelta(days=30):
        raise TuningError("was over more than 30 days ago: its alerts are no longer marked", field="until")
    if not sources and not schools:
        raise TuningError("would cover the whole sector: give sources, or schools", field="sources")
    if not schools:
        for place, each in enumerate(sources):
            narrow(each, f"sources[{place}]")
    made = RegisteredTest(
        id=secrets.token_hex(8),
        timestamp=now,
        created=now,
        name=name.strip(),
        by=by,
        since=since,
        until=until,
        sources=tuple(network(each, f"sources[{place}]") for place, each in enumerate(sources)),
        schools=tuple(each.strip().upper() for each in schools),
        expected=tuple(dict.fromkeys(each.strip().upper() for each in expected if each.strip())),
    )
    detail = f"{since.isoformat()} to {until.isoformat()}; sources {', '.join(made.sources) or 'any'}"
    await audit.note(store, "test.registered", made.id, by=by, reason=made.name, detail=detail, now=now)
    await store.put(Kind.TEST, made, None)
    return made


def narrow(text: str, field: str) -> None:
    """Refuse a network that holds much of the Internet. Raises TuningError."""
    made = ip_network(network(text, field))
    if made.prefixlen < _WIDEST[made.version]:
        raise TuningError(
            f"{text!r} is wider than /{_WIDEST[made.version]}: name a rule, school or board too", field=field
        )


def network(text: str, field: str) -> str:
    """A network or address in its normal form. Raises TuningError."""
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError as error:
        raise TuningError(f"{text!r} is no network or address", field=field) from error


def _reason(text: str) -> str:
    reason = text.strip()
    if not any(sign.isalnum() for sign in reason):
        raise TuningError("is needed: whoever looks back must know why", field="reason")
    if len(reason) > _TEXT_MAX:
        raise TuningError(f"is longer than {_TEXT_MAX} characters", field="reason")
    return reason

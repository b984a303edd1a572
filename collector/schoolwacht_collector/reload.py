"""The settings read again while the collector runs, as SIGHUP asks: what is live is exchanged, the rest is named.

Promise: all or nothing: a file with a fault, a missing secret of a target or a broken certificate leaves everything as
it was. Requests that run go on, and nothing that was taken is lost. Limits: what is not in :data:`LIVE` needs a
restart; a delivery that is on its way when the targets are exchanged is repeated under its id.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from schoolwacht_collector import notify
from schoolwacht_collector.config import Settings, check
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.expiry import Expiry
from schoolwacht_collector.indicators.gate import Gate, Own
from schoolwacht_collector.indicators.hunt import Hunter
from schoolwacht_collector.intake import Intake, bounds_of
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.notify import Notifier
from schoolwacht_collector.notify.outbox import Outbox
from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.tls import ServerTls
from schoolwacht_collector.tuning.care import Care
from schoolwacht_collector.tuning.settings import TriageSettings

#: The settings, and whole tables, that are exchanged while the collector runs. :meth:`Live.exchange` does it.
LIVE = (
    "console.public_url",
    "indicators",
    "intake.body_seconds",
    "limits.agent_burst_events",
    "limits.agent_events_per_second",
    "limits.agent_flight_bytes",
    "limits.dead_letter_bytes",
    "limits.dead_letter_days",
    "limits.flight_bytes",
    "limits.future_seconds",
    "limits.past_days",
    "limits.wait_seconds",
    "notify",
    "retention",
    "rules",
    "triage",
)
_logger = logging.getLogger(__name__)
_Tree = TypeVar("_Tree", bound=Struct)


class Change(NamedTuple):
    """What reading the settings again comes to.

    ``settings`` are those in force from now on: live ones as the file has them, the others as they were. ``live`` and
    ``restart`` name the settings that differ, by whether they are among them.
    """

    settings: Settings
    live: tuple[str, ...]
    restart: tuple[str, ...]


def merge(running: Settings, wanted: Settings) -> Change:
    """What of ``wanted`` can take the place of ``running`` now. Raises ConfigError if that does not fit together."""
    live: list[str] = []
    restart: list[str] = []
    settings = check(_merged(running, wanted, "", live, restart))
    return Change(settings, tuple(live), tuple(restart))


def _merged(running: _Tree, wanted: _Tree, prefix: str, live: list[str], restart: list[str]) -> _Tree:
    taken = {}
    for item in running.__struct_fields__:
        name, old, new = f"{prefix}{item}", getattr(running, item), getattr(wanted, item)
        if old == new:
            continue
        if isinstance(old, Struct):
            taken[item] = _merged(old, new, f"{name}.", live, restart)
        elif is_live(name):
            live.append(name)
            taken[item] = new
        else:
            restart.append(name)
    return replace(running, **taken)


def is_live(name: str) -> bool:
    """Whether a setting, by its dotted name, is exchanged while the collector runs."""
    return any(name == each or name.startswith((f"{each}.", f"{each}[]")) for each in LIVE)


def tell(change: Change) -> None:
    """Log what a change came to."""
    _logger.info("the settings were read again; changed: %s", ", ".join(change.live) or "none")
    if change.restart:
        _logger.warning("changed in the file, but only a restart takes it up: %s", ", ".join(change.restart))


def rehearse(settings: Settings) -> None:
    """Read what settings lead to (secrets, certificates) and use none of it. Raises ConfigError."""
    notify.make_all(settings.notify)
    Own.of(settings.indicators)
    if settings.intake.certificate:
        ServerTls(settings.intake)


def remind_of(triage: TriageSettings) -> timedelta | None:
    """How long an open alert goes on until it is told again."""
    return timedelta(hours=triage.remind_hours) if triage.remind_hours else None


@dataclass(slots=True)
class Live:
    """The parts of a running collector whose settings can be exchanged, and the ``settings`` in force."""

    settings: Settings
    intake: Intake
    outbox: Outbox
    expiry: Expiry
    gate: Gate
    hunter: Hunter
    care: Care
    rules: Rules
    matching: Matching
    dead_letters: DeadLetters
    tls: ServerTls | None
    #: Targets that are in no settings.
    further: tuple[Notifier, ...] = ()
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def exchange(self, wanted: Settings) -> Change:
        """Take up what can be, certificates and secrets of targets too. Raises ConfigError; then nothing changed."""
        async with self._turn:
            change = merge(self.settings, wanted)
            settings = change.settings
            targets = await asyncio.to_thread(notify.make_all, settings.notify)
            own = Own.of(settings.indicators)
            if self.tls is not None:
                await asyncio.to_thread(self.tls.reload)
            # From here on nothing fails, and nothing waits.
            self.settings = settings
            self.intake.exchange(settings)
            self.dead_letters.exchange(
                daily_bytes=settings.limits.dead_letter_bytes, days=settings.limits.dead_letter_days
            )
            self.matching.exchange(past=bounds_of(settings).past)
            self.gate.exchange(settings.indicators, own)
            self.hunter.settings = settings.indicators
            self.rules.settings = settings.rules
            self.expiry.settings = settings.retention
            self.care.settings = settings.triage
            self.outbox.exchange(
                [*targets, *self.further],
                console_url=settings.console.public_url or None,
                remind=remind_of(settings.triage),
            )
            return change

"""The collector, wired by hand: store, registry, intake, jobs, console.

::

    async with running(local(directory), init=True) as collector:
        collector.intake_url, collector.console_url, collector.store

Promise: what was taken is stored and answered before a stop ends; a job that throws is logged and started again, and
``/readyz`` shows it. Limits: one process, one event loop; several collectors on one store share the leader's jobs by
a lease in the store (:mod:`.lease`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec

from schoolwacht.errors import StoreError
from schoolwacht_collector import metrics, secret
from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.config import Settings, StoreName, check
from schoolwacht_collector.correlate.job import Correlator
from schoolwacht_collector.correlate.read import own_rules
from schoolwacht_collector.dead_letters import DeadLetters
from schoolwacht_collector.expiry import Expiry
from schoolwacht_collector.index import STORES
from schoolwacht_collector.index.port import Store
from schoolwacht_collector.indicators.gate import Gate
from schoolwacht_collector.indicators.hunt import Hunter
from schoolwacht_collector.intake import Intake, bounds_of
from schoolwacht_collector.jobs import RUNNING, Jobs
from schoolwacht_collector.lease import Leadership
from schoolwacht_collector.ledger_job import Ledgers
from schoolwacht_collector.listener import listen
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.metrics import Metrics
from schoolwacht_collector.notify import Notifier, make_all
from schoolwacht_collector.notify.outbox import Outbox
from schoolwacht_collector.prevalence.count import Counter
from schoolwacht_collector.registry import Registry
from schoolwacht_collector.reload import Live, remind_of
from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.tls import ServerTls
from schoolwacht_collector.tuning.care import Care
from schoolwacht_collector.tuning.judge import Judge
from schoolwacht_console.site import make_site

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collector:
    """A running collector. URLs end without a slash; ``console_url`` is None if the console is switched off.

    ``settings`` are those of the start; ``live`` has those in force.
    """

    settings: Settings
    store: Store
    registry: Registry
    matching: Matching
    dead_letters: DeadLetters
    folder: Folder
    outbox: Outbox
    intake_url: str
    console_url: str | None
    metrics: Metrics
    live: Live


def make_store(settings: Settings) -> Store:
    """The configured store, not yet opened."""
    kind = settings.store.kind
    if kind is StoreName.SQLITE:
        return STORES[kind].make(
            msgspec.structs.replace(settings.store.sqlite, directory=str(settings.sqlite_directory))
        )
    return STORES[kind].make(settings.store.elasticsearch)


def make_notifiers(settings: Settings) -> list[Notifier]:
    """The configured targets, not yet opened. Raises ConfigError."""
    return make_all(settings.notify)


async def prepare(settings: Settings) -> bool:
    """Make the secret and the store's schema; safe to run again. Whether the secret was made now.

    Raises ConfigError, StoreError.
    """
    made = await asyncio.to_thread(secret.make, settings.state)
    store = make_store(settings)
    await store.init()
    await store.close()
    return made


@asynccontextmanager
async def running(
    settings: Settings, *, notifiers: Sequence[Notifier] = (), init: bool = False, store: Store | None = None
) -> AsyncIterator[Collector]:
    """Run a whole collector in this event loop until the block ends.

    Args:
        settings: of :func:`schoolwacht_collector.config.load`, or of ``local(directory)``: everything below one
            directory, free ports on loopback, events of any age.
        notifiers: targets besides those of ``settings.notify``.
        init: make the store's schema and the collector's secret first, as ``schoolwacht-collector init`` does.
        store: in place of the configured one, not yet open.

    Raises ConfigError or StoreError, both with the way out, before it yields.
    """
    check(settings)
    if init:
        await prepare(settings)
    key = await asyncio.to_thread(secret.load, settings.state)
    tls = await asyncio.to_thread(ServerTls, settings.intake) if settings.intake.certificate else None
    targets = [*make_notifiers(settings), *notifiers]
    async with AsyncExitStack() as stack:
        store = store or make_store(settings)
        stack.push_async_callback(store.close)
        await store.open()
        for target in targets:
            stack.push_async_callback(target.close)
            await target.open()
        registry = Registry(store)
        stack.push_async_callback(_flush, registry)
        matching = Matching(store, past=bounds_of(settings).past)
        await matching.load()
        rules = Rules(settings.rules)
        await rules.load()
        gate = Gate(store, settings.indicators)
        outbox = Outbox(
            store,
            targets,
            console_url=settings.console.public_url or None,
            remind=remind_of(settings.triage),
        )
        judge = Judge(store)
        folder = Folder(store, on_change=outbox.nudge, judge=judge.judged)
        counter = Counter(store)
        correlator = Correlator(
            store, await asyncio.to_thread(own_rules), on_raised=folder.nudge, counting_since=lambda: counter.begun
        )
        counter.on_change = correlator.seen
        jobs = Jobs()
        leadership = Leadership(store, f"{settings.collector.name or socket.gethostname()}-{secrets.token_hex(4)}")
        expiry = Expiry(store, settings.retention)
        hunter = Hunter(store, settings.indicators, on_signals=folder.nudge)
        care = Care(store, judge, settings.triage, on_change=outbox.nudge)
        leaders = _Leaders(
            {
                "alerts": folder.run,
                "outbox": outbox.run,
                "expiry": expiry.run,
                "ledgers": Ledgers(store).run,
                "hunt": hunter.run,
                "care": care.run,
                "prevalence": counter.run,
                "correlation": correlator.run,
            },
        )
        stack.push_async_callback(jobs.stop)
        jobs.start("indicators", matching.run)
        jobs.start("rules", rules.run)
        jobs.start("counts", registry.run)
        jobs.start("ledger counts", registry.counts.run)
        jobs.start("leader", lambda: leadership.run(leaders.working))
        dead_letters = DeadLetters(
            settings.dead_letters,
            daily_bytes=settings.limits.dead_letter_bytes,
            days=settings.limits.dead_letter_days,
        )
        console_url = await _console(stack, settings, store, gate) if settings.console.enabled else None
        intake = Intake(
            settings,
            secret=key,
            store=store,
            registry=registry,
            matching=matching,
            rules=rules,
            dead_letters=dead_letters,
            signals_created=lambda: _nudge(folder, correlator),
            ready=lambda: {
                "leader": leadership.leading,
                "jobs": jobs.states() | leaders.jobs.states(),
                **rules.states(),
            },
        )
        _watch(intake, matching, rules, dead_letters, leadership, (jobs, leaders.jobs))
        if settings.metrics.listen:
            served = metrics.application(intake.metrics)
            await listen(stack, served, settings.metrics.listen, field="metrics.listen", idle=75.0, stop=2.0)
        intake_url = await listen(
            stack,
            intake.application(),
            settings.intake.listen,
            field="intake.listen",
            idle=settings.intake.idle_seconds,
            stop=settings.intake.stop_seconds,
            tls=tls.context if tls else None,
            shared=settings.intake.workers > 1,
        )
        yield Collector(
            settings,
            store,
            registry,
            matching,
            dead_letters,
            folder,
            outbox,
            intake_url,
            console_url,
            intake.metrics,
            Live(
                settings, intake, outbox, expiry, gate, hunter, care, rules, matching, dead_letters, tls,
                tuple(notifiers),
            ),
        )  # fmt: skip


def _watch(
    intake: Intake,
    matching: Matching,
    rules: Rules,
    dead_letters: DeadLetters,
    leadership: Leadership,
    jobs: Sequence[Jobs],
) -> None:
    metrics.watch(
        intake.metrics,
        {
            "flight_bytes": lambda: intake.flight_bytes,
            "waiting_events": lambda: intake.waiting_events,
            "dead_letters": lambda: dead_letters.kept,
            "dead_letters_dropped": lambda: dead_letters.dropped,
            "indicators": lambda: matching.indicators.size,
            "rules": lambda: rules.current.size,
            "rules_removed": lambda: len(rules.current.removed),
            "rules_faulty": lambda: len(rules.faults),
            "leader": lambda: leadership.leading,
            "jobs_failing": lambda: sum(state != RUNNING for group in jobs for state in group.states().values()),
        },
    )


class _Leaders:
    """The jobs of the leader."""

    def __init__(self, runs: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self.jobs = Jobs()
        self._runs = runs

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """They run while the block does."""
        for name, run in self._runs.items():
            self.jobs.start(name, run)
        try:
            yield
        finally:
            await self.jobs.stop()


def _nudge(folder: Folder, correlator: Correlator) -> None:
    """Signals were stored."""
    folder.nudge()
    correlator.nudge()


async def _console(stack: AsyncExitStack, settings: Settings, store: Store, gate: Gate) -> str:
    return await listen(
        stack,
        await asyncio.to_thread(make_site, store, gate=gate),  # it reads templates
        settings.console.listen,
        field="console.listen",
        idle=75.0,
        stop=2.0,
    )


async def _flush(registry: Registry) -> None:
    try:
        await registry.counts.flush()
        await registry.flush()
    except StoreError as error:
        _logger.warning("what the agents delivered in the last seconds is not counted: %s", error)

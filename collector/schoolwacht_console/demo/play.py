"""The demo's run: receiver, collector, agents; counters while they work, accounts when they are done."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from msgspec import structs

from schoolwacht_collector.app import Collector, running
from schoolwacht_collector.config import Settings, local
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.index.through import rows
from schoolwacht_collector.notify.webhook import Webhook, WebhookSettings
from schoolwacht_collector.query.ast import All, Equals, Node, Not
from schoolwacht_collector.records import DeliveryState, School, Severity
from schoolwacht_collector.tlp import Tlp
from schoolwacht_console import line
from schoolwacht_console.demo.display import Display, Snapshot, Standing
from schoolwacht_console.demo.receiver import Receiver
from schoolwacht_console.demo.scenario import Player, Scenario
from schoolwacht_console.demo.summary import Accounts

#: How much faster than recorded the schools' captures are played.
SPEED = 5.0
#: Seconds after which a demo that is to end gives up waiting: 90 are promised, from the command's start.
DEADLINE = 80.0
_LOOK_SECONDS = 0.5
_BY_COLLECTOR = Equals("rule.ruleset", "indicator")


class Plan(NamedTuple):
    """What to play and how. ``speeds`` are by agent; ``port`` is the console's."""

    scenario: Scenario
    engine: str
    port: int
    speeds: Mapping[str, float]
    ends: bool


class _Agent(NamedTuple):
    player: Player
    process: asyncio.subprocess.Process
    words: asyncio.Task[bytes]


async def play(plan: Plan, screen: Display, *, began: float) -> Accounts:
    """Play a scenario: until everything has arrived if ``plan.ends``, else until cancelled.

    Args:
        plan: what to play.
        screen: where it is shown.
        began: when the command began, ``time.monotonic()``.

    Raises ConfigError, IndicatorError, StoreError.
    """
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(line.throwaway("demo"))
        key = secrets.token_bytes(32)
        receiver = Receiver(key, screen.tell)
        url = await stack.enter_async_context(_serving(receiver))
        collector = await stack.enter_async_context(
            running(_settings(directory, plan.port), notifiers=[_webhook(url, key)], init=True)
        )
        await line.add_indicators(collector.store, plan.scenario.indicators)
        await collector.matching.load()
        screen.say(f"console: {collector.console_url}")
        screen.say(f"collector: {collector.intake_url}; CERT receiver: {url}")
        agents = [
            await stack.enter_async_context(_playing(player, plan, collector, directory))
            for player in plan.scenario.players
        ]
        await _watch(collector.store, agents, receiver, screen, until=began + DEADLINE if plan.ends else None)
        for agent in agents:
            if agent.process.returncode:
                for word in (await agent.words).decode(errors="replace").splitlines():
                    screen.say(f"{agent.player.name}: {word}")
        accounts = await _accounts(collector.store, agents, receiver, directory, seconds=time.monotonic() - began)
        if not plan.ends:
            screen.say(f"everything is played; the console stays at {collector.console_url} until Ctrl-C")
            await _watch(collector.store, agents, receiver, screen, until=None, ends=False)
        return accounts


def _settings(directory: Path, port: int) -> Settings:
    settings = local(directory / "collector")
    return structs.replace(settings, console=structs.replace(settings.console, listen=f"127.0.0.1:{port}"))


def _webhook(url: str, key: bytes) -> Webhook:
    settings = WebhookSettings(
        name="cert", url=url, min_severity=Severity.INFORMATIONAL, max_tlp=Tlp.RED, allow_private=True
    )
    return Webhook(settings, key)


@asynccontextmanager
async def _serving(receiver: Receiver) -> AsyncIterator[str]:
    runner = web.AppRunner(receiver.application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        _, port = runner.addresses[0][:2]
        yield f"http://127.0.0.1:{port}/alerts"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _playing(player: Player, plan: Plan, collector: Collector, directory: Path) -> AsyncIterator[_Agent]:
    school = School(location=player.location, board=player.board, name=player.name)
    agent_plan = line.AgentPlan(player.agent, school, player.home, player.captures, plan.engine, minimise=True)
    options = ("--as-live", "--speed", f"{plan.speeds[player.agent]:g}")
    async with line.agent(agent_plan, collector, directory, options=options, quiet=True) as process:
        assert process.stderr is not None
        words = asyncio.create_task(process.stderr.read())
        try:
            yield _Agent(player, process, words)
        finally:
            words.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await words


async def _watch(
    store: Store,
    agents: list[_Agent],
    receiver: Receiver,
    screen: Display,
    *,
    until: float | None,
    ends: bool = True,
) -> None:
    """Show counters until all agents have ended and everything they brought has been folded and has arrived."""
    before, at = 0, time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        began = time.monotonic()
        snapshot = await _snapshot(store, agents, receiver)
        rate = (snapshot.stored - before) / (began - at)
        screen.show(snapshot._replace(rate=max(0.0, rate)))
        before, at = snapshot.stored, began
        if ends and all(agent.process.returncode is not None for agent in agents) and await _settled(store, receiver):
            return
        if until is not None and time.monotonic() > until:
            screen.say("not everything has arrived in time")
            return
        # The demo looks on; it must not be what the line is busy with.
        await asyncio.sleep(4 * (time.monotonic() - began))


async def _settled(store: Store, receiver: Receiver) -> bool:
    if await line.unfolded(store) > 0:
        return False
    if await _alert_ids(store) != frozenset(arrival.alert_id for arrival in receiver.arrivals):
        return False
    pending = await store.search(
        Search(Kind.DELIVERY, Equals("delivery.state", DeliveryState.PENDING.value), SECTOR, limit=1)
    )
    return not pending.rows


async def _snapshot(store: Store, agents: list[_Agent], receiver: Receiver) -> Snapshot:
    events = await _by_agent(store, Kind.EVENT, All())
    signals = await _by_agent(store, Kind.SIGNAL, All())
    alerts = await store.tally(Search(Kind.ALERT, All(), SECTOR), "alert.state")
    standings = [
        Standing(
            school=f"{agent.player.name} ({agent.player.location})",
            board=agent.player.board_name,
            state=_state(agent.process.returncode),
            events=events.get(agent.player.agent, 0),
            signals=signals.get(agent.player.agent, 0),
        )
        for agent in agents
    ]
    return Snapshot(
        standings,
        stored=sum(events.values()) + sum(signals.values()),
        rate=0.0,
        alerts=sum(tally.number for tally in alerts.values()),
        delivered=len({arrival.alert_id for arrival in receiver.arrivals}),
    )


def _state(code: int | None) -> str:
    if code is None:
        return "playing"
    return "done" if code == 0 else f"ended with {code}"


async def _accounts(
    store: Store, agents: list[_Agent], receiver: Receiver, directory: Path, *, seconds: float
) -> Accounts:
    events = await _by_agent(store, Kind.EVENT, All())
    brought = await _by_agent(store, Kind.SIGNAL, Not(_BY_COLLECTOR))
    derived = await _by_agent(store, Kind.SIGNAL, _BY_COLLECTOR)
    names = [agent.player.agent for agent in agents]
    seen: dict[str, int] = {}
    failed: dict[str, int] = {}
    for agent in agents:
        name, code = agent.player.agent, agent.process.returncode
        account = await line.spooled(name, directory)
        seen[name] = 0 if account is None else account.seen
        if code != 0:
            failed[name] = -1 if code is None else code
    first: dict[str, float] = {}
    for arrival in receiver.arrivals:
        first.setdefault(arrival.alert_id, arrival.seconds)
    return Accounts(
        seen=seen,
        stored={name: events.get(name, 0) + brought.get(name, 0) for name in names},
        derived=sum(derived.values()),
        alerts=await _alert_ids(store),
        arrived=frozenset(first),
        delays=list(first.values()),
        notifications=len(receiver.arrivals),
        refused=receiver.refused,
        failed=failed,
        seconds=seconds,
    )


async def _by_agent(store: Store, kind: Kind, where: Node) -> dict[str, int]:
    tallies = await store.tally(Search(kind, where, SECTOR), "observer.name")
    return {name: tally.number for name, tally in tallies.items()}


async def _alert_ids(store: Store) -> frozenset[str]:
    alerts = rows(store, Search(Kind.ALERT, All(), SECTOR, limit=1000))
    return frozenset([str(row["id"]) async for row in alerts])

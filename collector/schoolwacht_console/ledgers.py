"""What pages and API show of agents' ledgers (:mod:`schoolwacht_collector.ledger`), within a scope."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from schoolwacht_collector.index.port import Kind, Scope, Search, Store
from schoolwacht_collector.ledger import balance, days_of, waiting
from schoolwacht_collector.ledger_counts import change
from schoolwacht_collector.query.ast import OneOf
from schoolwacht_collector.records import Agent, Ledger
from schoolwacht_console.shapes import AgentView, LedgerView


async def unbalanced(store: Store, scope: Scope, agents: Iterable[str]) -> dict[str, Ledger]:
    """The ledgers of these agents that do not balance, by agent. Raises StoreError."""
    names = tuple(agents)
    if not names:
        return {}
    page = await store.search(Search(Kind.LEDGER, OneOf("observer.name", names), scope, limit=len(names)))
    found = [msgspec.convert(row, Ledger) for row in page.rows if row.get("ledger.difference")]
    return {ledger.agent: ledger for ledger in found}


def view_of(agent: Agent, ledger: Ledger | None) -> AgentView:
    """An agent as people may see it."""
    view = msgspec.convert(agent, AgentView, from_attributes=True)
    return view if ledger is None else replace(view, difference=ledger.difference, since=ledger.since)


async def show(store: Store, scope: Scope, agent: str) -> LedgerView | None:
    """An agent's ledger; an empty one if it has reported nothing, None if there is no such agent within the scope."""
    known = await store.get(Kind.AGENT, agent)
    if known is None or not isinstance(known.record, Agent):
        return None
    if scope.boards is not None and known.record.board not in scope.boards:
        return None
    found = await store.get(Kind.LEDGER, agent)
    if found is None or not isinstance(found.record, Ledger):
        ledger = Ledger(id=agent, timestamp=known.record.timestamp, board=known.record.board, agent=agent)
    else:
        ledger = found.record
    missing = balance(ledger)
    return LedgerView(
        agent=agent,
        difference=ledger.difference,
        since=ledger.since,
        **missing._asdict(),
        accepted=ledger.accepted,
        accepted_by=ledger.accepted_by,
        reason=ledger.reason,
        waiting=waiting(ledger),
        days=days_of(ledger),
    )


async def accept(store: Store, scope: Scope, agent: str, *, reason: str, by: str) -> LedgerView | None:
    """Take what is missing as looked into. None if there is no such agent within the scope. Raises StoreError."""
    if await show(store, scope, agent) is None:
        return None
    await change(
        store,
        agent,
        lambda ledger, _now: replace(
            ledger, difference=0, since=None, accepted=balance(ledger).difference, accepted_by=by, reason=reason
        ),
    )
    return await show(store, scope, agent)

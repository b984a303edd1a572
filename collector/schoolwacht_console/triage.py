"""What people change: the state of an alert, and the indicators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from schoolwacht.errors import IndicatorError
from schoolwacht_collector.alerts import change_state
from schoolwacht_collector.indicators import make_indicator
from schoolwacht_collector.records import Alert, AlertState, Indicator
from schoolwacht_console import lookup
from schoolwacht_console.context import Console
from schoolwacht_console.inert import is_blank
from schoolwacht_console.problem import Problem
from schoolwacht_console.shapes import NewIndicator

#: Who a change is ascribed to where the caller does not say: there are no accounts yet.
CONSOLE_USER, API_USER = "console", "api"
REASON_MAX = 1000


async def change_alert(console: Console, id: str, state: AlertState, *, reason: str, by: str) -> Alert:  # noqa: A002
    """Give an alert a new state, with who and why. Closing needs a reason.

    Raises Problem (no such alert in sight, no reason), Conflict, StoreError.
    """
    reason = "" if is_blank(reason) else reason.strip()
    if len(reason) > REASON_MAX:
        raise Problem(400, f"is longer than {REASON_MAX} characters", field="reason")
    if state is AlertState.CLOSED and not reason:
        raise Problem(400, "is needed to close an alert: whoever looks back must know why", field="reason")
    if await lookup.alert(console.store, console.scope, id) is None:
        raise Problem(404, "there is no alert of that id")
    return await change_state(console.store, id, state, by=by, reason=reason or None, now=console.now())


class Kept(NamedTuple):
    """The indicators that are kept, and those that the gate refused with what spoke against each."""

    kept: list[Indicator]
    refused: list[tuple[Indicator, str]]


async def keep_indicators(
    console: Console, wanted: Sequence[NewIndicator], *, force: bool = False, reason: str = "", by: str = ""
) -> Kept:
    """Check all of them, then keep those that pass the gate (all with ``force``, which needs a reason).

    Raises IndicatorError naming the faulty one's place, Problem, StoreError.
    """
    if force and is_blank(reason):
        raise Problem(400, "is needed to force what a check speaks against", field="reason")
    now = console.now()
    made: list[Indicator] = []
    for place, each in enumerate(wanted):
        try:
            made.append(make_indicator(structs.asdict(each), now=now))
        except IndicatorError as error:
            raise IndicatorError(error.message, field=f"indicators[{place}].{error.field or 'value'}") from error
    kept, doubts = await console.gate.keep(made, forced_by=(by or API_USER) if force else None, why=reason.strip())
    return Kept(kept, [(each, doubts[each.id]) for each in made if each.id in doubts])

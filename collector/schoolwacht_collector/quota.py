"""How many events an agent may deliver in a second: a bucket of tokens for each.

Promise: in any span of t seconds no agent gets more than ``burst + rate × t`` events taken, and one batch. Limits: for
one process: several collectors on one store each count for themselves. A batch is charged when its size is known, so
that a bucket can be in debt; nothing is taken from its agent until the debt is paid.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

#: Agents that are remembered. One that is forgotten has a full bucket again.
_REMEMBERED = 50_000


class Quota:
    """The buckets.

    Args:
        rate: events a second that flow into each; 0: there is no bound.
        burst: events that one holds.
        clock: monotonic seconds.
    """

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def exchange(self, *, rate: float, burst: float) -> None:
        """Other bounds from now on; a debt stays."""
        self._rate = rate
        self._burst = burst

    def wait(self, agent: str) -> float:
        """Seconds until something of this agent is taken again; 0 now."""
        if not self._rate:
            return 0.0
        left = self._left(agent)
        return 0.0 if left > 0 else (1.0 - left) / self._rate

    def charge(self, agent: str, events: int) -> None:
        """Take so many events off."""
        if not self._rate:
            return
        self._buckets[agent] = (self._left(agent) - events, self._clock())
        self._buckets.move_to_end(agent)
        while len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)

    def _left(self, agent: str) -> float:
        known = self._buckets.get(agent)
        if known is None:
            return self._burst
        left, at = known
        return min(self._burst, left + self._rate * (self._clock() - at))

"""Bounded state for detectors: a table of the keys seen last, sliding windows, and when to speak up again.

Times are seconds since 1970 as floats (an event's ``timestamp()``), because windows compare and subtract millions of
them. Windows follow the newest time they have seen; an event from before the window is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sized
from heapq import heappop, heappush, heapreplace
from itertools import islice
from typing import Generic, TypeVar

#: Values a :class:`Watch` holds at most, and things a :class:`Rate` counts at most.
KEPT = 4096
#: Things that all windows of one table hold at most.
VALUES = 32_768
#: Uses of a table after which it is seen whether it holds more.
_LOOK = 4096

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")


class Recent(Generic[K, S]):
    """State by key for the ``limit`` keys used last; what is pushed out is counted in ``evicted``.

    Args:
        limit: keys at most.
        make: the state of a new key.
        values: things that all states together may hold at most (their ``len``); those used longest ago are pushed out
            for it. Looked after every few thousand uses, so that it is exceeded by at most as many. None: no such bound
            is needed, because a state's own is small.
    """

    __slots__ = ("_make", "_table", "_uses", "_values", "evicted", "limit")

    def __init__(self, limit: int, make: Callable[[], S], values: int | None = None) -> None:
        self.limit = limit
        self.evicted = 0
        self._make = make
        self._table: dict[K, S] = {}
        self._values = values
        self._uses = 0

    def of(self, key: K) -> S:
        """The state of a key, made if it is new."""
        table = self._table
        state = table.pop(key, None)
        if state is None:
            state = self._make()
            if len(table) >= self.limit:
                del table[next(iter(table))]
                self.evicted += 1
        table[key] = state
        self._uses += 1
        if self._uses >= _LOOK and self._values is not None:
            self._uses = 0
            self._make_room(self._values)
        return state

    def _make_room(self, values: int) -> None:
        excess = self.held() - values
        table = self._table
        while excess > 0 and len(table) > 1:
            key = next(iter(table))
            excess -= _size(table.pop(key))
            self.evicted += 1

    def held(self) -> int:
        """How many things all states hold."""
        return sum(map(_size, self._table.values()))

    def find(self, key: K) -> S | None:
        """The state of a key if it has one, which counts as a use."""
        state = self._table.pop(key, None)
        if state is not None:
            self._table[key] = state
        return state

    def drop(self, key: K) -> None:
        """Forget a key that is kept elsewhere now; this is no eviction."""
        self._table.pop(key, None)

    def widen(self, times: int) -> None:
        """Take so many times as much."""
        self.limit *= times
        if self._values is not None:
            self._values *= times

    def known(self, key: K) -> bool:
        """Whether a key has state, without making any."""
        return key in self._table

    def items(self) -> Iterable[tuple[K, S]]:
        """Keys with their state, the one used longest ago first."""
        return self._table.items()

    def __len__(self) -> int:
        return len(self._table)


def _size(state: object) -> int:
    return len(state) if isinstance(state, Sized) else 1


class Distinct:
    """The different values seen within a sliding window, each with a weight (a flag, a length) of its last sight.

    Exact for values in any order of time. About 200 bytes, and 250 bytes a value (measured).
    """

    __slots__ = ("_newest", "_order", "_seen", "weight")

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[float, int]] = {}
        # One entry a value: the time it had when it was last looked at, and a number that keeps values uncompared.
        self._order: list[tuple[float, int, Hashable]] = []
        self._newest = float("-inf")
        #: Sum of the weights of the values in the window.
        self.weight = 0

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, value: Hashable, at: float, window: float, weight: int = 0) -> int:
        """Take in a value seen at ``at``; how many different ones the window now holds (0 if ``at`` is too old)."""
        newest = self._newest
        if at > newest:
            newest = self._newest = at
        oldest = newest - window
        if at < oldest:
            return 0
        previous = self._seen.get(value)
        if previous is None:
            heappush(self._order, (at, len(self._order), value))
        else:
            self.weight -= previous[1]
            at = max(at, previous[0])
        self._seen[value] = (at, weight)
        self.weight += weight
        if self._order[0][0] < oldest:
            self._forget(oldest)
        return len(self._seen)

    def full(self, at: float, window: float) -> bool:
        """Whether :data:`KEPT` values lie in the window that ends at ``at``: then no more should be added."""
        if len(self._seen) < KEPT:
            return False
        self._newest = max(self._newest, at)
        self._forget(self._newest - window)
        return len(self._seen) >= KEPT

    def _forget(self, oldest: float) -> None:
        order = self._order
        while order and order[0][0] < oldest:
            _, number, value = order[0]
            seen, weight = self._seen[value]
            if seen >= oldest:
                heapreplace(order, (seen, number, value))
            else:
                heappop(order)
                del self._seen[value]
                self.weight -= weight

    def values(self, most: int) -> list[Hashable]:
        """Up to ``most`` of the values, in the order in which they first came."""
        return list(islice(self._seen, most))

    def first(self) -> float:
        """When the oldest value was seen, at most as early as it first was."""
        return self._order[0][0] if self._order else self._newest


class Rate:
    """How many things happened within a sliding window, and the sum of their weights.

    Exact in any order of time, up to :data:`KEPT` things; of more only the latest count. 90 bytes a thing (measured).
    """

    __slots__ = ("_newest", "_times", "weight")

    def __init__(self) -> None:
        self._times: list[tuple[float, int]] = []
        self._newest = float("-inf")
        self.weight = 0

    def __len__(self) -> int:
        return len(self._times)

    def add(self, at: float, window: float, weight: int = 0) -> int:
        """Take in one thing; how many the window now holds (0 if ``at`` is too old)."""
        newest = self._newest
        if at > newest:
            newest = self._newest = at
        oldest = newest - window
        if at < oldest:
            return 0
        heappush(self._times, (at, weight))
        self.weight += weight
        while self._times[0][0] < oldest or len(self._times) > KEPT:
            self.weight -= heappop(self._times)[1]
        return len(self._times)

    def first(self) -> float:
        """When the oldest thing in the window happened."""
        return self._times[0][0] if self._times else self._newest


class Ladder:
    """When to speak: at the threshold, then each time the figure is ten times what was last said.

    After a pause of ``quiet`` seconds it is a new cause and speaks at the threshold again. About 80 bytes.
    """

    __slots__ = ("_last", "said")

    def __init__(self) -> None:
        #: The figure that was said last; 0 before anything was.
        self.said = 0
        self._last = float("-inf")

    def speaks(self, figure: int, threshold: int, at: float, quiet: float) -> bool:
        """Whether a signal is due for this figure at this time."""
        if figure < threshold:
            return False
        fresh = at - self._last > quiet
        self._last = max(self._last, at)
        if fresh or figure >= 10 * self.said:
            self.said = figure
            return True
        return False


class Growth:
    """How often one cause happened within a window, and when to speak of it."""

    __slots__ = ("ladder", "rate")

    def __init__(self) -> None:
        self.rate = Rate()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.rate)

    def grows(self, at: float, window: float, threshold: int) -> int:
        """The number of times if a signal is due for it, else 0."""
        count = self.rate.add(at, window)
        return count if self.ladder.speaks(count, threshold, at, window) else 0


class Watch:
    """Different things of one cause within a window, and when to speak of them.

    Holds at most :data:`KEPT` values: a larger cause has been reported three times by then and is not counted on.
    """

    __slots__ = ("ladder", "seen")

    def __init__(self) -> None:
        self.seen = Distinct()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.seen)

    def grows(self, value: Hashable, at: float, window: float, threshold: int, weight: int = 0) -> int:
        """The number of different values if a signal is due for it, else 0."""
        if self.seen.full(at, window):
            return 0
        count = self.seen.add(value, at, window, weight)
        return count if self.ladder.speaks(count, threshold, at, window) else 0


class Heaviest:
    """The sixteen things that weigh most, of any number of them.

    Weights are at most too high by that of the lightest one kept. Source: Metwally et al., "Efficient computation of
    frequent and top-k elements in data streams" (Space-Saving), 2005. About 2 kB.
    """

    __slots__ = ("_weights", "total")

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        #: Of everything, kept or not.
        self.total = 0

    def add(self, thing: str, weight: int) -> None:
        """Take in a weight."""
        weights = self._weights
        self.total += weight
        if thing in weights or len(weights) < 16:
            weights[thing] = weights.get(thing, 0) + weight
            return
        lightest = min(weights, key=weights.__getitem__)
        weights[thing] = weights.pop(lightest) + weight

    def largest(self) -> tuple[str, int]:
        """What weighs most, and its weight; an empty name before anything was added."""
        return max(self._weights.items(), key=lambda item: item[1], default=("", 0))

    def clear(self) -> None:
        """Begin again."""
        self._weights.clear()
        self.total = 0

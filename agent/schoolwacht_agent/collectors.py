"""Which collector is tried next, and when: fail-over with waits that grow and are random. No I/O.

The first collector of the list that does not rest is taken, so that the preferred one gets the batches again as soon
as its rest is over. A collector that fails rests for a random time below a bound that doubles ("full jitter"), so that
ten thousand agents do not come back at once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FIRST = 0.5
#: Rest of a collector that refuses the key, seconds: a person has to act, haste is no help.
REFUSED_FIRST, REFUSED_MAX = 60.0, 900.0


@dataclass(slots=True)
class _Member:
    url: str
    failures: int = 0
    rests_until: float = 0.0


class Collectors:
    """The collectors of an agent.

    Args:
        urls: most preferred first; at least one.
        longest: bound of a wait after failures, seconds.
        clock: seconds, only differences count.
        chance: gives a number in [0, 1).
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._members = [_Member(url.rstrip("/")) for url in urls]
        self._longest = longest
        self._clock = clock
        self._chance = chance
        self._all_rest_until = 0.0
        self._retries = 0

    def choose(self) -> tuple[str | None, float]:
        """The collector to try now, and 0; or None and the seconds until one can be tried."""
        now = self._clock()
        if self._all_rest_until > now:
            return None, self._all_rest_until - now
        for member in self._members:
            if member.rests_until <= now:
                return member.url, 0.0
        return None, min(member.rests_until for member in self._members) - now

    def works(self, url: str) -> bool:
        """A collector has given verdicts. Returns whether it had failed before."""
        member = self._of(url)
        failed, member.failures, member.rests_until = member.failures > 0, 0, 0.0
        return failed

    def fails(self, url: str, wait: float | None = None) -> None:
        """A collector cannot be used now; ``wait`` is what it asked for."""
        member = self._of(url)
        member.failures += 1
        member.rests_until = self._clock() + self._wait(member.failures, wait)

    def refuses(self, url: str) -> None:
        """A collector does not know the key or has disabled the agent."""
        member = self._of(url)
        member.failures += 1
        bound = min(REFUSED_MAX, REFUSED_FIRST * 2.0 ** min(member.failures - 1, 20))
        member.rests_until = self._clock() + bound * (0.5 + self._chance() / 2)

    def rest(self, wait: float | None, *, little: bool = False) -> None:
        """Everything waits: what the collectors asked for, or a bound that doubles with each call.

        ``little``: most events were taken, so a short wait will do.
        """
        self._retries += 1
        seconds = self._wait(self._retries, wait)
        self._all_rest_until = self._clock() + (min(seconds, 1.0) if little and wait is None else seconds)

    def flows(self) -> None:
        """Every event of a batch was settled: the next wait begins small again."""
        self._retries = 0

    def _wait(self, failures: int, wait: float | None) -> float:
        if wait is not None:
            # A little more, at random: all agents were told the same.
            return wait * (1.0 + self._chance() / 4)
        return self._chance() * min(self._longest, _FIRST * 2.0 ** min(failures, 20))

    def _of(self, url: str) -> _Member:
        return next(member for member in self._members if member.url == url)

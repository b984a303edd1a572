"""Jobs that run beside the intake: supervised, started again when they fail, and visible.

Promise: a job that throws is logged with its error and runs again after a pause that grows to half a minute; its state
can be read at any time. Limits: a job that hangs looks as if it ran.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Make: TypeAlias = Callable[[], Awaitable[None]]

_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
#: A job that ran this long before it failed starts again after the shortest pause.
_HEALTHY = 60.0
RUNNING = "running"
_logger = logging.getLogger(__name__)


class Jobs:
    """A group of jobs that start and stop together."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._states: dict[str, str] = {}

    def start(self, name: str, make: Make) -> None:
        """Run ``make()`` as the job ``name`` until :meth:`stop`."""
        self._states[name] = RUNNING
        self._tasks[name] = asyncio.create_task(self._supervise(name, make), name=f"job {name}")

    def states(self) -> dict[str, str]:
        """Each job's state: ``running``, or what it failed with and that it will be started again."""
        return dict(self._states)

    async def stop(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        self._states.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, name: str, make: Make) -> None:
        loop = asyncio.get_running_loop()
        pause = _PAUSE
        while True:
            began = loop.time()
            try:
                await make()
                why = "it ended"
                _logger.error("job %s ended, which it never should; it is started again", name)
            except Exception as error:  # the border of a job: others go on
                why = f"{type(error).__name__}: {error}"
                _logger.exception("job %s failed; it is started again", name)
            if loop.time() - began > _HEALTHY:
                pause = _PAUSE
            self._states[name] = f"waits to be started again after: {why}"
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._states[name] = RUNNING

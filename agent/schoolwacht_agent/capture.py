"""From a source through the steps into the spool: what the capturing process does all day.

Events are kept in groups, because each group costs an fsync: when 500 are there, when half a second has passed since
the first, or at once when a signal is among them. If the disk refuses, the source is held back and the same group is
kept again until it works.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from schoolwacht.errors import SpoolError
from schoolwacht.event import Event
from schoolwacht_agent.shed import Shed
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.spool import Writer
from schoolwacht_agent.spool.format import SIGNAL_DATASETS
from schoolwacht_agent.steps import Steps

log = logging.getLogger(__name__)

GROUP = 500
GROUP_SECONDS = 0.5
#: Seconds between two attempts to keep a group that the disk refuses.
AGAIN_SECONDS = 0.5


class Capture:
    """One run of one source.

    Args:
        source: open.
        steps: what events go through.
        writer: the spool.
        held: called with the seconds that the source was held back, after each attempt.
        attended: called after every list, also an empty one; may return events of its own to keep.
        seen: called with every list as the source gave it.
        shed: what is not kept where the agent cannot keep up; None keeps all.
    """

    def __init__(
        self,
        source: Source,
        steps: Steps,
        writer: Writer,
        *,
        held: Callable[[float], None] = lambda _: None,
        attended: Callable[[], list[Event]] = list,
        seen: Callable[[list[Event]], None] = lambda _: None,
        shed: Shed | None = None,
    ) -> None:
        self._source = source
        self._steps = steps
        self._writer = writer
        self._held = held
        self._attended = attended
        self._seen = seen
        self._shed = shed
        self._stopping = False
        self._group: list[Event] = []
        self._since = 0.0
        self.kept = 0

    def stop(self) -> None:
        """End :meth:`run` soon, with what the source still holds. Safe in a signal handler."""
        self._stopping = True
        self._source.stop()

    def run(self, lists: Iterable[list[Event]] | None = None) -> None:
        """Until the source ends. Raises SourceError, after what could be read is kept.

        Raises SpoolError only if it was told to stop and the disk refuses the last group.

        Args:
            lists: the source's lists where something stands between it and here; default ``source.read()``.
        """
        try:
            for events in self._source.read() if lists is None else lists:
                self.take(events)
        finally:
            self._group += self._steps.finish()
            self._keep()

    def take(self, events: list[Event]) -> None:
        """Take one list of the source; an empty one says that time passes."""
        self._seen(events)
        judged = self._steps.through(events) if events else self._steps.idle()
        if self._shed is not None:
            judged = self._shed.keep(judged)
        judged += self._attended()
        if judged and not self._group:
            self._since = time.monotonic()
        self._group += judged
        urgent = any(event.event_dataset in SIGNAL_DATASETS for event in judged)
        late = time.monotonic() - self._since >= GROUP_SECONDS
        if self._group and (urgent or late or not events or len(self._group) >= GROUP):
            self._keep()

    def _keep(self) -> None:
        if not self._group:
            return
        mark = self._source.mark()
        refused = False
        while True:
            try:
                self.kept += self._writer.append(self._group, mark)
            except SpoolError as error:
                if not refused:
                    log.warning("%s; the source is held back until it works", error)
                    refused = True
                if self._stopping:
                    log.warning("stopping with %d events that could not be kept", len(self._group))
                    raise
                time.sleep(AGAIN_SECONDS)
                self._held(AGAIN_SECONDS)
            else:
                if refused:
                    log.info("the spool takes events again")
                self._group = []
                return

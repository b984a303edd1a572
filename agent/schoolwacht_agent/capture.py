"""From a source through the steps into the spool: what the capturing process does all day.

Events are kept in groups, because each group costs an fsync: when 500 are there, when half a second has passed since
the first, or at once when a signal is among them. A second thread writes the group, so that packets are read on while
the disk takes its time; meanwhile the next group grows. If it grows too large, or if the disk refuses, the source is
held back and the same group is kept again until it works.

With each group a record of what was counted into sums and sightings is kept (``minimise/journal.py``); where there is
no group, such a record alone, every two seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from schoolwacht.errors import SpoolError
from schoolwacht.event import Event
from schoolwacht_agent.minimise.journal import Entry, Journal
from schoolwacht_agent.shed import Shed
from schoolwacht_agent.sources.port import Source
from schoolwacht_agent.spool import Packed, Writer, pack
from schoolwacht_agent.spool.format import SIGNAL_DATASETS
from schoolwacht_agent.steps import Steps
from schoolwacht_agent.unkept import Unkept

log = logging.getLogger(__name__)

GROUP = 500
GROUP_SECONDS = 0.5
#: Events that may wait while a group is being written: a second of a busy sensor.
WAITING = 5000
#: Longest time for which what was counted is in memory only.
COUNTS_SECONDS = 2.0
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
        journal: keeps what was counted and has not gone out; None keeps nothing of it.
        unkept: says what would be lost now.
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
        journal: Journal | None = None,
        unkept: Unkept | None = None,
    ) -> None:
        self._source = source
        self._steps = steps
        self._writer = writer
        self._held = held
        self._attended = attended
        self._seen = seen
        self._shed = shed
        self._journal = journal
        self._unkept = unkept
        self._entry: Entry | None = None
        self._kept_at = time.monotonic()
        #: Of the events that cannot be had again: those in the group that is being written, and those that are kept.
        self._writing = self._safe = 0
        self._stopping = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._written: Future[int] | None = None
        self._packed = Packed([], [], (0, 0))
        self._mark = b""
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
            try:
                self.settle()
            finally:
                self._disk.shutdown()
                if self._journal is not None:
                    self._journal.close()

    def settle(self) -> None:
        """Return when all that was taken is kept. Raises SpoolError if it was told to stop and the disk refuses."""
        self._is_free(patient=True)
        if self._group or (self._journal is not None and self._journal.is_behind()):
            self._keep()
            self._is_free(patient=True)
        if self._unkept is not None:
            self._unkept.note(self._unkept.taken)

    def take(self, events: list[Event]) -> None:
        """Take one list of the source; an empty one says that time passes."""
        self._seen(events)
        if self._unkept is not None:
            self._unkept.take(events)
        judged = self._steps.through(events) if events else self._steps.idle()
        if self._shed is not None:
            judged = self._shed.keep(judged)
        judged += self._attended()
        if judged and not self._group:
            self._since = time.monotonic()
        self._group += judged
        urgent = any(event.event_dataset in SIGNAL_DATASETS for event in judged)
        now = time.monotonic()
        late = now - self._since >= GROUP_SECONDS
        due = urgent or late or not events or len(self._group) >= GROUP
        if self._is_free(patient=len(self._group) >= WAITING) and ((self._group and due) or self._is_behind(now)):
            self._keep()
        if self._unkept is not None:
            if self._written is None and not self._group and (self._journal is None or not self._journal.is_behind()):
                # What was seen is kept, or came to nothing that is kept.
                self._safe = self._unkept.taken
            self._unkept.note(self._safe)

    def _is_behind(self, now: float) -> bool:
        """Whether something was counted so long ago that it must not be in memory only."""
        return self._journal is not None and now - self._kept_at >= COUNTS_SECONDS and self._journal.is_behind()

    def _keep(self) -> None:
        """Have the group written."""
        self._packed, self._mark = pack(self._group), self._source.mark()
        if self._journal is not None:
            self._entry, self._mark = self._journal.next(self._mark)
        if self._unkept is not None:
            self._writing = self._unkept.taken
        self._group, self._kept_at = [], time.monotonic()
        self._write()

    def _write(self) -> None:
        self._written = self._disk.submit(self._put)

    def _put(self) -> int:
        """Runs in the thread that writes."""
        if self._journal is not None and self._entry is not None:
            self._journal.write(self._entry)
        number = self._writer.append_packed(self._packed, self._mark)
        if self._journal is not None:
            self._journal.settle()
        return number

    def _is_free(self, *, patient: bool) -> bool:
        """Whether the last group is kept; if ``patient``, or if the disk refuses, wait until it is."""
        refused = False
        while self._written is not None:
            if not (patient or refused or self._written.done()):
                return False
            try:
                self.kept += self._written.result(AGAIN_SECONDS)
            except TimeoutError:
                self._held(AGAIN_SECONDS)
            except SpoolError as error:
                if not refused:
                    log.warning("%s; the source is held back until it works", error)
                    refused = True
                if self._stopping:
                    log.warning("stopping with %d events that could not be kept", self._packed.number)
                    raise
                time.sleep(AGAIN_SECONDS)
                self._held(AGAIN_SECONDS)
                self._write()
            else:
                self._written = None
                self._safe = self._writing
        if refused:
            log.info("the spool takes events again")
        return True

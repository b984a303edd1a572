"""Events as the spool keeps them: each encoded, signals apart. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from schoolwacht.event import Event
from schoolwacht.wire import encode_event
from schoolwacht_agent.spool.format import RECORD_MAX, SIGNAL_DATASETS, Lane

log = logging.getLogger(__name__)


class Packed(NamedTuple):
    """A group of encoded events by lane, and how many of each lane could not be encoded."""

    signals: list[bytes]
    events: list[bytes]
    unfit: tuple[int, int]

    @property
    def number(self) -> int:
        """How many events there are."""
        return len(self.signals) + len(self.events)


def pack(events: Sequence[Event]) -> Packed:
    """Encode a group. An event that cannot be encoded, or that is too large to travel, is counted and left out."""
    lanes: tuple[list[bytes], list[bytes]] = ([], [])
    unfit = [0, 0]
    for event in events:
        lane = Lane.SIGNALS if event.event_dataset in SIGNAL_DATASETS else Lane.EVENTS
        try:
            raw = encode_event(event)
        except (TypeError, ValueError, OverflowError) as error:
            log.warning("an event of dataset %s cannot be encoded and is dropped: %s", event.event_dataset, error)
            unfit[lane] += 1
            continue
        if len(raw) > RECORD_MAX:
            log.warning("an event of dataset %s has %d bytes and is dropped", event.event_dataset, len(raw))
            unfit[lane] += 1
            continue
        lanes[lane].append(raw)
    return Packed(lanes[Lane.SIGNALS], lanes[Lane.EVENTS], (unfit[0], unfit[1]))

"""How often Python looks for cycles of dead objects where packets are read.

It looks after every 700 new containers, and a batch of packets is ten thousand tuples: a tenth of the engine's time
went into looking through batches, flows and modules that were all alive. What the line makes has no cycles (a flow
and its directions are undone by hand, ``flows.py``), so that counting references frees it at once. Looking seldom is
enough for the rest: exceptions with their frames, what libraries leave.
"""

from __future__ import annotations

import gc

#: New containers until the young are looked through, young looks until the middle, middle looks until all.
THRESHOLDS = (50_000, 20, 10)


def look_seldom() -> None:
    """Called once by a process that reads packets, when everything is loaded: what is there now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

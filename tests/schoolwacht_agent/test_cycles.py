from __future__ import annotations

import subprocess
import sys

from schoolwacht_agent.cycles import THRESHOLDS

PROGRAM = """
import gc
from schoolwacht_agent.cycles import look_seldom
look_seldom()
print(gc.get_threshold(), gc.get_freeze_count())
"""


def test_what_is_loaded_is_left_out_and_the_rest_looked_through_seldom() -> None:
    # In a process of its own: it cannot be undone for the modules that are loaded here.
    told = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    thresholds, frozen = told.rsplit(" ", 1)
    assert thresholds == str(THRESHOLDS)
    assert int(frozen) > 1_000

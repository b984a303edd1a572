"""The commands of ``schoolwacht`` that ask a collector: one module each, which ``GROUPS`` names."""

from __future__ import annotations

from schoolwacht_console.commands import agents, alerts, indicators, registered_tests, search, seen, tuning

#: In the order of the help.
GROUPS = (search, alerts, agents, seen, indicators, tuning, registered_tests)
#: Those with actions, of which ``list`` is the default.
LISTS = ("agents", "alerts", "indicators", "tuning", "tests")

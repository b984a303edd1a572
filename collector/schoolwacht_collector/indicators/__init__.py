"""Indicators: read in the formats that CERTs use, checked before they reach an agent, looked for in the past.

::

    file ─► read (FORMATS) ─► make ─► gate (warning lists, own, prevalence) ─► store ─► matching, agents, hunt
"""

from schoolwacht_collector.indicators.make import COLUMNS, CONFIDENCES, make_indicator
from schoolwacht_collector.indicators.read import FORMATS, load_indicators, parse_indicators

__all__ = ["COLUMNS", "CONFIDENCES", "FORMATS", "load_indicators", "make_indicator", "parse_indicators"]

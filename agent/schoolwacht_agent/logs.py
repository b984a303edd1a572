"""The agent's log: plain lines on stderr, for a terminal and for the journal alike.

No text from the network, no key: modules log fixed text, numbers, and our own errors, whose text is made safe where it
comes from a collector (``answer``).
"""

from __future__ import annotations

import logging
import sys

from schoolwacht_agent.config import LogLevel


def configure(level: LogLevel = LogLevel.INFO) -> None:
    """Log to stderr from ``level`` on; libraries only their warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("schoolwacht_agent").setLevel(level.value.upper())

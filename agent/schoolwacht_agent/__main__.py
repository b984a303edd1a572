"""``python -m schoolwacht_agent``."""

from __future__ import annotations

import sys

from schoolwacht_agent.cli import main

sys.exit(main())

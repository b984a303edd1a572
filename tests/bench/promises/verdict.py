"""How a promise's command ends: each bound with what was measured, and a status that says whether all were kept."""

from __future__ import annotations

import sys
from typing import NoReturn


class Verdict:
    """Collects the bounds of one promise.

    Args:
        promise: its number and words in docs/promises.md.
    """

    def __init__(self, promise: str) -> None:
        self._kept = True
        print(promise, flush=True)

    def at_most(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        """A figure that must not be above its bound."""
        self._say(what, measured, f"at most {bound:,g}", unit, kept=measured <= bound)

    def exactly(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        """A figure that must be its bound."""
        self._say(what, measured, f"{bound:,g}", unit, kept=measured == bound)

    def note(self, text: str) -> None:
        """Something without a bound."""
        print(f"  {text}", flush=True)

    def end(self) -> NoReturn:
        """Exit with 0 if every bound was kept, else 1."""
        print("  kept" if self._kept else "  NOT KEPT", flush=True)
        sys.exit(0 if self._kept else 1)

    def _say(self, what: str, measured: float, bound: str, unit: str, *, kept: bool) -> None:
        self._kept &= kept
        figure = f"{measured:,.3f}".rstrip("0").rstrip(".")
        print(f"  {what}: {figure} {unit}".rstrip() + f" (asked: {bound}{'' if kept else '; FAILED'})", flush=True)

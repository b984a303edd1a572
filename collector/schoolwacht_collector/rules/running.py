"""The Sigma rules that the intake matches: loaded from a folder, exchanged whole when the folder changes.

Promise: a change is matched within :data:`INTERVAL` seconds; a batch is matched by one set from beginning to end, and
none waits for the exchange. A faulty file is left out and told, the others match. A folder that suddenly has less than
half of the rules, or none at all, is most likely being written: the old set stays, and that is told.
Limits: the file system is asked by time and size of files.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TypeAlias

from schoolwacht.errors import RuleError
from schoolwacht_collector.rules.read import files, read
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.rules.settings import RuleSettings
from schoolwacht_collector.rules.shipped import shipped_rules
from schoolwacht_collector.rules.sigma import matchers

#: Seconds between two looks at the folder.
INTERVAL = 5.0
#: What a set was made of: the settings, and of each file its path, time (ns) and size (bytes).
_State: TypeAlias = tuple[RuleSettings, tuple[tuple[str, int, int], ...]]
_logger = logging.getLogger(__name__)


class Rules:
    """The current set of rules, as ``current``, and what is wrong with the folder, as ``faults``."""

    def __init__(self, settings: RuleSettings) -> None:
        self.current = RuleSet(())
        self.faults: list[RuleError] = []
        #: May be exchanged; the next look takes them up.
        self.settings = settings
        self._state: _State | None = None

    async def load(self) -> None:
        """Read the rules, unless nothing changed since the last time; what cannot be read is kept in ``faults``."""
        # In a thread: a set of hundreds takes a second, and nothing else uses the new one yet.
        try:
            state, made = await asyncio.to_thread(self._look)
        except RuleError as error:
            self._tell([error])
            return
        if made is None:
            return
        ruleset, faults = made
        self._state = state
        if ruleset.size * 2 < self.current.size:
            faults = [
                *faults,
                RuleError(
                    f"has {ruleset.size} rules that can be used, less than half of the {self.current.size} that are"
                    " matched: those stay; restart the collector if that is meant",
                    path=str(folder(self.settings)),
                ),
            ]
        else:
            self.current = ruleset
            _logger.info("%d Sigma rules are matched", ruleset.size)
        self._tell(faults)

    async def run(self) -> None:
        """Load again whenever the folder changed, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.load()

    def states(self) -> dict[str, object]:
        """For ``/readyz``: how many match, and what is wrong, without text of rules."""
        return {
            "rules": self.current.size,
            "rules_faulty": len(self.faults),
            "rules_removed": sorted(self.current.removed),
        }

    def _look(self) -> tuple[_State, tuple[RuleSet, list[RuleError]] | None]:
        settings = self.settings
        paths = files([folder(settings)])
        try:
            found = tuple((str(path), (each := path.stat()).st_mtime_ns, each.st_size) for path in paths)
        except OSError as error:
            raise RuleError(f"cannot be looked at: {error.strerror}", path=str(error.filename)) from error
        state = (settings, found)
        return state, None if state == self._state else ruleset_of(paths, settings)

    def _tell(self, faults: list[RuleError]) -> None:
        told = {str(each) for each in self.faults}
        for each in faults:
            if str(each) not in told:
                _logger.error("a rule is not matched: %s", each)
        self.faults = faults


def folder(settings: RuleSettings) -> Path:
    """Where the Sigma rules are. Raises RuleError if the installation lacks its own."""
    return Path(settings.directory) if settings.directory else shipped_rules() / "sigma"


def ruleset_of(paths: list[Path], settings: RuleSettings) -> tuple[RuleSet, list[RuleError]]:
    """The rules of these files, and what is wrong with the others."""
    rules, faults = read(paths)
    found, unfit = matchers(rules)
    return RuleSet(found, budget_us=settings.budget_us), faults + unfit

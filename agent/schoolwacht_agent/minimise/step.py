"""The step ``minimise``: the last before the spool. What is kept and sent has gone through here.

For each event of a zone: counted among the sightings; then, by the zone's level, treated and passed on, counted into a
sum, or left. Signals and health are treated and passed on at every level. Events are changed in place.

Time is the events' own: the same events give the same sums and sightings, on replay too. Where no event comes for
longer, :meth:`Minimise.idle` ends the minute by the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.minimise.compiled import Compiled
from schoolwacht_agent.minimise.hosts import Hosts
from schoolwacht_agent.minimise.keys import Epoch, Keys
from schoolwacht_agent.minimise.pseudonyms import Pseudonyms
from schoolwacht_agent.minimise.register import Register
from schoolwacht_agent.minimise.settings import Level
from schoolwacht_agent.minimise.sightings import SIGHTED, SightingChanges, Sightings
from schoolwacht_agent.minimise.sightings import Row as SightingRow
from schoolwacht_agent.minimise.sums import Row as SumRow
from schoolwacht_agent.minimise.sums import SumChanges, Sums

#: Schools and periods whose pseudonyms are held at once; a path of more computes some anew.
STATES = 1024
IDLE_SECONDS = 60.0
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_FULL, _SUMMARY = Level.FULL, Level.SUMMARY
_PASSED = frozenset({Dataset.SIGNAL, Dataset.HEALTH, Dataset.SUMMARY, Dataset.SIGHTING, Dataset.EVIDENCE})
_MINUTE = timedelta(minutes=1)
#: So much earlier than the minute that runs is no late event but another clock.
_BACK = timedelta(hours=1)
_START = datetime.min.replace(tzinfo=UTC)
#: Times further out leave no room to calculate with.
_EARLIEST, _LATEST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


class OpenCounts(NamedTuple):
    """What the journal keeps."""

    sums: SumChanges
    sightings: SightingChanges


class Policy(NamedTuple):
    """What the settings say.

    Args:
        levels: by the zone's name.
        default: for traffic in no zone.
        is_own: whether an address (text; and the VLAN, if one is known) gets a pseudonym.
        zone_of: the zone of an address by its network.
        readable_names: local names that stay.
        internal_domains: domains whose names are the school's machines.
        sums: sums held at once.
        sightings: sighted values held at once.
    """

    levels: Mapping[str | None, Level]
    default: Level
    is_own: Callable[[str, str | None], bool]
    zone_of: Callable[[str], str | None]
    readable_names: tuple[str, ...] = ()
    internal_domains: tuple[str, ...] = ()
    sums: int = 20_000
    sightings: int = 50_000


class _State:
    """The treatment for one school and period."""

    def __init__(self, epoch: Epoch, school: str | None, step: Minimise) -> None:
        policy = step.policy
        self.since, self.until = epoch.since, epoch.until
        self.school = school
        self.pseudonyms = Pseudonyms(
            epoch.key,
            school or "",
            epoch.name,
            is_own=lambda address: policy.is_own(address, step.vlan),
            zone_of=policy.zone_of,
            noted=lambda pseudonym, value: step.register.note(epoch.name, pseudonym, value),
        )
        self.hosts = Hosts(self.pseudonyms, policy.readable_names, policy.internal_domains)
        compiled = Compiled(self.pseudonyms, self.hosts, unlisted=step.note_unlisted)
        self.event, self.signal = compiled.event, compiled.signal


class Minimise:
    """The step. One object for one stretch of traffic.

    Args:
        policy: what the settings say.
        keys: of the board.
        register: of its pseudonyms.
    """

    def __init__(self, policy: Policy, keys: Keys, register: Register) -> None:
        self.policy = policy
        self.register = register
        #: The VLAN of the event that is being treated.
        self.vlan: str | None = None
        self._keys = keys
        self._states: dict[tuple[int, str | None], _State] = {}
        self._state = self._enter(_START, None)
        self._sums = Sums(policy.sums)
        self._sightings = Sightings(policy.sightings)
        self._minute_ends = self._floor = _START
        self._latest = _START
        self._took = time.monotonic()
        self._unlisted = 0

    def through(self, events: list[Event]) -> list[Event]:
        """What may be kept of the events, with the sums and sightings that are due."""
        kept: list[Event] = []
        levels, default = self.policy.levels, self.policy.default
        sums, see = self._sums, self._sightings.see
        state = self._state
        since, school, until = state.since, state.school, min(state.until, self._minute_ends)
        for event in events:
            moment = event.timestamp
            dataset = event.event_dataset
            if moment >= until or moment < since or event.school_location != school:
                if moment >= self._minute_ends and dataset not in _PASSED:
                    kept += self._turn(moment)
                state = self._enter(moment, event.school_location)
                since, school, until = state.since, state.school, min(state.until, self._minute_ends)
            self.vlan = event.network_vlan_id
            if dataset in _PASSED:
                state.signal(event)
                kept.append(event)
                continue
            level = levels.get(event.school_zone, default) if levels else default
            if dataset in SIGHTED:
                see(event, level, state.pseudonyms, state.hosts)
            if level is _FULL:
                state.event(event)
                kept.append(event)
            elif level is _SUMMARY and (early := sums.add(event, state.pseudonyms, state.hosts)):
                kept += early
        self._state = state
        if events and events[-1].timestamp < self._floor:
            # One event from the future must not hold up the sums until then.
            kept += self._turn(events[-1].timestamp)
        if self._sightings.full():
            kept += self._sightings.minute(self._latest)
        self.register.flush()
        self._took = time.monotonic()
        return kept

    def idle(self) -> list[Event]:
        """Called when no event came: after a minute of the clock, what was counted before it."""
        if not (len(self._sums) or len(self._sightings)) or time.monotonic() - self._took < IDLE_SECONDS:
            return []
        self._took = time.monotonic()
        return self.finish()

    def finish(self) -> list[Event]:
        """Everything that was counted and has not gone out: at the end."""
        return self._sums.take() + self._sightings.take()

    def open_counts(self) -> OpenCounts:
        """What has changed since the last call of what was counted and has not gone out."""
        return OpenCounts(self._sums.changes(), self._sightings.changes())

    def all_open_counts(self) -> OpenCounts:
        """Everything that was counted and has not gone out."""
        self._sums.touch_all()
        self._sightings.touch_all()
        return self.open_counts()

    def restore(self, sums: Iterable[SumRow], sightings: Iterable[SightingRow]) -> None:
        """Go on from what an earlier process had counted; before the first event."""
        self._sums.restore(sums)
        self._sightings.restore(sightings)

    @property
    def open_figures(self) -> tuple[int, int]:
        """Events in sums, and counts of sightings, that have not gone out."""
        return self._sums.events, self._sightings.counts

    def told_by(self, told: Callable[[str], bool]) -> None:
        """Let sightings know with which values signals of the agent's own indicators go out."""
        self._sightings.told = told

    def figures(self) -> dict[str, int]:
        """Figures for health, by name; totals only grow, what is held does not."""
        return {
            "minimise.sums": len(self._sums),
            "minimise.sums_early": self._sums.early,
            "minimise.sightings": len(self._sightings),
            "minimise.sightings_early": self._sightings.early,
            "minimise.unregistered": self.register.missed,
            "minimise.detail_left_out": self._unlisted,
        }

    def note_unlisted(self, _: str) -> None:
        """A key of ``nsm.detail`` that the table does not have."""
        self._unlisted += 1

    def _turn(self, moment: datetime) -> list[Event]:
        """A minute has ended: sums and sightings of it."""
        self._latest = moment = min(max(moment, _EARLIEST), _LATEST)
        self._minute_ends = moment.replace(second=0, microsecond=0) + _MINUTE
        self._floor = self._minute_ends - _BACK
        return self._sums.take() + self._sightings.minute(moment)

    def _enter(self, moment: datetime, school: str | None) -> _State:
        for (_, known), state in self._states.items():
            if known == school and state.since <= moment < state.until:
                return state
        epoch = self._keys.of(moment)
        if len(self._states) >= STATES:
            self._states.pop(next(iter(self._states)))
        state = self._states[epoch.number, school] = _State(epoch, school, self)
        return state

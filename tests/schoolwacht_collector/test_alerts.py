"""The folder against a brute-force model: whatever crashes, lateness and second leaders, the same alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import event as label
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.errors import StoreError
from schoolwacht.event import Event
from schoolwacht_collector.alerts import AlertClosed, Folder, NoSuchAlert, change_state
from schoolwacht_collector.fold import EXAMPLES, QUIET
from schoolwacht_collector.index.memory import MemoryStore
from schoolwacht_collector.index.port import Kind, Page, Search, Store
from schoolwacht_collector.index.settings import SqliteSettings
from schoolwacht_collector.index.sqlite import SqliteStore
from schoolwacht_collector.records import Alert, AlertState, Progress
from tests.schoolwacht_collector.made import NOW, Clock, signal, stored
from tests.schoolwacht_collector.unreliable import Crash, Unreliable, outage

_HOSTS = ("10.1.0.5", "10.1.0.6")


@dataclass(frozen=True)
class Arrive:
    """A signal becomes visible ``late`` seconds after it was stamped; its traffic is ``age`` seconds older."""

    host: int
    late: int
    age: int
    severity: str


@dataclass(frozen=True)
class Advance:
    seconds: int


@dataclass(frozen=True)
class Look:
    """A look, which a fault at some call may interrupt."""

    fault: str | None
    at: int
    after: bool


@dataclass(frozen=True)
class Restart:
    pass


@dataclass(frozen=True)
class Together:
    """This leader and another, whose clock differs, look at the same time."""


@dataclass(frozen=True)
class Change:
    host: int
    state: AlertState


Action = Arrive | Advance | Look | Restart | Together | Change

_ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        Arrive,
        st.sampled_from((0, 0, 0, 1)),
        st.sampled_from((0, 0, 1, 40, 100)),
        st.sampled_from((0, 5, 86_400 * 3)),
        st.sampled_from(("Critical", "Major", "Minor")),
    ),
    st.builds(Advance, st.sampled_from((1, 30, 100, 3_000, 50_000, 86_400 + 600, 3 * 86_400))),
    st.builds(Look, st.sampled_from((None, None, "crash", "outage")), st.integers(1, 14), st.booleans()),
    st.just(Restart()),
    st.just(Together()),
    st.builds(Change, st.just(0), st.sampled_from((AlertState.CLOSED, AlertState.ACKNOWLEDGED))),
)


@dataclass
class World:
    """The line's end under test: a store, the leader, and everything that was ever stored or changed by people."""

    real: Store
    clock: Clock = field(default_factory=Clock)
    signals: list[Event] = field(default_factory=list)
    changes: dict[str, AlertState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Unreliable(self.real)
        self.folder = self._folder()

    def _folder(self, skew: int = 0) -> Folder:
        return Folder(self.store, clock=lambda: self.clock.now + timedelta(seconds=skew))

    async def do(self, action: Action) -> None:
        match action:
            case Arrive(host, late, age, severity):
                arrived = self.clock.now - timedelta(seconds=late)
                made = signal(
                    f"{len(self.signals):06d}",
                    arrived=arrived,
                    at=arrived - timedelta(seconds=age),
                    entity=_HOSTS[host],
                    severity=severity,
                )
                self.signals.append(made)
                await self.real.create([made])
                self.clock.advance(0.001)
            case Advance(seconds):
                self.clock.advance(seconds)
            case Look(fault, at, after):
                await self._look(fault, at, after)
            case Restart():
                self.folder = self._folder()
            case Together():
                await asyncio.gather(self.folder.look(), self._folder(skew=15).look())
            case Change(host, state):
                await self._change(_HOSTS[host], state)

    async def _look(self, fault: str | None, at: int, after: bool) -> None:
        if fault is not None:
            self.store.fault = Crash() if fault == "crash" else outage()
            self.store.after = after
            self.store.fail_at = at
        try:
            await self.folder.look()
        except StoreError:
            label("outage")
        except (Crash, BaseExceptionGroup):
            label("crash")
            self.folder = self._folder()
        self.store.fail_at = None

    async def _change(self, host: str, state: AlertState) -> None:
        newest = (await self.alerts(host))[-1:]
        for alert in newest:
            if alert.state is not AlertState.CLOSED:
                await change_state(self.real, alert.id, state, by="analyst", reason="known", now=self.clock.now)
                self.changes[alert.id] = state

    async def settle(self) -> None:
        """Let the leader finish what it began."""
        for _ in range(3):
            self.clock.advance(31)
            await self.folder.look()

    async def alerts(self, host: str) -> list[Alert]:
        rows = await stored(self.real, Kind.ALERT)
        found = [msgspec.convert(row, Alert) for row in rows]
        return sorted((alert for alert in found if alert.entity == host), key=lambda alert: alert.since)

    async def check(self) -> None:
        for host in _HOSTS:
            alerts = await self.alerts(host)
            mine = [each for each in self.signals if each.signal_entity == host]
            for alert in alerts:
                expected = self.changes.get(alert.id, AlertState.OPEN)
                assert alert.state is expected
                assert alert.changed_by == (None if expected is AlertState.OPEN else "analyst")
            assert [_facts(alert) for alert in alerts] == [_counted(part) for part in _parts(mine, alerts)]
            for alert, part in zip(alerts, _parts(mine, alerts), strict=True):
                ids = [each.event_id for each in part]
                assert set(alert.examples) <= set(ids)
                if ids == sorted(str(name) for name in ids):  # nothing became visible late
                    assert alert.examples == tuple(dict.fromkeys([*ids[:1], *ids[-(EXAMPLES - 1) :]]))


def _parts(signals: Sequence[Event], alerts: Sequence[Alert]) -> list[list[Event]]:
    """Brute force: cut the signals, by arrival, where an alert was closed or a day was quiet."""
    parts: list[list[Event]] = []
    for each in sorted(signals, key=lambda one: (_arrival(one), str(one.event_id))):
        arrived = _arrival(each)
        if parts:
            alert = alerts[len(parts) - 1] if len(parts) <= len(alerts) else None
            closed = alert.changed_at if alert is not None and alert.state is AlertState.CLOSED else None
            if arrived - _arrival(parts[-1][-1]) < QUIET and (closed is None or arrived < closed):
                parts[-1].append(each)
                continue
        parts.append([each])
    return parts


def _arrival(each: Event) -> datetime:
    assert each.event_ingested is not None
    return each.event_ingested


def _counted(part: Sequence[Event]) -> tuple[int, datetime, datetime, datetime, int]:
    times = [each.timestamp for each in part]
    return len(part), min(times), max(times), _arrival(part[-1]), max(each.signal_score or 0 for each in part)


def _facts(alert: Alert) -> tuple[int, datetime, datetime, datetime, int]:
    return alert.count, alert.first, alert.last, alert.arrived, alert.score


@given(st.lists(_ACTIONS, max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_every_signal_is_in_exactly_one_alert(actions: list[Action]) -> None:
    async def play() -> None:
        world = World(MemoryStore())
        for action in actions:
            await world.do(action)
        await world.settle()
        await world.check()

    asyncio.run(play())


@given(actions=st.lists(_ACTIONS, max_size=25))
@settings(max_examples=12, deadline=None)
def test_the_same_holds_on_sqlite(tmp_path_factory: pytest.TempPathFactory, actions: list[Action]) -> None:
    async def play() -> None:
        store = SqliteStore(SqliteSettings(directory=str(tmp_path_factory.mktemp("store"))))
        await store.init()
        await store.open()
        try:
            world = World(store)
            for action in actions:
                await world.do(action)
            await world.settle()
            await world.check()
        finally:
            await store.close()

    asyncio.run(play())


async def _looked(store: Store, clock: Clock) -> list[Alert]:
    await Folder(store, clock=clock).look()
    return [msgspec.convert(row, Alert) for row in await stored(store, Kind.ALERT)]


async def test_a_redelivered_signal_counts_once() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a"), signal("b")])
    await store.create([signal("a", arrived=NOW + timedelta(seconds=30))])
    assert [alert.count for alert in await _looked(store, clock)] == [2]


async def test_signals_of_another_host_school_board_or_rule_are_another_alert() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create(
        [
            signal("a"),
            signal("b", entity="10.1.0.6"),
            signal("c", school="00AB01"),
            signal("d", board="41001"),
            signal("e", rule="2000002"),
        ]
    )
    assert [alert.count for alert in await _looked(store, clock)] == [1] * 5


async def test_old_traffic_that_arrives_now_is_counted_and_moves_only_the_first_time() -> None:
    store, clock = MemoryStore(), Clock()
    folder = Folder(store, clock=clock)
    await store.create([signal("a")])
    await folder.look()
    clock.advance(60)
    old = NOW - timedelta(days=5)
    await store.create([signal("b", arrived=clock.now, at=old)])
    await folder.look()
    (row,) = await stored(store, Kind.ALERT)
    alert = msgspec.convert(row, Alert)
    assert (alert.count, alert.first, alert.last) == (2, old, NOW)


async def test_the_score_is_the_greatest_even_if_it_is_not_among_the_newest() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a", severity="Minor"), signal("b", severity="Critical")])
    await store.create([signal(f"c{number}", severity="Minor") for number in range(20)])
    (alert,) = await _looked(store, clock)
    assert (alert.score, alert.severity.value) == (90, "critical")


async def test_signals_that_expire_do_not_lower_the_count() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a"), signal("b")])
    (alert,) = await _looked(store, clock)
    younger = MemoryStore()
    await younger.put(Kind.ALERT, alert, None)
    await younger.create([signal("b")])
    assert [each.count for each in await _looked(younger, clock)] == [2]


async def test_a_new_leader_begins_where_the_last_one_stood() -> None:
    store, clock = MemoryStore(), Clock()
    first = Folder(store, clock=clock)
    await first.look()
    clock.advance(3 * 3600)
    await store.create([signal("a", arrived=NOW + timedelta(hours=1))])
    assert [alert.count for alert in await _looked(store, clock)] == [1]


async def test_the_window_waits_for_keys_that_could_not_be_folded() -> None:
    real, clock = MemoryStore(), Clock()
    store = Unreliable(real)
    folder = Folder(store, clock=clock)
    await folder.look()
    begun = await _window(real)
    await real.create([signal("a", arrived=clock.now)])
    for _ in range(5):
        clock.advance(70)
        store.fault, store.fail_at = outage(), 3  # the tally and the ids pass, the first call for the key does not
        await folder.look()
    assert await _window(real) == begun
    clock.advance(70)
    await folder.look()
    assert await _window(real) > begun
    assert len(await stored(real, Kind.ALERT)) == 1


async def _window(store: Store) -> datetime:
    known = await store.get(Kind.PROGRESS, "fold")
    assert known is not None
    assert isinstance(known.record, Progress)
    return known.record.until


async def test_signals_that_make_no_alert_stop_no_other_alert() -> None:
    class Garbled(Unreliable):
        async def search(self, search: Search) -> Page:
            page = await super().search(search)
            rows = [row | {"signal.score": "?"} if row.get("event.id") == "a" else row for row in page.rows]
            return page._replace(rows=rows)

    store, clock = Garbled(MemoryStore()), Clock()
    await store.create([signal("a"), signal("b", entity="10.1.0.6")])
    assert [alert.entity for alert in await _looked(store, clock)] == ["10.1.0.6"]


async def test_a_flood_of_one_key_costs_as_few_calls_as_one_signal() -> None:
    async def calls(signals: int) -> int:
        clock = Clock()
        real = MemoryStore()
        store = Unreliable(real)
        folder = Folder(store, clock=clock)
        await folder.look()
        before = store.calls
        for start in range(0, signals, 500):
            await real.create([signal(f"{start + each:06d}", arrived=clock.now) for each in range(500)])
        await folder.look()
        return store.calls - before

    assert await calls(5000) <= await calls(500) <= 10


async def test_an_alert_of_many_signals_is_counted_again_after_a_rest() -> None:
    clock = Clock()
    real = MemoryStore()
    store = Unreliable(real)
    folder = Folder(store, clock=clock)
    await real.create([signal(f"{each:06d}", arrived=clock.now) for each in range(2500)])
    await folder.look()
    await real.create([signal("late", arrived=clock.now)])
    clock.advance(1)
    before = store.calls
    assert await folder.look() == 0
    assert store.calls - before == 1  # only the tally of the window
    clock.advance(2)
    assert await folder.look() == 1


async def test_more_keys_than_one_answer_holds_are_all_found() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal(f"{each}", entity=f"10.1.0.{each}") for each in range(120)])
    await Folder(store, clock=clock, most_keys=5).look()
    assert len(await stored(store, Kind.ALERT)) == 120


async def test_a_running_folder_opens_an_alert_soon_after_a_nudge_and_says_so() -> None:
    store = MemoryStore()
    changed = asyncio.Event()
    folder = Folder(store, on_change=changed.set)
    running = asyncio.create_task(folder.run())
    await asyncio.sleep(0.05)
    now = datetime.now(UTC)
    await store.create([signal("a", arrived=now)])
    folder.nudge()
    await asyncio.wait_for(changed.wait(), 3)
    running.cancel()
    assert len(await stored(store, Kind.ALERT)) == 1


async def test_after_a_nudge_a_signal_that_is_shown_a_second_later_is_found_too() -> None:
    store = MemoryStore()
    changed = asyncio.Event()
    folder = Folder(store, on_change=changed.set)
    running = asyncio.create_task(folder.run())
    await asyncio.sleep(0.05)
    arrived = datetime.now(UTC)
    folder.nudge()
    await asyncio.sleep(1.0)
    await store.create([signal("a", arrived=arrived)])
    await asyncio.wait_for(changed.wait(), 3)  # well before the next idle look
    running.cancel()


async def test_a_running_folder_survives_an_outage() -> None:
    real = MemoryStore()
    store = Unreliable(real)
    store.fault, store.fail_at = outage(), 1
    changed = asyncio.Event()
    folder = Folder(store, on_change=changed.set)
    await real.create([signal("a", arrived=datetime.now(UTC))])
    running = asyncio.create_task(folder.run())
    await asyncio.wait_for(changed.wait(), 5)
    running.cancel()


async def test_closing_says_who_when_and_why() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a")])
    (alert,) = await _looked(store, clock)
    clock.advance(5)
    closed = await change_state(store, alert.id, AlertState.CLOSED, by="ann", reason="a test", now=clock.now)
    known = await store.get(Kind.ALERT, alert.id)
    assert known is not None
    assert known.record == closed
    assert (closed.changed_by, closed.changed_at, closed.reason) == ("ann", clock.now, "a test")


async def test_a_closed_alert_cannot_be_opened_again() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a")])
    (alert,) = await _looked(store, clock)
    await change_state(store, alert.id, AlertState.CLOSED, by="ann", reason=None, now=clock.now)
    with pytest.raises(AlertClosed, match="the next signal opens a new one"):
        await change_state(store, alert.id, AlertState.OPEN, by="bob", reason=None, now=clock.now)


async def test_a_change_of_no_alert_says_so() -> None:
    with pytest.raises(NoSuchAlert, match="no alert 0000"):
        await change_state(MemoryStore(), "0000", AlertState.CLOSED, by="ann", reason=None, now=NOW)


async def test_a_state_that_is_set_twice_keeps_who_was_first() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a")])
    (alert,) = await _looked(store, clock)
    await change_state(store, alert.id, AlertState.ACKNOWLEDGED, by="ann", reason=None, now=clock.now)
    again = await change_state(store, alert.id, AlertState.ACKNOWLEDGED, by="bob", reason=None, now=clock.now)
    assert again.changed_by == "ann"


async def test_closing_by_a_clock_that_is_behind_keeps_what_was_counted() -> None:
    store, clock = MemoryStore(), Clock()
    await store.create([signal("a")])
    (alert,) = await _looked(store, clock)
    await change_state(store, alert.id, AlertState.CLOSED, by="ann", reason=None, now=NOW - timedelta(seconds=20))
    clock.advance(1)
    assert [each.count for each in await _looked(store, clock)] == [1]


async def test_two_changes_at_once_leave_one_winner_and_no_lost_count() -> None:
    clock = Clock()
    store = Unreliable(MemoryStore())
    await store.create([signal("a")])
    (alert,) = await _looked(store, clock)
    await store.create([signal("b", arrived=clock.now)])
    await asyncio.gather(
        Folder(store, clock=clock).look(),
        change_state(store, alert.id, AlertState.ACKNOWLEDGED, by="ann", reason=None, now=clock.now),
    )
    (after,) = await _looked(store, clock)
    assert (after.count, after.state, after.changed_by) == (2, AlertState.ACKNOWLEDGED, "ann")

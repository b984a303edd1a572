from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.account import DETAIL, Totals, decode_account
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.attend import Attendant
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.health import Beats, Condition, Finding, last_beat
from schoolwacht_agent.shed import Kind, Shed
from schoolwacht_agent.sight import Sight
from schoolwacht_agent.spool import Writer
from schoolwacht_agent.standpoint.gateway import Gateway
from tests.schoolwacht_agent.test_capture import Listed


class Clock:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Scene:
    def __init__(self, root: Path, clock: Clock) -> None:
        self.root, self.clock = root, clock
        self.source = Listed()
        counters = self.source.counters
        self.shed = Shed(counters)
        self.attendant = Attendant(
            self.source, Gateway(Homes()), Sight(counters, interface="", state=root), self.shed,
            Beats(root, "capture"), spool=root / "spool", period=60.0,
        )  # fmt: skip

    def after(self, seconds: float, *, packets: int = 1000, dropped: int = 0) -> list[str | None]:
        self.source.counters.packets += packets
        self.source.counters.dropped += dropped
        self.clock.now += seconds
        return [event.health_condition for event in self.attendant.attend()]


@pytest.fixture
def scene(tmp_path: Path, clock: Clock) -> Scene:
    return Scene(tmp_path, clock)


def test_what_is_newly_wrong_is_told_at_once_and_again_in_the_report(scene: Scene) -> None:
    assert scene.after(6) == []
    assert scene.after(6, dropped=100) == ["dropping"]
    assert scene.after(6, dropped=100) == []
    assert scene.after(6) == []
    assert scene.after(40) == ["dropping"]
    assert scene.after(60) == ["ok"]


def test_a_report_comes_by_itself(scene: Scene) -> None:
    assert [scene.after(20) for _ in range(3)] == [[], [], ["ok"]]


def test_what_happened_before_is_in_the_first_report(scene: Scene) -> None:
    scene.attendant.tell(Finding(Condition.BLIND, 7.0, "nothing was captured for 7 s"))
    assert scene.after(60) == ["blind"]
    assert scene.after(60) == ["ok"]


def test_overload_sheds_and_says_so(scene: Scene) -> None:
    scene.source.counters.behind = 1.0
    assert scene.after(6) == []
    assert scene.shed.level == 1


def test_a_beat_says_what_is_wrong_and_what_to_do(scene: Scene) -> None:
    scene.after(6, dropped=100)
    scene.after(6, packets=0)
    found = last_beat(scene.root, "capture")
    assert found is not None
    (trouble,) = found[0].troubles
    assert trouble.condition == "dropping"
    assert "ring_mib" in trouble.remedy


def test_a_report_accounts_for_the_spool_and_for_what_this_run_and_the_last_shed(tmp_path: Path, clock: Clock) -> None:
    Beats(tmp_path, "capture").beat(now=True, shed=40)
    scene = Scene(tmp_path, clock)
    with Writer(tmp_path / "spool") as writer:
        writer.append([Event(datetime(2026, 3, 2, tzinfo=UTC), Dataset.FLOW)] * 3, b"")
    scene.shed.counts[Kind.DETAILS] += 2
    clock.now += 61
    told = [event for event in scene.attendant.attend() if (event.nsm_detail or {}).get(DETAIL)]
    assert len(told) == 1
    account = decode_account((told[0].nsm_detail or {})[DETAIL])
    assert account.now == Totals(kept=(0, 3), waiting=(0, 3))
    assert sorted(account.shed.values()) == [2, 40]

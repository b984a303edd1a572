from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.health import Condition, Finding
from schoolwacht_agent.sight import SILENT_SECONDS, Moment, Sight
from schoolwacht_agent.sources.port import Counters


class Scene:
    """A Sight over counters and an interface that a test changes; time goes on by its own clock."""

    def __init__(self, root: Path) -> None:
        self.counters = Counters()
        self.interface = root / "net" / "mirror0"
        self.interface.mkdir(parents=True)
        self.be("up")
        self.now = Moment(1_700_000_000.0, 1000.0)
        self.sight = Sight(
            self.counters, interface="mirror0", state=root, begun=self.now, interfaces=self.interface.parent
        )

    def be(self, state: str) -> None:
        (self.interface / "operstate").write_text(state + "\n")

    def look(self, seconds: float = 5.0, *, packets: int = 1000, jump: float = 0.0) -> dict[Condition, Finding]:
        self.counters.packets += packets
        self.now = Moment(self.now.wall + seconds + jump, self.now.boot + seconds)
        return {finding.condition: finding for finding in self.sight.look(self.now)}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def flow(up: int, down: int, up_flags: str | None, down_flags: str | None, transport: str = "tcp") -> Event:
    return Event(
        datetime(2026, 1, 1, tzinfo=UTC), Dataset.FLOW, network_transport=transport, source_packets=up,
        destination_packets=down, nsm_flow_source_tcp_flags=up_flags, nsm_flow_destination_tcp_flags=down_flags,
    )  # fmt: skip


def test_where_all_is_well_nothing_is_found(scene: Scene) -> None:
    assert scene.look() == {}


def test_one_percent_of_lost_packets_is_an_alarm_and_less_is_not(scene: Scene) -> None:
    scene.counters.dropped += 9
    assert scene.look(packets=991) == {}
    scene.counters.dropped += 10
    found = scene.look(packets=990)
    assert found[Condition.DROPPING].value == 1.0
    assert "1.0 % of the packets" in found[Condition.DROPPING].text


def test_loss_stands_until_there_are_new_figures(scene: Scene) -> None:
    scene.counters.dropped += 50
    assert Condition.DROPPING in scene.look()
    assert Condition.DROPPING in scene.look(packets=0)
    assert Condition.DROPPING not in scene.look(packets=500)


def test_silence_is_an_alarm_within_a_minute(scene: Scene) -> None:
    assert scene.look() == {}
    assert scene.look(35.0, packets=0) == {}
    found = scene.look(5.0, packets=0)
    assert found[Condition.SILENT].value == SILENT_SECONDS
    assert scene.look(packets=1) == {}


def test_an_interface_that_is_down_or_gone_is_told_at_once(scene: Scene) -> None:
    scene.be("down")
    assert scene.look()[Condition.INTERFACE].text == "the interface mirror0 is down"
    scene.be("unknown")
    assert scene.look() == {}
    (scene.interface / "operstate").unlink()
    scene.interface.rmdir()
    assert scene.look()[Condition.INTERFACE].text == "there is no interface mirror0"


def test_bytes_that_were_never_seen_are_told_when_the_sample_is_large_enough(scene: Scene) -> None:
    scene.counters.tcp_bytes, scene.counters.tcp_missing = 10_000, 9_000
    assert scene.look() == {}
    scene.counters.tcp_bytes, scene.counters.tcp_missing = 2_000_000, 40_000
    assert scene.look()[Condition.CAPTURE_LOSS].value == pytest.approx(1.96, abs=0.01)
    scene.counters.tcp_bytes += 2_000_000
    scene.counters.tcp_missing += 1_000
    assert scene.look() == {}


def test_gaps_that_suricata_counts_are_told_for_a_hundred_connections(scene: Scene) -> None:
    scene.counters.tcp_sessions, scene.counters.tcp_gaps = 99, 50
    assert scene.look() == {}
    scene.counters.tcp_sessions, scene.counters.tcp_gaps = 200, 10
    assert scene.look()[Condition.GAPS].value == 5
    scene.counters.tcp_sessions, scene.counters.tcp_gaps = 400, 19
    assert scene.look() == {}


def test_connections_seen_from_one_side_only_are_an_alarm(scene: Scene) -> None:
    scene.sight.see([flow(5, 5, "1b", "1b")] * 80 + [flow(5, 0, "1a", None)] * 12 + [flow(0, 9, None, "1b")] * 8)
    assert scene.look()[Condition.ONE_SIDED].value == 20
    scene.sight.see([flow(5, 5, "1b", "1b")] * 100)
    assert scene.look() == {}


def test_scans_and_dead_hosts_are_no_one_sided_traffic(scene: Scene) -> None:
    alone = [flow(3, 0, "02", None), flow(0, 1, None, "14"), flow(9, 0, None, None, "udp"), flow(3, 0, "xx", None)]
    scene.sight.see(alone * 500)
    assert scene.look(60.0) == {}


def test_a_quiet_school_is_judged_by_a_minute_of_it(scene: Scene) -> None:
    scene.sight.see([flow(5, 0, "1a", None)] * 20)
    assert scene.look(30.0) == {}
    assert Condition.ONE_SIDED in scene.look(30.0)


@pytest.mark.parametrize("jump", [-3600.0, 2.5, 86400.0])
def test_a_clock_that_is_set_is_told_once(scene: Scene, jump: float) -> None:
    assert scene.look(jump=jump)[Condition.CLOCK].value == pytest.approx(jump)
    assert scene.look() == {}


def test_a_clock_that_is_steered_is_fine(scene: Scene) -> None:
    assert scene.look(jump=0.5) == {}


def test_signatures_that_did_not_load_are_told(scene: Scene) -> None:
    scene.counters.rules, scene.counters.rules_failed = 30, 2
    found = scene.look()[Condition.RULES]
    assert (found.value, found.text) == (2, "2 of 32 signatures did not load")


def test_a_source_without_interface_is_not_asked_for_one(tmp_path: Path) -> None:
    sight = Sight(Counters(), interface="", state=tmp_path, begun=Moment(0.0, 0.0))
    assert sight.look(Moment(1.0, 1.0)) == []

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schoolwacht.event import Direction
from schoolwacht_collector.fold import EXAMPLES, QUIET, Evidence, begin, end_of, fold, title
from schoolwacht_collector.index import documents
from schoolwacht_collector.index.port import Row, Tally
from schoolwacht_collector.records import Alert, AlertState, Severity
from tests.schoolwacht_collector.made import NOW, alert, signal


def row(name: str, **fields: object) -> Row:
    return documents.row(documents.encode(signal(name))) | fields


def folded(one: Alert, number: int, *, newest: list[Row] | None = None, score: int = 0) -> Alert | None:
    evidence = Evidence(Tally(number, NOW, NOW), NOW, newest or [], score)
    return fold(one, evidence, now=NOW + timedelta(minutes=1))


def test_the_first_alert_of_a_key_covers_the_day_before_its_first_signal() -> None:
    assert begin(row("a"), since=None, previous=None).since == NOW - QUIET


def test_the_next_alert_has_an_id_that_follows_from_the_one_before() -> None:
    first = begin(row("a"), since=None, previous=None)
    next_one = begin(row("b"), since=NOW, previous=first)
    assert next_one.id != first.id
    assert next_one.id == begin(row("c"), since=NOW, previous=first).id


def test_counting_again_changes_nothing() -> None:
    assert folded(alert(count=3), 3) is None


def test_a_count_never_goes_down() -> None:
    assert folded(alert(count=3), 2) is None


def test_a_change_moves_the_time_of_the_last_change_and_never_back() -> None:
    one = replace(alert(), timestamp=NOW + timedelta(hours=1))
    changed = folded(one, 2)
    assert changed is not None
    assert changed.timestamp == one.timestamp


def test_what_people_set_stays() -> None:
    one = replace(alert(), state=AlertState.ACKNOWLEDGED, changed_by="ann", changed_at=NOW, reason="known")
    changed = folded(one, 7, score=90)
    assert changed is not None
    assert (changed.state, changed.changed_by, changed.reason) == (AlertState.ACKNOWLEDGED, "ann", "known")
    assert (changed.count, changed.score, changed.severity) == (7, 90, Severity.CRITICAL)


def test_examples_are_the_first_and_the_latest_oldest_first() -> None:
    one = begin(row("s0"), since=None, previous=None)
    for number in range(1, 9):
        newest = [row(f"s{each}") for each in range(number, max(number - 4, -1), -1)]
        changed = folded(one, number + 1, newest=newest)
        assert changed is not None
        one = changed
    assert one.examples == ("s0", "s5", "s6", "s7", "s8")
    assert len(one.examples) == EXAMPLES


def test_the_narrowest_label_of_its_signals_is_the_alerts() -> None:
    one = begin(row("a", **{"threat.indicator.marking.tlp": "GREEN"}), since=None, previous=None)
    changed = folded(one, 2, newest=[row("b", **{"threat.indicator.marking.tlp": "RED"})])
    assert changed is not None
    assert changed.tlp == "RED"


@pytest.mark.parametrize(
    ("direction", "way"), [(Direction.INBOUND, "to"), (Direction.OUTBOUND, "from"), (None, "from")]
)
def test_the_title_says_what_and_which_host(direction: Direction | None, way: str) -> None:
    text = title({"rule.name": "Scan", "signal.entity": "10.1.0.5", "network.direction": direction})
    assert text == f"Scan: traffic {way} 10.1.0.5"


def test_the_title_of_an_indicator_names_its_value() -> None:
    text = title(
        {"rule.name": "Known bad domain", "threat.indicator.name": "evil.example", "signal.entity": "10.1.0.5"}
    )
    assert text == "Known bad domain evil.example: traffic from 10.1.0.5"


def test_the_title_of_a_sighting_does_not_blame_the_agent() -> None:
    seen = {"rule.name": "Known bad", "signal.entity": "gw-00aa02", "observer.name": "gw-00aa02"}
    assert title(seen | {"sighting.kind": "domain"}) == (
        "Known bad: seen at the school, by gw-00aa02; which host is not told"
    )
    assert title(seen) == "Known bad: traffic from gw-00aa02"


def test_a_title_is_inert_and_short() -> None:
    text = title({"rule.name": "a\x1b[31m\n" + "b" * 500, "signal.entity": "x"})
    assert text.isprintable()
    assert len(text) <= 256


def test_only_a_closed_alert_has_an_end() -> None:
    assert end_of(replace(alert(), state=AlertState.ACKNOWLEDGED, changed_at=NOW)) is None
    assert end_of(replace(alert(), state=AlertState.CLOSED, changed_at=NOW)) == NOW


def test_a_signal_that_lacks_almost_everything_still_makes_an_alert() -> None:
    bare = {"event.id": "a", "@timestamp": "2026-11-24T09:00:00Z", "event.ingested": "2026-11-24T09:00:00Z"}
    assert begin(bare | {"signal.key": "k"}, since=None, previous=None).title == "Unnamed rule: traffic from unknown"

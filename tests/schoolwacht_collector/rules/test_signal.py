from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import Outcome
from schoolwacht_collector.prepare import FURTHER, Prepared, prepare, remember
from schoolwacht_collector.rules.read import files, read
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.rules.sigma import matchers
from schoolwacht_collector.rules.told import Told
from tests.schoolwacht_collector.rules.test_shipped import RULES
from tests.schoolwacht_collector.serving import NOW
from tests.schoolwacht_collector.test_prepare import INDICATORS, batch_stamp, opened_of


def own(*names: str) -> RuleSet:
    rules, _ = read(files([RULES / "sigma"]))
    return RuleSet([each for each in matchers(rules)[0] if each.name in names])


def program(**fields: object) -> Event:
    given = {
        "network_direction": Direction.OUTBOUND,
        "source_ip": "10.1.0.5",
        "destination_ip": "203.0.113.9",
        "url_domain": "203.0.113.9",
        "http_response_status_code": 200,
        "http_response_mime_type": "application/x-msdownload",
    }
    return Event(timestamp=NOW, event_dataset=Dataset.HTTP, **(given | fields))  # type: ignore[arg-type]


def old_tls(seconds: int, **fields: object) -> Event:
    given = {"source_ip": "10.1.0.5", "destination_ip": "203.0.113.9", "destination_port": 443, "tls_version": "1.0"}
    return Event(timestamp=NOW + timedelta(seconds=seconds), event_dataset=Dataset.TLS, **(given | fields))  # type: ignore[arg-type]


def prepared(events: list[Event], rules: RuleSet, told: Told | None = None) -> Prepared:
    steps = prepare(opened_of(events, range(1, len(events) + 1)), batch_stamp(), INDICATORS, rules, told)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Prepared = done.value
            return found


def signals(events: list[Event], rules: RuleSet, told: Told | None = None) -> list[Event]:
    return [each for each in prepared(events, rules, told).documents if each.event_dataset is Dataset.SIGNAL]


def test_an_event_that_fits_a_rule_gives_a_complete_signal() -> None:
    (signal,) = signals([program()], own("D26"))
    assert (signal.rule_id, signal.rule_ruleset, signal.signal_detection) == ("D26", "sigma", "D26")
    assert (signal.signal_severity, signal.signal_confidence, signal.signal_score) == ("Minor", "Medium", 40)
    assert signal.threat_technique_id == ["T1105"]
    assert signal.threat_tactic_name == ["Command and Control"]
    assert signal.signal_entity == "10.1.0.5"
    assert signal.url_domain == "203.0.113.9"
    assert signal.organization_id == "12345"
    assert signal.event_kind == "alert"
    assert signal.event_category != ["web"]


def test_the_same_event_gives_the_same_signal_again() -> None:
    first, second = signals([program()], own("D26")), signals([program()], own("D26"))
    assert first[0].event_id == second[0].event_id
    assert first[0].signal_event_id is not None
    assert str(first[0].event_id)[:12] == first[0].signal_event_id[:12]


def test_a_rule_told_once_gives_one_signal_a_day_and_server() -> None:
    found = signals([old_tls(0), old_tls(60), old_tls(60, destination_ip="203.0.113.10"), old_tls(-86_400)], own("D15"))
    assert len({each.event_id for each in found}) == len(found) == 3


def test_a_signal_told_once_is_made_again_until_the_store_has_it() -> None:
    told, rules = Told(), own("D15")
    batch = prepared([old_tls(0)], rules, told)
    remember(told, batch, [Outcome(Verdict.RETRY, created=False)] * len(batch.documents))
    again = prepared([old_tls(60)], rules, told)
    assert [each.event_dataset for each in again.documents] == [Dataset.TLS, Dataset.SIGNAL]
    remember(told, again, [Outcome(Verdict.DELIVERED, created=True)] * len(again.documents))
    assert signals([old_tls(120)], rules, told) == []
    assert len(signals([old_tls(120, destination_ip="203.0.113.10")], rules, told)) == 1


def test_only_the_last_signals_told_once_are_remembered() -> None:
    told = Told(most=2)
    told.add("a")
    told.add("b")
    assert "a" in told
    told.add("c")
    assert [each in told for each in "abc"] == [True, False, True]


def test_an_agents_own_signal_is_not_matched() -> None:
    event = program(rule_id="9100911", rule_ruleset="suricata")
    event.event_dataset = Dataset.SIGNAL
    event.http_response_status_code = 200
    assert "sigma" not in [each.rule_ruleset for each in signals([event], own("D26"))]
    assert own("D26").match(event) == []


def test_further_signals_of_an_event_are_bounded_by_the_batch() -> None:
    rules, _ = read(files([RULES / "sigma" / "d26-executable-from-address.yml"]))
    (one,) = matchers(rules)[0]
    many = [replace(one, rule=replace(one.rule, name=f"S{number}")) for number in range(1, 6)]
    events = [program() for _ in range(300)]
    assert len(events) < len(signals(events, RuleSet(many))) <= len(events) + FURTHER + 5

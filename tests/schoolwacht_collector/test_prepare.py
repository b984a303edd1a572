from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType
from schoolwacht.match import Hit, IndicatorSet, in_memory
from schoolwacht.wire import LIMITS, SLICE, Opened, Verdict, decode_event, encode_batch, encode_event, open_batch
from schoolwacht_collector.index.port import Outcome
from schoolwacht_collector.index.sqlite import writer
from schoolwacht_collector.prepare import FURTHER, Prepared, prepare, verdicts
from schoolwacht_collector.records import Agent, Indicator
from schoolwacht_collector.stamp import BatchStamp, Bounds, Stamper
from tests.schoolwacht_collector.serving import EPOCH, NOW, SCHOOL, SECRET, flow

BAD = "203.0.113.66"
INDICATORS = IndicatorSet.build(
    [
        Indicator(id="i1", timestamp=NOW, type=IndicatorType.ADDRESS, value=BAD),
        Indicator(id="i2", timestamp=NOW, type=IndicatorType.DOMAIN, value="evil.example"),
    ],
    now=NOW,
)


def batch_stamp() -> BatchStamp:
    agent = Agent(id="gateway-1", timestamp=NOW, key_hash="", board="12345", schools=(SCHOOL,))
    return Stamper(agent, SECRET, Bounds(timedelta(minutes=5), None)).batch(EPOCH, now=NOW)


def prepared_of(items: Sequence[Event | bytes], *, indicators: IndicatorSet = INDICATORS) -> Prepared:
    """The batch of these items; bytes stand for an item that is perhaps no event."""
    return run(opened_of(items, range(1, len(items) + 1)), indicators)


def opened_of(items: Sequence[Event | bytes], sequences: Sequence[int]) -> Opened:
    raws = [msgspec.Raw(item if isinstance(item, bytes) else encode_event(item)) for item in items]
    return Opened(EPOCH, list(sequences), raws, 0)


def run(opened: Opened, indicators: IndicatorSet = INDICATORS) -> Prepared:
    steps = prepare(opened, batch_stamp(), indicators)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Prepared = done.value
            return result


class Breaking(IndicatorSet):
    """Fails on one event, as a fault in a step would."""

    def match(self, event: Event) -> list[Hit]:
        if event.source_port == 666:
            raise ValueError
        return super().match(event)


NO_EVENT = msgspec.msgpack.encode({"@timestamp": NOW, "event.dataset": "flow", "source.port": "many"})
DONE = Outcome(Verdict.DELIVERED, created=True)
AGAIN = Outcome(Verdict.DELIVERED, created=False)
RETRY = Outcome(Verdict.RETRY, created=False, reason="full disk")
REJECTED = Outcome(Verdict.REJECTED, created=False, reason="mapping")


def test_an_indicator_makes_a_signal_behind_its_event() -> None:
    prepared = prepared_of([flow(), flow(destination_ip=BAD), flow()])
    assert [event.event_dataset for event in prepared.documents] == [
        Dataset.FLOW,
        Dataset.FLOW,
        Dataset.SIGNAL,
        Dataset.FLOW,
    ]
    assert prepared.owners == [0, 1, 1, 2]
    signal = prepared.documents[2]
    assert (signal.organization_id, signal.school_location) == ("12345", "00AB00")
    assert signal.signal_key is not None


ADDRESSES = [f"45.33.7.{number}" for number in range(1, 65)]
MANY = [Indicator(id=each, timestamp=NOW, type=IndicatorType.ADDRESS, value=each) for each in ADDRESSES]


def test_a_batch_full_of_hits_makes_few_signals_and_each_event_has_one() -> None:
    events = [flow(dns_resolved_ip=ADDRESSES)] * LIMITS.items
    prepared = prepared_of(events, indicators=IndicatorSet.build(MANY, now=NOW))
    signals = [owner for owner, one in zip(prepared.owners, prepared.documents, strict=True) if one.rule_id == "D24"]
    assert set(signals) == set(range(LIMITS.items))
    assert len(signals) <= LIMITS.items + FURTHER
    assert prepared.weight >= len(signals)
    assert prepared.unsignalled == 64 * LIMITS.items - len(signals)


def test_a_small_batch_full_of_hits_stays_within_32_mib_as_documents_and_rows() -> None:
    frame = encode_batch(EPOCH, range(LIMITS.items), [encode_event(flow(dns_resolved_ip=ADDRESSES))] * LIMITS.items)
    assert len(frame) < 16 << 10
    indicators = IndicatorSet.build(MANY, now=NOW)
    tracemalloc.start()
    try:
        rows = [writer.prepare(document) for document in run(open_batch(frame), indicators).documents]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) > 2 * LIMITS.items
    assert peak < 32 << 20


def test_signals_of_a_large_event_weigh_more() -> None:
    weights = [prepared_of([flow(destination_ip=BAD, url_path="x" * length)]).weight for length in (1, 2048)]
    assert weights == [1, 3]


def agents_signal(**more: object) -> Event:
    """What an agent makes of its own match of a flow to BAD."""
    claims = {"threat_indicator_id": "forged", "threat_indicator_name": "forged.example"}
    named = {"rule_id": "D24", "rule_ruleset": "indicator", "signal_detection": "D24", "signal_severity": "Critical"}
    return flow(**({"event_dataset": Dataset.SIGNAL, "destination_ip": BAD} | named | claims | more))


def test_a_match_that_the_agent_found_too_is_one_signal() -> None:
    prepared = prepared_of([agents_signal(), flow(destination_ip=BAD)])
    assert prepared.owners == [0, 1, 1]
    first, event, second = prepared.documents
    assert first.event_id == second.event_id != event.event_id
    assert first.signal_key == second.signal_key


def test_what_an_agent_claims_of_an_indicator_gives_way_to_what_the_collector_knows() -> None:
    (signal,) = prepared_of([agents_signal()]).documents
    assert (signal.threat_indicator_id, signal.threat_indicator_name) == ("i1", BAD)
    assert signal.signal_severity == "Major"


def test_a_match_of_an_indicator_that_only_the_agent_has_is_kept_without_its_claims() -> None:
    (signal,) = prepared_of([agents_signal(destination_ip="192.0.2.77")]).documents
    assert (signal.signal_detection, signal.threat_indicator_id) == ("D24", None)
    assert signal.signal_entity == "10.0.0.7"


def test_a_signal_of_an_agent_is_completed() -> None:
    signal = flow(event_dataset=Dataset.SIGNAL, rule_id="2019", rule_ruleset="suricata", signal_key="forged")
    document = prepared_of([signal]).documents[0]
    assert document.signal_key not in (None, "forged")
    assert document.signal_entity == "10.0.0.7"


def test_one_faulty_item_leaves_the_others_whole() -> None:
    prepared = prepared_of([flow(), NO_EVENT, flow(source_ip="nonsense")])
    assert prepared.owners == [0]
    assert prepared.rejected[1].startswith("no event: Expected `int | null`, got `str` - at `$.source.port`")
    assert prepared.rejected[2] == "source.ip: no IP address"
    assert prepared.raw[1] == NO_EVENT
    assert decode_event(prepared.raw[2]).source_ip == "nonsense"


def test_a_sequence_that_occurs_twice_is_taken_once() -> None:
    prepared = run(opened_of([flow(), flow(), flow(destination_ip="192.0.2.2")], [5, 6, 5]))
    assert prepared.owners == [0, 1]
    assert prepared.rejected == {2: "sequence 5 occurs twice in the batch"}


def test_an_event_that_breaks_a_step_is_set_aside_alone(caplog: pytest.LogCaptureFixture) -> None:
    prepared = prepared_of([flow(), flow(source_port=666), flow()], indicators=Breaking(in_memory(())))
    assert prepared.owners == [0, 2]
    assert prepared.rejected[1].startswith("the collector failed")
    assert "an event cannot be processed" in caplog.text


def test_a_long_batch_is_prepared_in_slices() -> None:
    opened = opened_of([flow()] * (4 * SLICE), range(4 * SLICE))
    assert len(list(prepare(opened, batch_stamp(), INDICATORS))) == 3


@pytest.mark.parametrize(
    ("event", "signal", "verdict"),
    [
        (DONE, DONE, Verdict.DELIVERED),
        (AGAIN, AGAIN, Verdict.DELIVERED),
        (DONE, RETRY, Verdict.RETRY),
        (RETRY, DONE, Verdict.RETRY),
        (REJECTED, RETRY, Verdict.RETRY),
        (RETRY, REJECTED, Verdict.RETRY),
        (DONE, REJECTED, Verdict.REJECTED),
        (REJECTED, DONE, Verdict.REJECTED),
    ],
)
def test_an_event_is_delivered_only_with_its_signals(event: Outcome, signal: Outcome, verdict: Verdict) -> None:
    result = verdicts(prepared_of([flow(destination_ip=BAD)]), [event, signal])
    assert result.verdicts == [verdict]
    assert (0 in result.reasons) == (verdict is not Verdict.DELIVERED)


def test_new_events_and_new_signals_are_counted_apart() -> None:
    prepared = prepared_of([flow(), flow(destination_ip=BAD), flow()])
    result = verdicts(prepared, [DONE, AGAIN, DONE, DONE])
    assert (result.created, result.signals) == (2, 1)


_OUTCOMES = st.sampled_from([DONE, AGAIN, RETRY, REJECTED])
_ITEMS: st.SearchStrategy[Event | bytes] = st.sampled_from(
    [
        flow(),
        flow(destination_ip=BAD),
        flow(destination_ip=BAD, url_domain="www.evil.example"),
        flow(source_ip="nonsense"),
        NO_EVENT,
        b"\xc0",
    ]
)


@given(st.lists(_ITEMS, max_size=20), st.data())
def test_every_item_has_exactly_one_verdict_and_no_false_delivery(
    events: list[Event | bytes], data: st.DataObject
) -> None:
    prepared = prepared_of(events)
    outcomes = [data.draw(_OUTCOMES) for _ in prepared.documents]
    result = verdicts(prepared, outcomes)
    assert len(result.verdicts) == len(events)
    for place, verdict in enumerate(result.verdicts):
        mine = [each.verdict for each, owner in zip(outcomes, prepared.owners, strict=True) if owner == place]
        if not mine:
            assert verdict is Verdict.REJECTED
        elif verdict is Verdict.DELIVERED:
            assert set(mine) == {Verdict.DELIVERED}
        elif Verdict.RETRY in mine:
            assert verdict is Verdict.RETRY
    assert set(result.reasons) == {p for p, verdict in enumerate(result.verdicts) if verdict is not Verdict.DELIVERED}
    rejected = [place for place, verdict in enumerate(result.verdicts) if verdict is Verdict.REJECTED]
    assert prepared.bytes_of(rejected).keys() == set(rejected)

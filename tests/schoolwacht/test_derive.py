"""What follows from an event alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.derive import COPIES, SIGHTED, derive
from schoolwacht.event import Dataset, Event

_ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::1", "10.0.0.7"])
_TEXTS = st.sampled_from(["example.nl", "www.example.nl", "A", "x" * 1024])
_DIGESTS = st.sampled_from(["00", "ab" * 16, "cd" * 20])


def _values(name: str) -> st.SearchStrategy[Any]:
    if name.endswith("resolved_ip"):
        return st.none() | st.lists(_ADDRESSES, max_size=64)
    if name.endswith("port"):
        return st.none() | st.integers(0, 65_535)
    return st.none() | (_ADDRESSES if name.endswith("ip") else _DIGESTS if "hash" in name or "ja" in name else _TEXTS)


_STATED = sorted({name for names in COPIES.values() for name in names})
_attribute = {each.encode_name: each.name for each in msgspec.structs.fields(Event)}


@given(
    st.sampled_from(list(Dataset)),
    st.fixed_dictionaries({_attribute[name]: _values(name) for name in _STATED}),
)
def test_what_a_copy_holds_stands_in_one_of_its_sources(dataset: Dataset, stated: dict[str, Any]) -> None:
    """Searches rely on it: they look a copy up by its sources."""
    event = Event(datetime(2026, 3, 1, tzinfo=UTC), dataset, **stated)
    derive(event)
    for copy, names in COPIES.items():
        sources = {value for name in names for value in _listed(getattr(event, _attribute[name]))}
        assert set(_listed(getattr(event, _attribute[copy]))) <= sources


def test_every_address_name_and_digest_is_related() -> None:
    event = Event(
        datetime(2026, 3, 1, tzinfo=UTC),
        Dataset.TLS,
        source_ip="192.0.2.1",
        destination_ip="2001:db8::1",
        tls_client_server_name="example.nl",
        tls_client_ja3="ab" * 16,
    )
    derive(event)
    assert event.related_ip == ["192.0.2.1", "2001:db8::1"]
    assert event.related_hosts == ["example.nl"]
    assert event.related_hash == ["ab" * 16]


def test_a_sum_without_flows_has_none_of_their_figures() -> None:
    event = Event(datetime(2026, 3, 1, tzinfo=UTC), Dataset.SUMMARY, summary_events=3)
    derive(event)
    assert (event.summary_flows, event.summary_failures, event.event_module) == (None, None, "minimise")


def test_figures_of_a_sum_that_did_not_travel_are_filled_in_and_those_that_did_stay() -> None:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    silent = Event(when, Dataset.SUMMARY, source_packets=9, summary_events=3)
    mixed = Event(when, Dataset.SUMMARY, source_packets=9, summary_events=5, summary_flows=2, summary_failures=4)
    answered = Event(when, Dataset.SUMMARY, source_packets=9, destination_packets=1, summary_events=3)
    for event in (silent, mixed, answered):
        derive(event)
    found = [(event.summary_flows, event.summary_failures) for event in (silent, mixed, answered)]
    assert found == [(3, 3), (2, 4), (3, None)]


def test_the_kind_of_a_sighting_follows_from_the_field_of_its_value() -> None:
    for kind, field in SIGHTED.items():
        event = Event(datetime(2026, 3, 1, tzinfo=UTC), Dataset.SIGHTING)
        setattr(event, field, "192.0.2.1")
        derive(event)
        assert (event.sighting_kind, event.sighting_value) == (kind, "192.0.2.1")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]

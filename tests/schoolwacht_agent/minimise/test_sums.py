from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import unanswered
from schoolwacht_agent.minimise.settings import Level
from schoolwacht_agent.minimise.sums import Sums
from tests.schoolwacht_agent.minimise.made import NOW, event, flow, hosts, pseudonyms, step

CLIENTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "fd12::7"])
SECONDS = st.floats(-300, 300)
COUNT = st.integers(0, 1 << 40)
FLOWS = st.builds(
    flow,
    SECONDS,
    source_ip=CLIENTS,
    destination_ip=st.sampled_from(["203.0.113.9", "10.0.0.9", "2001:db8::1"]),
    network_direction=st.sampled_from(Direction),
    network_protocol=st.sampled_from([None, "tls", "smb"]),
    destination_port=st.sampled_from([None, 443, 445, 50000]),
    source_bytes=COUNT,
    source_packets=COUNT,
    destination_bytes=COUNT,
    destination_packets=COUNT,
)
NAMES = st.sampled_from(["www.example.nl", "img.example.nl", "pc-jan.local", "5.0.0.10.in-addr.arpa", "example", None])
QUERIES = st.builds(
    event,
    st.just(Dataset.DNS),
    SECONDS,
    source_ip=CLIENTS,
    network_protocol=st.just("dns"),
    dns_type=st.sampled_from(["query", "answer"]),
    dns_question_name=NAMES,
    dns_response_code=st.sampled_from([None, "NOERROR", "NXDOMAIN"]),
)
REQUESTS = st.builds(
    event,
    st.sampled_from([Dataset.HTTP, Dataset.TLS, Dataset.SMB, Dataset.ARP]),
    SECONDS,
    source_ip=CLIENTS,
    url_domain=NAMES,
    tls_client_server_name=NAMES,
    event_outcome=st.sampled_from([None, "success", "failure"]),
)
EVENTS = st.lists(st.one_of(FLOWS, QUERIES, REQUESTS), max_size=60)
FIGURES = ("source_bytes", "source_packets", "destination_bytes", "destination_packets")


def summed(events: Iterable[Event], size: int = 20_000) -> list[Event]:
    """The sums of all events, through the step."""
    made = step(Level.SUMMARY, sums=size)
    kept = [one for one in made.through(list(events)) + made.finish() if one.event_dataset is Dataset.SUMMARY]
    assert all(one.source_ip is None or one.source_ip.startswith("fd") for one in kept)
    for one in kept:
        derive(one)
    return kept


def totals(events: Iterable[Event], who: Callable[[Event], Any]) -> dict[Any, Counter[str]]:
    """What the full events of each client add up to."""
    found: dict[Any, Counter[str]] = {}
    for one in events:
        total = found.setdefault(who(one), Counter())
        if one.event_dataset is Dataset.SUMMARY:
            total["events"] += one.summary_events or 0
            total["flows"] += one.summary_flows or 0
            total["failures"] += one.summary_failures or 0
        else:
            is_flow = one.event_dataset is Dataset.FLOW
            total["events"] += 1
            total["flows"] += is_flow
            refused = one.event_outcome == "failure" or (one.dns_response_code or "NOERROR") != "NOERROR"
            total["failures"] += unanswered(one) if is_flow else refused
        for name in FIGURES:
            total[name] += getattr(one, name) or 0
    return found


def client(one: Event) -> tuple[str | None, str | None]:
    """Of whom and what a figure is; of some nobody is the client."""
    if one.network_direction is Direction.EXTERNAL or one.event_dataset is Dataset.ARP:
        return None, one.network_protocol
    inside = one.network_direction in (Direction.INTERNAL, Direction.OUTBOUND)
    tried = one.event_dataset is Dataset.FLOW and one.network_protocol is None and unanswered(one)
    return None if tried and not inside else one.source_ip, one.network_protocol


@given(EVENTS, st.sampled_from([100, 20_000]))
@settings(max_examples=80, deadline=None)
def test_sums_add_up_to_the_events_whatever_their_order(events: list[Event], size: int) -> None:
    made = pseudonyms(key=b"")
    full = totals(events, client)
    got = totals(summed(events, size), client)
    assert sum(total["events"] for total in got.values()) == len(events)
    # The step has a key of its own, so clients are compared by what they did.
    assert made.period == "202611"
    assert sorted(map(sorted, (total.items() for total in full.values()))) == sorted(
        map(sorted, (total.items() for total in got.values()))
    )


def test_traffic_of_which_neither_end_is_the_schools_tells_of_nobody() -> None:
    foreign = [
        event(
            Dataset.HTTP,
            source_ip=client,
            network_direction=Direction.EXTERNAL,
            network_protocol="http",
            url_domain="a.example",
        )
        for client in ("203.0.113.1", "2001:db8::5")
    ]
    (one,) = summed(foreign)
    assert (one.source_ip, one.url_domain, one.summary_events) == (None, None, 2)


@pytest.mark.parametrize(
    ("destination", "has_client"),
    [
        ("224.0.0.251", False), ("239.255.255.250", False), ("255.255.255.255", False), ("ff02::fb", False),
        ("223.5.5.5", True), ("22.1.1.1", True), ("25.1.1.1", True), ("8.8.8.8", True), ("2a00::ff", True),
    ],
)  # fmt: skip
def test_what_is_said_to_all_of_a_network_has_no_client(destination: str, has_client: bool) -> None:
    (one,) = summed([flow(destination_ip=destination, network_protocol="mdns")])
    assert (one.source_ip is not None) is has_client


@given(EVENTS.filter(bool))
@settings(deadline=None)
def test_first_and_last_are_those_of_the_events_to_the_second(events: list[Event]) -> None:
    moments = [one.timestamp.replace(microsecond=0) for one in events]
    sums = summed(events)
    assert min(one.event_start or one.timestamp for one in sums) == min(moments)
    assert max(one.timestamp for one in sums) == max(moments)


@given(st.lists(FLOWS, min_size=1, max_size=40), st.integers(1, 3))
@settings(deadline=None)
def test_beyond_the_bound_all_go_out_early_and_are_counted(flows: list[Event], size: int) -> None:
    sums, made, names = Sums(size), pseudonyms(), hosts()
    gone: list[Event] = []
    for one in flows:
        gone += sums.add(one, made, names)
        assert len(sums) <= size
    gone += sums.take()
    assert sum(one.summary_events or 0 for one in gone) == len(flows)
    assert bool(sums.early) == (len(gone) > size)


def test_names_of_one_domain_are_one_sum_and_local_ones_are_pseudonyms() -> None:
    queries = [
        event(Dataset.DNS, network_protocol="dns", dns_question_name=name)
        for name in ("www.example.nl", "img.example.nl", "pc-jan.local", "5.0.0.10.in-addr.arpa")
    ]
    sums = {one.dns_question_name: one.summary_events for one in summed(queries)}
    assert sums.pop("example.nl") == 2
    assert sums.pop("in-addr.arpa") == 1
    ((local, count),) = sums.items()
    assert local is not None
    assert local.startswith("p-202611-")
    assert count == 1


def test_only_a_server_on_the_boards_list_is_named() -> None:
    made = step(Level.SUMMARY, readable=("10.0.0.9/32",))
    to = [("10.0.0.9", Direction.INTERNAL), ("10.0.0.8", Direction.INTERNAL), ("203.0.113.9", Direction.OUTBOUND)]
    made.through([flow(destination_ip=server, network_direction=direction) for server, direction in to])
    sums = [one for one in made.finish() if one.event_dataset is Dataset.SUMMARY]
    assert sorted(one.destination_ip or "" for one in sums) == ["", "", "10.0.0.9"]


def test_a_scan_is_one_sum_however_many_it_tried() -> None:
    tried = [
        flow(
            destination_ip=f"10.0.{number}.9", destination_port=number, network_direction=Direction.INTERNAL,
            network_protocol=None, destination_packets=0,
        )
        for number in range(1, 100)
    ]  # fmt: skip
    (one,) = summed(tried)
    assert one.summary_flows == one.summary_failures == 99
    assert one.destination_port is None


def test_figures_that_follow_from_others_do_not_travel() -> None:
    made = step(Level.SUMMARY)
    made.through([flow(network_protocol="tls", destination_packets=0), flow(network_protocol="smb")])
    sent = {one.network_protocol: one for one in made.finish() if one.event_dataset is Dataset.SUMMARY}
    assert [(one.summary_flows, one.summary_failures, one.event_module) for one in sent.values()] == [(None,) * 3] * 2
    for one in sent.values():
        derive(one)
    assert (sent["tls"].summary_flows, sent["tls"].summary_failures, sent["tls"].event_module) == (1, 1, "minimise")
    assert (sent["smb"].summary_flows, sent["smb"].summary_failures) == (1, None)


def test_attempts_from_outside_are_one_sum() -> None:
    tried = [
        flow(
            source_ip=f"198.51.100.{number}", destination_ip="10.0.0.9", network_direction=Direction.INBOUND,
            network_protocol=None, destination_packets=0,
        )
        for number in range(1, 100)
    ]  # fmt: skip
    (one,) = summed(tried)
    assert one.source_ip is None
    assert one.summary_flows == 99


@pytest.mark.parametrize(("port", "kept"), [(8080, 8080), (50000, None)])
def test_a_service_without_a_known_protocol_is_its_port(port: int, kept: int | None) -> None:
    (one,) = summed([flow(network_protocol=None, destination_port=port)])
    assert one.destination_port == kept


def test_a_minute_goes_out_when_the_next_begins_and_a_late_event_counts_in_the_one_it_came_in() -> None:
    made = step(Level.SUMMARY)
    first = [flow(second) for second in (0, 10, 20)]
    assert [one for one in made.through(first) if one.event_dataset is Dataset.SUMMARY] == []
    gone = [one for one in made.through([flow(60), flow(5)]) if one.event_dataset is Dataset.SUMMARY]
    assert [one.summary_events for one in gone] == [3]
    (rest,) = (one for one in made.finish() if one.event_dataset is Dataset.SUMMARY)
    assert rest.summary_events == 2
    assert rest.event_start == NOW + timedelta(seconds=5)


def test_one_event_from_the_future_does_not_hold_up_the_sums() -> None:
    made = step(Level.SUMMARY)
    made.through([flow(86_400 * 365)])
    assert len([one for one in made.through([flow(0)]) if one.event_dataset is Dataset.SUMMARY]) == 2
    made.through([flow(1)])
    assert len([one for one in made.through([flow(61)]) if one.event_dataset is Dataset.SUMMARY]) == 1

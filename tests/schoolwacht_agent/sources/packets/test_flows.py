"""Where flows begin and end: silence, new connections on old ports, bounds, long flows, who is the client."""

from __future__ import annotations

import gc
from ipaddress import ip_address

import pytest

from schoolwacht.event import Event
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.flows import Flow
from tests.schoolwacht_agent.sources.packets.made import (
    ACK,
    CLIENT,
    FIN,
    RST,
    SERVER,
    SYN,
    down,
    ethernet,
    ipv4,
    ipv6,
    tcp,
    udp,
    up,
)
from tests.schoolwacht_agent.sources.packets.played import Played, Timed, batch_of

UP = ethernet(ipv4(udp()))
DOWN = ethernet(ipv4(udp(source=9_999, destination=40_000), source=SERVER, destination=CLIENT), turned=True)
SHAKE = (up(flags=SYN, sequence=99), down(flags=SYN | ACK, sequence=499), up(sequence=100))


def sizes(flow: Event) -> tuple[int | None, int | None]:
    return flow.source_packets, flow.destination_packets


def at(second: float, *frames: bytes) -> list[Timed]:
    return [(second + number / 1000, frame) for number, frame in enumerate(frames)]


def test_both_directions_are_one_flow_with_its_times_and_sizes() -> None:
    flow = Played((0.0, UP), (0.5, DOWN), (2.25, UP)).flow
    assert (flow.source_ip, flow.destination_ip) == (CLIENT, SERVER)
    assert sizes(flow) == (2, 1)
    assert (flow.source_bytes, flow.destination_bytes, flow.network_bytes) == (2 * len(UP), len(DOWN), 3 * len(UP))
    assert (flow.network_packets, flow.event_duration) == (3, 2_250_000_000)
    assert flow.event_start is not None
    assert flow.event_end == flow.timestamp
    assert (flow.timestamp - flow.event_start).total_seconds() == 2.25
    assert flow.nsm_flow_state == "established"
    assert flow.nsm_flow_reason == "shutdown"


@pytest.mark.parametrize(
    ("frames", "silence"),
    [
        ([UP], 30),
        ([UP, DOWN], 300),
        ([up(flags=SYN)], 60),
        (list(SHAKE), 600),
        ([*SHAKE, up(flags=RST, sequence=100)], 60),
        ([*SHAKE, up(flags=FIN | ACK, sequence=100), down(flags=FIN | ACK, sequence=500)], 60),
    ],
    ids=["UDP", "UDP answered", "TCP new", "TCP open", "TCP reset", "TCP closed"],
)
def test_silence_ends_a_flow_after_the_time_of_its_state(frames: list[bytes], silence: int) -> None:
    last = len(frames) / 1000
    again = up(sequence=101) if len(frames) > 2 or frames[0] != UP else UP
    before = Played(*at(0, *frames), (last + silence - 1, again))
    assert len(before.flows) == 1
    after = Played(*at(0, *frames), (last + silence + 1, again))
    assert [flow.nsm_flow_reason for flow in after.flows] == ["timeout", "shutdown"]
    assert sum(flow.network_packets or 0 for flow in after.flows) == len(frames) + 1


def test_a_silent_flow_is_reported_though_only_others_speak() -> None:
    other = ethernet(ipv4(udp(source=1_111)))
    played = Played((0.0, UP), *((float(second), other) for second in range(1, 40)))
    assert [flow.source_port for flow in played.early] == [40_000]


def test_a_syn_on_a_closed_connection_begins_a_new_flow() -> None:
    closed = [*SHAKE, up(flags=RST, sequence=100)]
    played = Played(*at(0, *closed), *at(1, up(flags=SYN, sequence=70_000), down(flags=SYN | ACK, sequence=9)))
    assert [sizes(flow) for flow in played.flows] == [(3, 1), (1, 1)]
    assert [flow.nsm_flow_state for flow in played.flows] == ["closed", "new"]


def test_the_same_syn_again_is_not_a_new_flow() -> None:
    assert sizes(Played(SHAKE[0], SHAKE[0], *SHAKE).flow) == (4, 1)


def test_a_refused_port_tried_again_is_a_flow_each_time() -> None:
    tries = [
        frame
        for number in range(3)
        for frame in (up(flags=SYN, sequence=1_000 * number), down(flags=RST | ACK, sequence=0))
    ]
    assert [sizes(flow) for flow in Played(*tries).flows] == [(1, 1)] * 3


def test_a_forged_reset_does_not_lose_what_follows() -> None:
    played = Played(*SHAKE, down(flags=RST, sequence=77), up(b"x", sequence=100), down(b"y", sequence=500))
    assert sizes(played.flow) == (3, 3)


def test_flags_of_both_directions_are_kept() -> None:
    flow = Played(*SHAKE, up(flags=FIN | ACK, sequence=100)).flow
    assert (flow.nsm_flow_source_tcp_flags, flow.nsm_flow_destination_tcp_flags) == ("13", "12")


def test_who_answers_with_syn_and_ack_is_the_server() -> None:
    flow = Played(SHAKE[1], SHAKE[2]).flow
    assert (flow.source_ip, flow.source_mac) == (CLIENT, "02-00-00-00-00-30")


def test_of_a_connection_in_the_middle_the_low_port_is_the_server() -> None:
    flow = Played(down(b"x", destination=443), up(b"y", destination=443)).flow
    assert (flow.source_ip, flow.destination_port) == (CLIENT, 443)


def test_a_client_of_nfs_may_have_a_low_port() -> None:
    flow = Played(ethernet(ipv4(udp(source=742, destination=2049)))).flow
    assert (flow.source_port, flow.destination_port) == (742, 2049)


def test_of_a_connection_in_the_middle_with_high_ports_the_first_to_speak_is_the_client() -> None:
    assert Played(down(b"x"), up(b"y")).flow.source_ip == SERVER


def test_beyond_the_bound_the_quietest_are_reported_early_and_counted() -> None:
    frames = [ethernet(ipv4(udp(source=10_000 + number))) for number in range(1_001)]
    played = Played(*frames, settings=PacketsTable(max_flows=1_000))
    assert len(played.flows) == 1_001
    assert played.counters.evicted == len(played.early) == 62
    assert {flow.nsm_flow_reason for flow in played.early} == {"forced"}
    assert {flow.source_port for flow in played.early} == set(range(10_000, 10_062))


def test_a_long_flow_is_reported_in_parts_that_add_up() -> None:
    frames = [(float(second), UP if second % 20 else DOWN) for second in range(10, 700, 10)]
    settings = PacketsTable(longest_flow_seconds=200)
    played = Played(*frames, settings=settings)
    assert [flow.nsm_flow_reason for flow in played.flows] == ["forced"] * 3 + ["shutdown"]
    assert sum(flow.network_packets or 0 for flow in played.flows) == len(frames)
    assert {flow.source_ip for flow in played.flows} == {Played(*frames).flow.source_ip}


def test_a_long_flow_stays_whole_where_there_is_no_bound() -> None:
    frames = [(float(second), UP) for second in range(0, 7_200, 20)]
    assert Played(*frames, settings=PacketsTable(longest_flow_seconds=0)).flow.source_packets == 360


def test_the_same_ports_over_ipv6_are_another_flow() -> None:
    played = Played(ethernet(ipv6(udp())), UP, ethernet(ipv6(tcp(), protocol=6)))
    assert [(flow.network_type, flow.network_transport) for flow in played.flows] == [
        ("ipv6", "udp"), ("ipv4", "udp"), ("ipv6", "tcp"),
    ]  # fmt: skip


def test_a_machine_that_talks_to_itself_has_one_flow() -> None:
    frame = ethernet(ipv4(udp(source=5_000, destination=5_000), destination=CLIENT))
    assert Played(frame, frame).flow.network_packets == 2


def test_ping_and_its_answer_are_one_flow_with_type_and_code() -> None:
    request, reply = b"\x08\x00" + bytes(6) + b"ping", b"\x00\x00" + bytes(6) + b"ping"
    flow = Played(
        ethernet(ipv4(request, protocol=1)), ethernet(ipv4(reply, protocol=1, source=SERVER, destination=CLIENT))
    ).flow
    assert (flow.network_transport, sizes(flow), flow.nsm_icmp_type, flow.nsm_icmp_code) == ("icmp", (1, 1), 8, 0)
    assert flow.source_port is None


def test_an_error_about_a_flow_counts_there_but_is_no_answer() -> None:
    error = b"\x03\x03" + bytes(6) + ipv4(udp())[:28]
    flow = Played(UP, ethernet(ipv4(error, protocol=1, source=SERVER, destination=CLIENT))).flow
    assert (flow.network_transport, sizes(flow), flow.nsm_flow_state) == ("udp", (1, 1), "new")


def test_an_error_about_nothing_that_was_seen_makes_no_flow() -> None:
    error = b"\x03\x03" + bytes(6) + ipv4(udp())[:28]
    played = Played(ethernet(ipv4(error, protocol=1)))
    assert not played.flows
    assert played.counters.invalid == {"icmp: error about a packet of no known flow": 1}


@pytest.mark.parametrize(("number", "name"), [(2, "igmp"), (89, "ospf"), (50, "esp"), (222, "222")])
def test_other_protocols_are_flows_by_their_addresses(number: int, name: str) -> None:
    there = ethernet(ipv4(bytes(20), protocol=number))
    back = ethernet(ipv4(bytes(20), protocol=number, source=SERVER, destination=CLIENT))
    flow = Played(there, back).flow
    assert (flow.network_transport, sizes(flow), flow.source_port) == (name, (1, 1), None)


def test_sctp_has_ports() -> None:
    payload = bytes((0x9C, 0x40, 0x0B, 0x59)) + bytes(12)
    flow = Played(ethernet(ipv4(payload, protocol=132))).flow
    assert (flow.source_port, flow.destination_port) == (40_000, 2_905)


def test_a_time_that_no_calendar_has_is_put_on_its_edge() -> None:
    flow = Played((1e12, UP)).flow
    assert flow.timestamp.year == 9999


def test_when_the_clock_is_set_back_silence_still_ends_flows() -> None:
    other = ethernet(ipv4(udp(source=1_111)))
    near = [(float(second), UP) for second in (0, 1)]
    late = [(float(second), other) for second in range(2, 40)]
    batches = [[(90_000.0, other)], near, late]

    played = Played(batches=[batch_of(frames) for frames in batches])
    assert 40_000 in {flow.source_port for flow in played.early}


def test_many_clients_are_many_flows() -> None:
    first = int(ip_address("10.21.0.1"))
    frames = [ethernet(ipv4(udp(), source=str(ip_address(first + number)))) for number in range(500)]
    played = Played(*frames, *frames)
    assert len(played.flows) == 500
    assert {flow.source_packets for flow in played.flows} == {2}


def test_a_flow_that_has_ended_leaves_nothing_for_the_search_for_cycles() -> None:
    played = Played(*SHAKE, up(b"GET / HTTP/1.1\r\n\r\n", sequence=100), UP)
    assert len(played.flows) == 2
    gc.collect()
    gc.disable()
    try:
        Played(*SHAKE, up(b"GET / HTTP/1.1\r\n\r\n", sequence=100), UP)
        assert not [one for one in gc.get_objects() if isinstance(one, Flow)]
    finally:
        gc.enable()

"""What all records share: the Community ID, which is the standard's whatever Suricata wrote."""

from __future__ import annotations

from typing import Any

import pytest
from communityid import CommunityID, FlowTuple

from tests.schoolwacht_agent.sources.suricata.records import CLIENT, SERVER, line, one, read

WRITTEN = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAA="
ECHO = FlowTuple.make_icmp(CLIENT, SERVER, 8, 0)


def reported(**fields: Any) -> str | None:
    """The Community ID of the event of a flow record that Suricata gave ``WRITTEN``."""
    return one(line("flow", {}, community_id=WRITTEN, **fields)).network_community_id


@pytest.mark.parametrize("proto", ["TCP", "UDP", "SCTP"])
def test_between_two_addresses_suricata_s_is_taken_over(proto: str) -> None:
    assert reported(proto=proto) == WRITTEN


@pytest.mark.parametrize(
    ("fields", "flow"),
    [
        ({"dest_ip": CLIENT}, FlowTuple.make_tcp(CLIENT, CLIENT, 50123, 4444)),
        ({"dest_ip": CLIENT, "proto": "UDP"}, FlowTuple.make_udp(CLIENT, CLIENT, 50123, 4444)),
        (
            {"src_ip": "0000:0000:0000:0000:0000:0000:0000:0001", "dest_ip": "::1"},
            FlowTuple.make_tcp("::1", "::1", 50123, 4444),
        ),
        ({"proto": "ICMP", "icmp_type": 8, "icmp_code": 0}, ECHO),
        ({"proto": "ICMP", "icmp_type": 3, "icmp_code": 1}, FlowTuple.make_icmp(CLIENT, SERVER, 3, 1)),
        (
            {"proto": "IPv6-ICMP", "src_ip": "2001:db8::2", "dest_ip": "2001:db8::1", "icmp_type": 1, "icmp_code": 4},
            FlowTuple.make_icmp6("2001:db8::2", "2001:db8::1", 1, 4),
        ),
        ({"proto": "ESP"}, FlowTuple.make_ip(CLIENT, SERVER, 50)),
        ({"proto": "GRE"}, FlowTuple.make_ip(CLIENT, SERVER, 47)),
    ],
)
def test_where_suricata_leaves_the_standard_it_is_the_standard_s(fields: dict[str, Any], flow: FlowTuple) -> None:
    assert reported(**fields) == CommunityID().calc(flow)


def test_an_alert_about_an_answer_keeps_the_id_of_its_question() -> None:
    packet = {"proto": "ICMP", "src_ip": SERVER, "dest_ip": CLIENT, "icmp_type": 0, "icmp_code": 0}
    flow = {"src_ip": CLIENT, "dest_ip": SERVER, "pkts_toserver": 1, "pkts_toclient": 1}
    event = one(line("alert", {"signature_id": 1}, community_id=WRITTEN, flow=flow, **packet))
    assert event.network_community_id == CommunityID().calc(ECHO)


@pytest.mark.parametrize(
    "fields",
    [
        {"proto": "ICMP"},
        {"proto": "ICMP", "icmp_type": 3, "icmp_code": 70_000},
        {"proto": "ESP", "dest_ip": None},
        {"proto": "ESP", "dest_ip": "999.1.1.1"},
        {"proto": "HOPOPT"},
        {"dest_ip": CLIENT, "dest_port": None},
    ],
)
def test_a_record_that_does_not_name_its_flow_whole_keeps_suricata_s(fields: dict[str, Any]) -> None:
    assert reported(**fields) == WRITTEN


def test_a_suricata_that_writes_no_ids_gets_none() -> None:
    events, _ = read(line("flow", {}), line("flow", {}, dest_ip=CLIENT))
    assert [event.network_community_id for event in events] == [None, None]


def test_what_is_done_to_an_event_does_not_show_in_the_next_of_its_conversation() -> None:
    first = one(line("flow", {}, app_proto="tls", vlan=[7], community_id=WRITTEN))
    first.source_ip = "fd00::1"
    second = one(line("flow", {}))
    assert (second.source_ip, second.network_vlan_id, second.network_protocol) == (CLIENT, None, None)
    assert second.network_community_id is None


def test_the_same_ends_behind_other_link_addresses_are_told_apart() -> None:
    there, here = (
        one(line("flow", {}, ether={"src_mac": mac, "dest_mac": "02:00:00:00:00:09"}))
        for mac in ("02:00:00:00:00:01", "02:00:00:00:00:02")
    )
    assert (there.source_mac, here.source_mac) == ("02-00-00-00-00-01", "02-00-00-00-00-02")

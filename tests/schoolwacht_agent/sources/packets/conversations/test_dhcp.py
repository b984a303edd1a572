"""DHCP over the engine: the client is the source of both ways, with its link address."""

from __future__ import annotations

from ipaddress import ip_address

from schoolwacht.event import Dataset, Event
from tests.schoolwacht_agent.sources.packets.made import ethernet, ipv4, udp
from tests.schoolwacht_agent.sources.packets.played import Played

CLIENT_MAC = bytes.fromhex("020000000030")


def message(operation: int, kind: int) -> bytes:
    head = bytes((operation, 1, 6, 0)) + b"\x00\x00\xab\xcd" + bytes(8) + ip_address("10.21.4.30").packed + bytes(8)
    return head + CLIENT_MAC + bytes(10 + 192) + b"\x63\x82\x53\x63" + bytes((53, 1, kind, 255))


REQUEST = ethernet(ipv4(udp(message(1, 3), source=68, destination=67), source="0.0.0.0", destination="255.255.255.255"))
REPLY = ethernet(
    ipv4(udp(message(2, 5), source=67, destination=68), source="10.21.4.1", destination="10.21.4.30"), turned=True
)


def test_of_a_request_and_a_reply_the_client_is_the_source() -> None:
    request, reply = Played(REQUEST, REPLY).of(Dataset.DHCP)
    assert (request.source_ip, request.source_port, request.destination_port) == ("0.0.0.0", 68, 67)
    assert (reply.source_ip, reply.source_port, reply.destination_ip) == ("10.21.4.30", 68, "10.21.4.1")


def test_link_addresses_go_with_their_ends() -> None:
    for event in Played(REQUEST, REPLY).of(Dataset.DHCP):
        assert (event.source_mac, event.destination_mac) == ("02-00-00-00-00-30", "02-00-00-00-00-07")


RENEWAL = ethernet(ipv4(udp(message(1, 3), source=68, destination=67), source="10.21.4.30", destination="10.21.4.1"))
ENDS = ("10.21.4.30", 68, "02-00-00-00-00-30", "10.21.4.1", 67, "02-00-00-00-00-07")


def ends(event: Event) -> tuple[object, ...]:
    return (
        event.source_ip, event.source_port, event.source_mac,
        event.destination_ip, event.destination_port, event.destination_mac,
    )  # fmt: skip


def test_the_client_is_the_source_whichever_came_first() -> None:
    assert [ends(event) for event in Played(REPLY, RENEWAL).of(Dataset.DHCP)] == [ENDS, ENDS]
    assert [ends(event) for event in Played(RENEWAL, REPLY).of(Dataset.DHCP)] == [ENDS, ENDS]


def test_between_a_relay_and_a_server_the_relay_is_the_source_whichever_came_first() -> None:
    """Both speak from port 67 (RFC 2131 4.1)."""
    asked = ethernet(ipv4(udp(message(1, 3), source=67, destination=67), source="10.21.4.2", destination="10.21.4.1"))
    told = ethernet(
        ipv4(udp(message(2, 5), source=67, destination=67), source="10.21.4.1", destination="10.21.4.2"), turned=True
    )
    for frames in ((asked, told), (told, asked)):
        for event in Played(*frames).of(Dataset.DHCP):
            assert (event.source_ip, event.source_mac) == ("10.21.4.2", "02-00-00-00-00-30")
            assert (event.destination_ip, event.destination_mac) == ("10.21.4.1", "02-00-00-00-00-07")


def test_the_flow_of_the_reply_is_the_servers() -> None:
    flow = Played(REPLY).flow
    assert (flow.source_ip, flow.source_mac) == ("10.21.4.1", "02-00-00-00-00-07")

"""From frame to flow: every link type, tag, tunnel and header, and what of them does not hold together."""

from __future__ import annotations

from struct import pack

import pytest

from schoolwacht.event import Dataset
from schoolwacht_agent.sources.packets.records import Batch, Link
from tests.schoolwacht_agent.sources.packets.made import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    ethernet,
    ipv4,
    ipv6,
    tagged,
    tcp,
    udp,
)
from tests.schoolwacht_agent.sources.packets.played import Played, batch_of

ENDS = (CLIENT, 40_000, SERVER, 9_999)
ENDS6 = (CLIENT6, 40_000, SERVER6, 9_999)
PLAIN4, PLAIN6 = ipv4(udp()), ipv6(udp())


def ends(played: Played) -> tuple[object, ...]:
    flow = played.flow
    assert not played.counters.invalid
    return flow.source_ip, flow.source_port, flow.destination_ip, flow.destination_port


def reason(*frames: bytes, link: int = Link.ETHERNET) -> str:
    """Why a frame was left."""
    played = Played(*frames, link=link)
    assert not played.events
    (found,) = played.counters.invalid
    return found


# Links

LINKS = {
    "ethernet": (1, ethernet(PLAIN4)),
    "null, little-endian": (0, pack("<I", 2) + PLAIN4),
    "null, big-endian": (0, pack(">I", 2) + PLAIN4),
    "loop": (108, pack(">I", 2) + PLAIN4),
    "raw": (101, PLAIN4),
    "raw of BSD": (12, PLAIN4),
    "raw of OpenBSD": (14, PLAIN4),
    "IPv4": (228, PLAIN4),
    "cooked": (113, pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + PLAIN4),
    "cooked 2": (276, pack(">HHIHBB8s", 0x0800, 0, 1, 1, 0, 6, bytes(8)) + PLAIN4),
    "PPP": (9, b"\x00\x21" + PLAIN4),
    "PPP, compressed protocol": (9, b"\x21" + PLAIN4),
    "PPP in HDLC": (50, b"\xff\x03\x00\x21" + PLAIN4),
}  # fmt: skip
SNAP = b"\xaa\xaa\x03\x00\x00\x00"
LINKS6 = {
    "ethernet": (1, ethernet(PLAIN6)),
    "null of FreeBSD": (0, pack("<I", 28) + PLAIN6),
    "null of macOS": (0, pack("<I", 30) + PLAIN6),
    "raw": (101, PLAIN6),
    "IPv6": (229, PLAIN6),
    "cooked": (113, pack(">HHH8sH", 0, 1, 6, bytes(8), 0x86DD) + PLAIN6),
    "cooked 2": (276, pack(">HHIHBB8s", 0x86DD, 0, 1, 1, 0, 6, bytes(8)) + PLAIN6),
    "PPP": (9, b"\x00\x57" + PLAIN6),
}  # fmt: skip


@pytest.mark.parametrize(("link", "frame"), LINKS.values(), ids=LINKS)
def test_ipv4_is_found_on_every_link(link: int, frame: bytes) -> None:
    played = Played(frame, link=link)
    assert ends(played) == ENDS
    assert played.flow.source_bytes == len(frame)


@pytest.mark.parametrize(("link", "frame"), LINKS6.values(), ids=LINKS6)
def test_ipv6_is_found_on_every_link(link: int, frame: bytes) -> None:
    played = Played(frame, link=link)
    assert ends(played) == ENDS6
    assert played.flow.source_bytes == len(frame)


@pytest.mark.parametrize(
    ("link", "frame"), [*LINKS.values(), *LINKS6.values()], ids=[*LINKS, *(f"{n} 6" for n in LINKS6)]
)
def test_a_frame_cut_anywhere_is_left_and_counted(link: int, frame: bytes) -> None:
    for cut in range(len(frame)):
        played = Played(frame[:cut], link=link)
        assert not played.events
        assert sum(played.counters.invalid.values()) == 1


def test_an_unknown_link_type_is_counted_by_its_number() -> None:
    assert reason(PLAIN4, link=9_999) == "link type 9999"


def test_link_addresses_are_those_of_their_ends() -> None:
    flow = Played(ethernet(PLAIN4)).flow
    assert (flow.source_mac, flow.destination_mac) == ("02-00-00-00-00-30", "02-00-00-00-00-07")


def test_a_link_without_addresses_gives_none() -> None:
    flow = Played(PLAIN4, link=101).flow
    assert (flow.source_mac, flow.destination_mac) == (None, None)


# VLAN


@pytest.mark.parametrize("kind", [0x8100, 0x88A8, 0x9100])
@pytest.mark.parametrize("packet", [PLAIN4, PLAIN6], ids=["IPv4", "IPv6"])
def test_a_vlan_tag_is_kept_without_priority_and_its_bytes_count(kind: int, packet: bytes) -> None:
    flow = Played(tagged(ethernet(packet), 0xE000 | 42, kind=kind)).flow
    assert (flow.network_vlan_id, flow.network_inner_vlan_id) == ("42", None)
    assert flow.source_bytes == len(packet) + 18
    assert flow.source_mac == "02-00-00-00-00-30"


def test_of_two_tags_the_outer_and_the_inner_are_kept() -> None:
    flow = Played(tagged(tagged(ethernet(PLAIN4), 7), 1624, kind=0x88A8)).flow
    assert (flow.network_vlan_id, flow.network_inner_vlan_id) == ("1624", "7")


def test_a_tag_that_the_kernel_took_out_counts_like_one_in_the_frame() -> None:
    inside = Played(tagged(tagged(ethernet(PLAIN4), 7), 1624))
    outside = Played(tagged(ethernet(PLAIN4), 7), tag=1624)
    assert inside.events == outside.events
    assert Played(ethernet(PLAIN4), tag=0).flow.network_vlan_id == "0"


def test_the_same_addresses_in_two_vlans_are_two_flows() -> None:
    frame = ethernet(PLAIN4)
    played = Played(tagged(frame, 1), tagged(frame, 2), frame)
    assert [flow.network_vlan_id for flow in played.flows] == ["1", "2", None]


def test_too_many_tags_are_counted() -> None:
    frame = ethernet(PLAIN4)
    for tag in range(5):
        frame = tagged(frame, tag)
    assert reason(frame) == "vlan: too many tags"


# IPv4


def test_options_of_the_header_are_stepped_over() -> None:
    assert ends(Played(ethernet(ipv4(udp(), options=b"\x94\x04\x00\x00")))) == ENDS


def test_padding_behind_the_packet_is_not_payload() -> None:
    query = bytes.fromhex("abcd01000001000000000000") + b"\x07example\x03com\x00\x00\x01\x00\x01"
    frame = ethernet(ipv4(udp(query, destination=53))) + bytes(40)
    assert [event.dns_question_name for event in Played(frame).of(Dataset.DNS)] == ["example.com"]


def test_a_total_length_of_zero_is_segmentation_offload() -> None:
    assert ends(Played(ethernet(ipv4(udp(), total=0)))) == ENDS


def test_a_packet_that_was_captured_in_part_is_still_a_flow() -> None:
    whole = ethernet(ipv4(tcp(b"x" * 900), protocol=6))
    batch = batch_of([whole[:60]])
    seconds, _, start, captured, tag = batch.records[0]
    played = Played(batches=[Batch(batch.buffer, batch.link, [(seconds, len(whole), start, captured, tag)])])
    assert ends(played) == ENDS
    assert played.flow.source_bytes == len(whole)


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (b"\x65" + PLAIN4[1:], "ipv4: header does not hold together"),
        (b"\x44" + PLAIN4[1:], "ipv4: header does not hold together"),
        (ipv4(udp(), total=19), "ipv4: header does not hold together"),
        (ipv4(udp(), total=900), "ipv4: cut off"),
        (ipv4(udp()[:7]), "udp: short header"),
        (ipv4(pack(">HHHH", 1, 2, 7, 0)), "udp: header does not hold together"),
        (ipv4(pack(">HHHH", 1, 2, 900, 0)), "udp: header does not hold together"),
        (ipv4(tcp()[:19], protocol=6), "tcp: short header"),
        (ipv4(tcp()[:12] + b"\x40" + tcp()[13:], protocol=6), "tcp: header does not hold together"),
        (ipv4(tcp()[:12] + b"\xf0" + tcp()[13:], protocol=6), "tcp: header does not hold together"),
        (ipv4(bytes(8), protocol=58), "ipv4: ICMPv6 inside"),
        (ipv4(bytes(7), protocol=1), "icmp: short header"),
    ],
)
def test_what_does_not_hold_together_is_counted_by_its_reason(packet: bytes, said: str) -> None:
    assert reason(ethernet(packet, kind=0x0800)) == said


def test_ip_is_found_behind_an_802_2_header_with_an_ethertype() -> None:
    framed = SNAP + b"\x08\x00" + PLAIN4
    played = Played(ethernet(framed, kind=len(framed)) + bytes(4))
    assert ends(played) == ENDS
    assert played.flow.source_bytes == 14 + len(framed) + 4


@pytest.mark.parametrize("framed", [SNAP + b"\x08\x00", b"\xaa\xaa\x03\x00\x00\x0c\x20\x00" + PLAIN4, b"\x42\x42\x03"])
def test_another_802_2_frame_is_only_counted(framed: bytes) -> None:
    assert reason(ethernet(framed, kind=len(framed))) == "ethernet: 802.2 frame"


@pytest.mark.parametrize(
    ("kind", "said"), [(0x88CC, "ethertype 0x88cc"), (0x0026, "ethernet: 802.2 frame"), (0x8863, "ethertype 0x8863")]
)
def test_what_is_not_ip_is_counted_by_its_type(kind: int, said: str) -> None:
    assert reason(ethernet(bytes(46), kind=kind)) == said


# IPv6

HOP = bytes((43, 0)) + bytes(6)
ROUTING = bytes((60, 0)) + bytes(6)
OPTIONS = bytes((51, 1)) + bytes(14)
AUTHENTICATION = bytes((17, 4)) + bytes(22)


def test_extension_headers_are_stepped_over() -> None:
    packet = ipv6(HOP + ROUTING + OPTIONS + AUTHENTICATION + udp(), protocol=0)
    assert ends(Played(ethernet(packet))) == ENDS6


def test_an_atomic_fragment_is_a_whole_packet() -> None:
    assert ends(Played(ethernet(ipv6(pack(">BBHI", 17, 0, 0, 7) + udp(), protocol=44)))) == ENDS6


def test_a_jumbogram_is_as_long_as_what_is_there() -> None:
    assert ends(Played(ethernet(ipv6(udp(), length=0)))) == ENDS6


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (ipv6(b"", protocol=59), "ipv6: no next header"),
        (ipv6(b"\x00", protocol=0), "ipv6: short extension header"),
        (ipv6(b"\x11\xff" + bytes(14), protocol=0), "ipv6: short extension header"),
        (ipv6(bytes(8) * 20, protocol=0), "ipv6: too many extension headers"),
        (ipv6(bytes(4), protocol=44), "ipv6: short extension header"),
        (ipv6(udp(), length=900), "ipv6: cut off"),
        (b"\x40" + PLAIN6[1:], "ipv6: header does not hold together"),
    ],
)
def test_what_does_not_hold_together_of_ipv6_is_counted_by_its_reason(packet: bytes, said: str) -> None:
    assert reason(ethernet(packet, kind=0x86DD)) == said


# Fragments


def fragments4(payload: bytes, size: int) -> list[bytes]:
    return [
        ethernet(ipv4(payload[at : at + size], offset=at, more=at + size < len(payload)))
        for at in range(0, len(payload), size)
    ]


def fragments6(payload: bytes, size: int) -> list[bytes]:
    return [
        ethernet(ipv6(pack(">BBHI", 17, 0, at | (at + size < len(payload)), 7) + payload[at : at + size], protocol=44))
        for at in range(0, len(payload), size)
    ]


QUERY = bytes.fromhex("abcd01000001000000000000") + b"\x07example\x03com\x00\x00\x01\x00\x01"


@pytest.mark.parametrize("cut", [fragments4, fragments6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("turn", [False, True], ids=["in order", "turned round"])
def test_a_packet_in_fragments_is_read_when_it_is_whole(cut: object, turn: bool) -> None:
    assert callable(cut)
    frames = cut(udp(QUERY, destination=53), 16)
    played = Played(*(frames[::-1] if turn else frames))
    assert len(frames) > 2
    assert [event.dns_question_name for event in played.of(Dataset.DNS)] == ["example.com"]
    assert played.flow.source_packets == 1


def test_fragments_without_the_rest_are_given_up_and_counted() -> None:
    first, *_ = fragments4(udp(QUERY), 16)
    later = (90.0, ethernet(PLAIN4))
    played = Played((0.0, first), later)
    assert played.counters.evicted == 1
    assert len(played.flows) == 1


# Tunnels


@pytest.mark.parametrize(
    "outer",
    [
        ipv4(PLAIN4, protocol=4, source="192.0.2.1", destination="192.0.2.2"),
        ipv4(b"\x00\x00\x08\x00" + PLAIN4, protocol=47, source="192.0.2.1", destination="192.0.2.2"),
        ipv4(b"\xb0\x00\x08\x00" + bytes(12) + PLAIN4, protocol=47, source="192.0.2.1", destination="192.0.2.2"),
        ipv6(PLAIN4, protocol=4, source="2001:db8::1", destination="2001:db8::2"),
    ],
    ids=["IP in IP", "GRE", "GRE with checksum, key and number", "IPv4 in IPv6"],
)
def test_of_a_tunnel_what_is_in_it_is_shown(outer: bytes) -> None:
    played = Played(ethernet(outer))
    assert ends(played) == ENDS
    assert played.flow.source_bytes == len(PLAIN4)


INNER = ethernet(PLAIN4)


def gre(payload: bytes) -> bytes:
    return ethernet(ipv4(payload, protocol=47, source="192.0.2.1", destination="192.0.2.2"))


MIRRORED = b"\x10\x00\x88\xbe" + bytes(4) + b"\x10\x2a" + bytes(6)


@pytest.mark.parametrize(
    ("frame", "counted", "tag"),
    [
        (gre(b"\x00\x00\x65\x58" + INNER), len(INNER), None),
        (gre(b"\x00\x00\x65\x58" + tagged(INNER, 5)), len(INNER) + 4, "5"),
        (gre(b"\x00\x00\x88\xbe" + INNER), len(INNER), None),
        (gre(MIRRORED + INNER), len(INNER) + 8, "42"),
        (ethernet(b"\x00\x01\x01\x40" + bytes(4) + INNER, kind=0x8847), len(INNER) + 22, None),
    ],
    ids=["GRE", "GRE, tagged", "ERSPAN I", "ERSPAN II", "MPLS pseudo-wire"],
)
def test_a_frame_in_a_tunnel_counts_as_it_does_to_suricata(frame: bytes, counted: int, tag: str | None) -> None:
    played = Played(frame)
    assert ends(played) == ENDS
    assert played.flow.source_bytes == counted
    assert played.flow.network_vlan_id == tag


def test_of_a_tunnel_over_udp_both_are_shown() -> None:
    inner = ethernet(PLAIN4)
    outer = udp(b"\x08\x00\x00\x00\x00\x00\x2a\x00" + inner, destination=4789)
    played = Played(ethernet(ipv4(outer, source="192.0.2.1", destination="192.0.2.2")))
    assert {(flow.source_ip, flow.destination_port) for flow in played.flows} == {("192.0.2.1", 4789), (CLIENT, 9_999)}


def test_tunnels_in_tunnels_have_an_end() -> None:
    packet = PLAIN4
    for _ in range(8):
        packet = ipv4(packet, protocol=4)
    assert reason(ethernet(packet)) == "tunnel: too deep"


def test_pppoe_and_mpls_are_taken_off() -> None:
    session = pack(">BBHH", 0x11, 0, 1, len(PLAIN4) + 2) + b"\x00\x21" + PLAIN4
    assert ends(Played(ethernet(session, kind=0x8864))) == ENDS
    labels = pack(">II", 100 << 12 | 64, 200 << 12 | 0x100 | 64)
    assert ends(Played(ethernet(labels + PLAIN4, kind=0x8847))) == ENDS


def test_an_answer_to_arp_names_both_machines() -> None:
    body = pack(">HHBBH", 1, 0x0800, 6, 4, 2) + bytes.fromhex("020000000007") + bytes((10, 21, 4, 1))
    body += bytes.fromhex("020000000030") + bytes((10, 21, 4, 30))
    (event,) = Played(tagged(tagged(ethernet(body, kind=0x0806), 7), 1624)).of(Dataset.ARP)
    assert (event.source_ip, event.destination_ip) == ("10.21.4.1", "10.21.4.30")
    assert (event.network_vlan_id, event.network_inner_vlan_id) == ("1624", "7")

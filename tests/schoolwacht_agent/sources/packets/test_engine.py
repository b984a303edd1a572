"""The engine as a whole: what is the same however packets come in batches, and that nothing stops it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.config import PacketsTable
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.records import PAD, TAGGED, Batch, Link
from tests.parts import CAPTURES
from tests.schoolwacht_agent.sources.packets.dissect.recorded import PROGRAMS
from tests.schoolwacht_agent.sources.packets.made import ethernet, ipv4, ipv6, tagged, tcp, udp
from tests.schoolwacht_agent.sources.packets.played import Played, batch_of

SEED = int(os.environ.get("SCHOOLWACHT_FUZZ_SEED", "1"))
ROUNDS = int(os.environ.get("SCHOOLWACHT_FUZZ_ROUNDS", "40"))
RECORDINGS = [PROGRAMS, *sorted(CAPTURES.glob("*.pcap"))]
#: scapy is left out: it has a process and tests of its own, and answers by the clock.
PLAIN = PacketsTable(rare_per_second=0, max_flows=1_000, streams_mib=1, fragments_mib=1)
Packet = tuple[float, bytes]


def packets_of(batches: list[Batch]) -> list[Packet]:
    return [
        (seconds, batch.buffer[start : start + captured])
        for batch in batches
        for seconds, _, start, captured, _ in batch.records
    ]


RECORDED = {path.stem: packets_of(list(read_capture(path))) for path in RECORDINGS}


def batch(packets: list[Packet], link: int = Link.ETHERNET, *, tag: int = 0) -> Batch:
    buffer, records = bytearray(), []
    for seconds, frame in packets:
        records.append((seconds, len(frame), len(buffer), len(frame), tag))
        buffer += frame
    return Batch(bytes(buffer) + PAD, link, records)


def told(batches: list[Batch]) -> list[bytes]:
    played = Played(batches=batches, settings=PLAIN)
    return [msgspec.json.encode(event) for event in played.events]


@settings(max_examples=15)
@given(data=st.data())
def test_how_packets_come_in_batches_changes_no_event(data: st.DataObject) -> None:
    packets = RECORDED[data.draw(st.sampled_from(["web-and-dns", "bad-tls", "programs"]))]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(packets) - 1), max_size=30)))
    parts = [packets[a:b] for a, b in zip([0, *cuts], [*cuts, len(packets)], strict=True)]
    assert told([batch(part) for part in parts]) == told([batch(packets)])


def tagged_by(packets: list[Packet], *tags: int) -> Batch:
    """The packets with VLAN tags in their frames, the inner first."""
    for tag in tags:
        packets = [(at, tagged(frame, tag)) for at, frame in packets]
    return batch(packets)


@pytest.mark.parametrize(
    ("tags", "play"),
    [
        (1, lambda packets: tagged_by(packets, 9)),
        (1, lambda packets: batch(packets, tag=TAGGED | 9)),
        (2, lambda packets: tagged_by(packets, 8, 9)),
    ],
    ids=["one tag", "a tag that the kernel took out", "two tags"],
)
def test_a_frame_is_the_same_to_the_fast_and_to_the_thorough_way(
    tags: int, play: Callable[[list[Packet]], Batch]
) -> None:
    # Without a tag IPv4 stays in the loop; with one it goes the way of IPv6; with two through the decoder.
    for packets in RECORDED.values():
        plain = Played(batches=[batch(packets)], settings=PLAIN)
        tagged_too = Played(batches=[play(packets)], settings=PLAIN)
        assert [_without_tags(event, tags) for event in tagged_too.events] == plain.events
        assert tagged_too.counters.invalid == plain.counters.invalid


def _without_tags(event: Event, tags: int) -> Event:
    def less(value: int | None, packets: int | None) -> int | None:
        return None if value is None else value - 4 * tags * (packets or 0)

    assert event.network_vlan_id == "9"
    return msgspec.structs.replace(
        event,
        network_vlan_id=None,
        network_inner_vlan_id=None,
        source_bytes=less(event.source_bytes, event.source_packets),
        destination_bytes=less(event.destination_bytes, event.destination_packets),
        network_bytes=less(event.network_bytes, event.network_packets),
    )


def test_every_packet_of_a_recording_is_in_a_flow_or_counted() -> None:
    for packets in RECORDED.values():
        played = Played(batches=[batch(packets)], settings=PLAIN)
        flows = sum(flow.network_packets or 0 for flow in played.flows)
        arp = len(played.of(Dataset.ARP))
        left = sum(played.counters.invalid.values())
        assert flows + arp + left == played.counters.packets == len(packets)
        assert played.counters.bytes == sum(len(frame) for _, frame in packets)
        assert played.counters.events == len(played.events)


# Hostile input

BASES = [
    packet
    for name in ("programs", "web-and-dns", "bad-tls", "ssh-guessing")
    for packet in RECORDED[name][:150]
] + [
    (0.0, frame)
    for frame in (
        ethernet(ipv6(udp())),
        ethernet(ipv6(b"\x2c\x00" + bytes(6) + b"\x11\x00\x00\x01" + bytes(4) + udp(), protocol=0)),
        ethernet(ipv4(ipv4(udp()), protocol=4)),
        ethernet(ipv4(b"\x20\x00\x65\x58" + bytes(4) + ethernet(ipv4(tcp(b"GET / "), protocol=6)), protocol=47)),
        ethernet(ipv4(udp(b"\x08" + bytes(7) + ethernet(ipv4(udp())), destination=4789))),
        ethernet(ipv4(udp(b"\x02" + bytes(1) + b"\x65\x58" + bytes(12) + ethernet(ipv4(udp())), destination=6081))),
        ethernet(ipv4(udp(b"\x00\x02" + bytes(6) + ipv4(udp()), destination=1701))),
        ethernet(b"\x11\x00\x00\x01\x00\x30\x00\x21" + ipv4(udp()), kind=0x8864),
        ethernet(b"\x00\x01\x01\x40" + ipv4(udp()), kind=0x8847),
        ethernet(ipv4(b"\x03\x03" + bytes(6) + ipv4(udp())[:28], protocol=1)),
        tagged(tagged(ethernet(ipv4(udp())), 5), 6),
    )
]  # fmt: skip
LINKS = (0, 1, 9, 12, 50, 101, 105, 108, 113, 127, 192, 228, 229, 276, 9_999)


def mutated(random_source: random.Random, rounds: int) -> Iterator[list[Packet]]:
    """Recorded traffic with bytes changed, frames cut, doubled, mixed up and moved in time."""
    edges = (0, 1, 0x0F, 0x45, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
    for _ in range(rounds):
        packets = []
        for seconds, frame in random_source.sample(BASES, 300):
            changed = bytearray(frame)
            for _ in range(random_source.randrange(4)):
                # The headers lie in front: most damage is done there.
                place = random_source.randrange(min(len(changed), random_source.choice((20, 60, 200, 2_000))))
                changed[place] = random_source.choice((random_source.choice(edges), random_source.randrange(256)))
            if random_source.random() < 0.2:
                del changed[random_source.randrange(len(changed) + 1) :]
            moved = random_source.choice((-1e9, -50, 70, 1e4, 1e10, 1e19)) if random_source.random() < 0.1 else 0
            packets.append((seconds + moved, bytes(changed)))
        yield packets


def test_no_damaged_traffic_stops_the_engine_and_all_of_it_is_counted() -> None:
    for packets in mutated(random.Random(SEED), ROUNDS):
        for link in (Link.ETHERNET, random.Random(SEED).choice(LINKS)):
            played = Played(batches=[batch(packets, link)], settings=PLAIN)
            assert played.counters.packets == 300
            for event in played.events:
                assert msgspec.json.encode(event)


def test_damaged_traffic_gives_the_same_events_each_time() -> None:
    for packets in mutated(random.Random(SEED + 1), 5):
        assert told([batch(packets)]) == told([batch(packets)])


@settings(max_examples=200)
@given(
    frames=st.lists(st.binary(max_size=120), max_size=8),
    link=st.sampled_from(LINKS),
    tag=st.none() | st.integers(0, 4_095),
)
def test_no_bytes_on_any_link_stop_the_engine(frames: list[bytes], link: int, tag: int | None) -> None:
    played = Played(batches=[batch_of(frames, link=link, tag=tag)], settings=PLAIN)
    assert played.counters.packets == len(frames)


HEADS = [ethernet(b"", kind=kind) for kind in (0x0800, 0x86DD, 0x8100, 0x0806, 0x8847, 0x8864)]
PACKETS = st.one_of(
    st.binary(max_size=80).map(lambda payload: ipv4(payload, protocol=6)),
    st.tuples(st.binary(max_size=80), st.integers(0, 255)).map(lambda drawn: ipv4(drawn[0], protocol=drawn[1])),
    st.tuples(st.binary(max_size=80), st.integers(0, 255)).map(lambda drawn: ipv6(drawn[0], protocol=drawn[1])),
    st.tuples(st.binary(max_size=80), st.sampled_from([53, 67, 161, 443, 4789, 6081, 1701, 88])).map(
        lambda drawn: ipv4(udp(drawn[0], destination=drawn[1]))
    ),
    st.tuples(st.binary(max_size=80), st.integers(0, 63), st.integers(0, 2_000)).map(
        lambda drawn: ipv4(tcp(drawn[0], flags=drawn[1], sequence=drawn[2]), protocol=6)
    ),
)  # fmt: skip


@settings(max_examples=200)
@given(packets=st.lists(PACKETS, max_size=20))
def test_no_payload_of_any_protocol_stops_the_engine(packets: list[bytes]) -> None:
    played = Played(*(ethernet(packet) for packet in packets), settings=PLAIN)
    assert played.counters.packets == len(packets)
    flows = sum(flow.network_packets or 0 for flow in played.flows)
    assert flows <= 3 * len(packets)  # a tunnel's packet counts with what is in it


@pytest.mark.parametrize("flags", [0, 0x29, 0x3F], ids=["null", "xmas", "all"])
def test_odd_flags_make_flows_all_the_same(flags: int) -> None:
    played = Played(*(ethernet(ipv4(tcp(flags=flags, destination=port), protocol=6)) for port in range(1, 100)))
    assert len(played.flows) == 99

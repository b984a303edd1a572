"""What of decoded packets leaves: by type and by name, treated, bounded, and nothing that nobody named."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.evidence.dissect import DecodedPacket, FieldKind
from schoolwacht_agent.evidence.policy import TEXTS, plain, probe
from schoolwacht_agent.evidence.tree import Tree, make_tree, unknown
from schoolwacht_agent.minimise.treatment import FIELDS

SIGNAL = Event(datetime(2026, 11, 24, tzinfo=UTC), Dataset.SIGNAL)
KNOWN = {
    "ip.src": FieldKind("FT_IPv4", "Source Address"),
    "eth.src": FieldKind("FT_ETHER", "Source"),
    "dns.qry.name": FieldKind("FT_STRING", "Name"),
    "dns.qry.type": FieldKind("FT_UINT16", "Type", {"1": "A (Host Address)"}),
    "http.request.uri": FieldKind("FT_STRING", "Request URI"),
    "http.cookie": FieldKind("FT_STRING", "Cookie"),
    "http.user_agent": FieldKind("FT_STRING", "User-Agent"),
    "tcp.payload": FieldKind("FT_BYTES", "TCP payload"),
    "tcp.len": FieldKind("FT_UINT32", "TCP Segment Len"),
    "eth.src.oui": FieldKind("FT_UINT24", "Source OUI"),
}


def packet(*fields: tuple[str, str], seconds: str = "1.5", layer: str = "dns") -> DecodedPacket:
    return DecodedPacket(seconds, 60, [(layer, list(fields))])


def masked(events: list[Event]) -> None:
    """A treatment that shows where it was asked."""
    for event in events:
        for name in ("source_ip", "source_mac", "dns_question_name", "message"):
            if (value := getattr(event, name)) is not None:
                setattr(event, name, f"<{name}:{len(value)}>")


def tree(*packets: DecodedPacket, max_bytes: int = 1 << 16) -> Tree:
    return msgspec.json.decode(make_tree(list(packets), KNOWN, SIGNAL, masked, max_bytes), type=Tree)


def fields(of: Tree) -> dict[str, str]:
    return {name: value for one in of.packets for layer in one.layers for name, _, value in layer.fields}


def test_addresses_macs_and_names_are_treated_and_figures_stay() -> None:
    made = tree(
        packet(
            ("ip.src", "10.0.0.1"), ("eth.src", "02:00:00:00:00:01"), ("dns.qry.name", "Www.Example.Org"),
            ("dns.qry.type", "1"), ("tcp.len", "0x10"),
        )
    )  # fmt: skip
    assert fields(made) == {
        "ip.src": "<source_ip:8>",
        "eth.src": "<source_mac:17>",
        "dns.qry.name": "<dns_question_name:15>",
        "dns.qry.type": "A (Host Address) (1)",
        "tcp.len": "0x10",
    }
    assert made.packets[0].time == "1970-01-01T00:00:01.500000Z"


@pytest.mark.parametrize(
    "field",
    [
        ("http.request.uri", "/search?q=pupil"), ("http.cookie", "session=1"), ("tcp.payload", "70:75:70:69:6c"),
        ("no.such.field", "pupil"), ("eth.src.oui", "123456"), ("tcp.len", "pupil"), ("dns.qry.type", "1; pupil"),
        ("eth.src", "pupil"),
    ],
)  # fmt: skip
def test_what_is_not_named_or_not_of_its_type_is_left_out_and_counted(field: tuple[str, str]) -> None:
    made = tree(packet(field))
    assert (fields(made), made.left_out.fields) == ({}, 1)


@given(
    name=st.sampled_from(sorted(KNOWN)) | st.text(max_size=20),
    value=st.text(max_size=60),
    layer=st.text(max_size=50),
    seconds=st.text(max_size=20),
)
def test_no_text_of_a_packet_gets_through_untreated(name: str, value: str, layer: str, seconds: str) -> None:
    marked = f"pupil-{value}"
    shown = fields(tree(packet((name, marked), seconds=seconds, layer=layer)))
    assert not any("pupil" in text for text in shown.values())


def test_every_text_is_treated_as_a_field_that_the_policy_of_events_has() -> None:
    assert set(TEXTS.values()) <= set(FIELDS)


@given(count=st.integers(0, 60), max_bytes=st.integers(200, 20_000))
def test_a_tree_keeps_to_its_size_and_counts_the_packets_that_found_no_room(count: int, max_bytes: int) -> None:
    packets = [packet(("tcp.len", str(number)), ("ip.src", "10.0.0.1")) for number in range(count)]
    data = make_tree(packets, KNOWN, SIGNAL, masked, max_bytes)
    assert len(data) <= max_bytes
    made = msgspec.json.decode(data, type=Tree)
    assert len(made.packets) + made.left_out.packets == count


def test_only_fields_of_which_nothing_is_known_are_asked_for() -> None:
    assert unknown([packet(("ip.src", "x"), ("ldap.sid", "x"), ("tcp.options.nop", "01"))], KNOWN) == {"ldap.sid"}


def test_a_host_is_treated_without_its_port() -> None:
    assert probe("http.host", "FT_STRING", "intern.school.lan:8080") == ("url_domain", "intern.school.lan")
    assert probe("http.host", "FT_STRING", "intern.school.lan") == ("url_domain", "intern.school.lan")


def test_a_user_number_is_no_plain_figure() -> None:
    assert plain("dns.id", "FT_UINT16", "0x1234")
    assert not plain("rpc.auth.uid", "FT_UINT32", "1001")

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.snmp import SnmpMessage, dissect_snmp

#: A request for sysDescr of an SNMPv2c manager, and the parts of it.
GET = bytes.fromhex("302602010104067075626c6963a019020104020100020100300e300c06082b060102010101000500")
PUBLIC = b"\x04\x06public"


def element(tag: int, value: bytes, *, width: int = 0) -> bytes:
    """A BER element; its length in the long form if ``width`` bytes are asked for."""
    size = bytes([len(value)]) if not width else bytes([0x80 | width]) + len(value).to_bytes(width, "big")
    return bytes([tag]) + size + value


def message(version: int, pdu: int, first: bytes, *, width: int = 0) -> bytes:
    """A message whose PDU begins with ``first``."""
    body = element(2, bytes([version])) + PUBLIC + element(pdu, first + bytes(40), width=width)
    return element(0x30, body, width=width)


REQUEST = element(2, pack(">I", 7))


def test_a_request_is_read() -> None:
    assert dissect_snmp(GET) == SnmpMessage("2c", "get_request", "public")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (0xA1, "get_next_request"),
        (0xA2, "response"),
        (0xA3, "set_request"),
        (0xA5, "get_bulk_request"),
        (0xA6, "inform_request"),
        (0xA7, "trap_v2"),
        (0xA8, "report"),
    ],
)
def test_each_kind_of_pdu_has_its_name(tag: int, name: str) -> None:
    assert dissect_snmp(message(1, tag, REQUEST)) == SnmpMessage("2c", name, "public")


def test_a_trap_of_version_1_begins_with_who_sends_it() -> None:
    enterprise = element(6, b"\x2b\x06\x01")
    assert dissect_snmp(message(0, 0xA4, enterprise)) == SnmpMessage("1", "trap_v1", "public")
    assert dissect_snmp(message(0, 0xA4, REQUEST)) is None


def test_version_3_has_neither_community_nor_pdu() -> None:
    body = element(2, b"\3") + element(0x30, REQUEST)
    assert dissect_snmp(element(0x30, body)) == SnmpMessage("3", None, None)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_lengths_may_take_the_long_form(width: int) -> None:
    assert dissect_snmp(message(1, 0xA2, REQUEST, width=width)) == SnmpMessage("2c", "response", "public")


def test_a_community_that_is_no_text_is_written_as_escapes() -> None:
    found = dissect_snmp(GET.replace(b"public", b"pub\xfflc"))
    assert found is not None
    assert found.community == "pub\\xfflc"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x30", b"\x30\x80", GET[:-1], b"\x31" + GET[1:], GET.replace(b"\xa0", b"\xa9"), GET[:4] + b"\2" + GET[5:]],
    ids=["empty", "tag only", "endless", "cut off", "no sequence", "no PDU", "unknown version"],
)
def test_what_is_no_message_is_none(payload: bytes) -> None:
    assert dissect_snmp(payload) is None


@given(st.integers(0, len(GET) - 1), st.integers(0, 255))
def test_a_length_that_leads_out_of_what_is_around_it_is_refused(at: int, value: int) -> None:
    damaged = GET[:at] + bytes([value]) + GET[at + 1 :]
    found = dissect_snmp(damaged)
    assert found is None or (found.community is None) == (found.version == "3")

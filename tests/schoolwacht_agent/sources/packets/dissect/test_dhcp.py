from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.dhcp import DhcpMessage, dissect_dhcp
from tests.schoolwacht_agent.sources.packets.dissect.recorded import dhcp_payloads

FIXED = bytes.fromhex("01 01 06 00 1234abcd 0000 0000") + bytes(16) + bytes.fromhex("02005e005301") + bytes(202)
COOKIE = b"\x63\x82\x53\x63"


def message(options: bytes, *, fixed: bytes = FIXED) -> DhcpMessage:
    found = dissect_dhcp(fixed + COOKIE + options)
    assert found is not None
    return found


def test_the_messages_of_real_programs_are_read() -> None:
    discover, offer = (dissect_dhcp(payload) for payload in dhcp_payloads())
    assert discover is not None
    assert offer is not None
    assert (discover.reply, discover.type) == (False, "discover")
    assert (offer.reply, offer.type) == (True, "offer")
    assert offer.transaction_id == discover.transaction_id
    assert offer.assigned_ip is not None
    assert offer.assigned_ip.startswith("192.0.2.1")
    assert (offer.server_id, offer.subnet_mask) == ("192.0.2.1", "255.255.255.0")
    assert offer.dns_servers == ("192.0.2.1",)
    assert offer.lease_time is not None


def test_what_a_client_says_of_itself_is_read() -> None:
    found = message(
        b"\x35\x01\x03" + b"\x0c\x05PC-23" + b"\x32\x04\x0a\x15\x00\x17" + b"\x3c\x03MSF" + b"\x3d\x03\x01ab\xff"
    )
    assert (found.type, found.host_name, found.requested_ip) == ("request", "PC-23", "10.21.0.23")
    assert (found.vendor_class, found.client_id) == ("MSF", b"ab")
    assert (found.transaction_id, found.client_mac) == (0x1234ABCD, bytes.fromhex("02005e005301"))
    assert found.client_ip is None


def test_padding_and_a_cut_off_option_do_no_harm() -> None:
    assert message(b"\0\0\0\x35\x01\x01\0\0\x0c\x20cut").type == "discover"


def test_an_unknown_type_is_its_number_and_none_is_absent() -> None:
    assert message(b"\x35\x01\x63\xff").type == "99"
    assert message(b"\xff").type is None


def test_a_name_loses_the_zeros_at_its_end() -> None:
    assert message(b"\x0c\x03ab\0\xff").host_name == "ab"
    assert message(b"\x0c\x01\0\xff").host_name is None


def test_bootp_and_other_operations_are_no_dhcp() -> None:
    assert dissect_dhcp(FIXED + bytes(64)) is None
    assert dissect_dhcp(b"\x03" + FIXED[1:] + COOKIE) is None
    assert dissect_dhcp(FIXED[:2] + b"\x11" + FIXED[3:] + COOKIE) is None


@given(st.binary(max_size=300))
def test_any_options_are_read(options: bytes) -> None:
    message(options)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    dissect_dhcp(payload)
    dissect_dhcp(payload.ljust(236, b"\1") + COOKIE)

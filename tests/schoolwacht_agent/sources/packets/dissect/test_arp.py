from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.arp import ArpMessage, dissect_arp
from tests.schoolwacht_agent.sources.packets.dissect.recorded import arp_payloads

REPLY = bytes.fromhex("0001 0800 06 04 0002 02005e005301 c0000201 02005e005302 c000020a")


def test_the_messages_of_a_real_host_are_read() -> None:
    found = [dissect_arp(payload) for payload in arp_payloads()]
    assert all(found)
    ends = {(one.operation, one.sender_ip, one.target_ip) for one in found if one is not None}
    assert ("request", "192.0.2.10", "192.0.2.1") in ends
    assert ("reply", "192.0.2.1", "192.0.2.10") in ends


def test_padding_is_ignored() -> None:
    sender, target = bytes.fromhex("02005e005301"), bytes.fromhex("02005e005302")
    assert dissect_arp(REPLY + bytes(18)) == ArpMessage("reply", sender, "192.0.2.1", target, "192.0.2.10")


def test_an_unknown_operation_is_its_number() -> None:
    found = dissect_arp(REPLY[:6] + b"\x12\x34" + REPLY[8:])
    assert found is not None
    assert found.operation == "4660"


@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_other_kinds_of_addresses_are_refused(at: int) -> None:
    assert dissect_arp(REPLY[:at] + b"\x77" + REPLY[at + 1 :]) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    assert dissect_arp(payload) is None or len(payload) >= 28

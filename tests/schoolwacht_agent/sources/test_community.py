"""Values of the specification's own baseline (corelight/community-id-spec)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.community import community_id

TCP, UDP, SCTP, ICMP, ICMP6 = 6, 17, 132, 1, 58


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (("128.232.110.120", "66.35.250.204", 34855, 80, TCP), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (("192.168.1.52", "8.8.8.8", 54585, 53, UDP), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (("192.168.170.8", "192.168.170.56", 7, 80, SCTP), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
        (("192.168.0.89", "192.168.0.1", 8, 0, ICMP), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, ICMP6), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ],
)
def test_the_published_values_come_out(flow: tuple[str, str, int, int, int], expected: str) -> None:
    assert community_id(*flow) == expected


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 65535), st.integers(0, 65535))
def test_both_directions_have_one_name(one: object, other: object, first: int, second: int) -> None:
    there = community_id(str(one), str(other), first, second, TCP)
    assert there == community_id(str(other), str(one), second, first, TCP)


def test_an_echo_and_its_answer_have_one_name() -> None:
    asked = community_id("192.0.2.1", "192.0.2.2", 8, 0, ICMP)
    assert asked == community_id("192.0.2.2", "192.0.2.1", 0, 0, ICMP)


def test_messages_that_nobody_answers_keep_their_direction() -> None:
    assert community_id("192.0.2.1", "192.0.2.2", 3, 1, ICMP) != community_id("192.0.2.2", "192.0.2.1", 3, 1, ICMP)

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.config import DEFAULT_HOME
from schoolwacht_agent.direction import Homes


def _directed(source: str | None, destination: str | None, homes: Homes | None = None) -> Direction | None:
    event = Event(datetime(2026, 1, 1, tzinfo=UTC), Dataset.FLOW, source_ip=source, destination_ip=destination)
    (homes or Homes()).direct(event)
    return event.network_direction


@pytest.mark.parametrize(
    ("source", "destination", "direction"),
    [
        ("10.1.2.3", "8.8.8.8", Direction.OUTBOUND),
        ("8.8.8.8", "10.1.2.3", Direction.INBOUND),
        ("10.1.2.3", "192.168.1.1", Direction.INTERNAL),
        ("8.8.8.8", "9.9.9.9", Direction.EXTERNAL),
        ("fd00::1", "2001:4860:4860::8888", Direction.OUTBOUND),
        ("fe80::1%eth0", "fd00::1", Direction.INTERNAL),
        ("::ffff:10.0.0.1", "8.8.8.8", Direction.OUTBOUND),
        ("100.64.0.1", "100.128.0.1", Direction.OUTBOUND),
    ],
)
def test_the_direction_follows_from_which_ends_are_at_home(source: str, destination: str, direction: Direction) -> None:
    assert _directed(source, destination) is direction


@pytest.mark.parametrize("destination", ["224.0.0.251", "255.255.255.255", "ff02::fb"])
def test_multicast_and_broadcast_stay_in_the_network_of_their_sender(destination: str) -> None:
    assert _directed("10.1.2.3", destination) is Direction.INTERNAL
    assert _directed("8.8.8.8", destination) is Direction.EXTERNAL


def test_a_dhcp_client_without_an_address_is_at_home() -> None:
    assert _directed("0.0.0.0", "255.255.255.255") is Direction.INTERNAL


def test_a_multicast_network_can_be_named_as_home() -> None:
    assert Homes(["224.0.0.0/4"]).is_home("224.0.0.1")


def test_an_event_without_both_addresses_gets_no_direction() -> None:
    assert _directed(None, "10.0.0.1") is None
    assert _directed("10.0.0.1", None) is None


@pytest.mark.parametrize("text", ["", "example.nl", "10.0.0.256", "10.0.0.1 ", "\x00"])
def test_text_that_is_no_address_is_not_home(text: str) -> None:
    assert not Homes().is_home(text)


def test_the_school_may_have_public_networks_of_its_own() -> None:
    homes = Homes(["203.0.113.0/24"])
    assert _directed("203.0.113.9", "10.0.0.1", homes) is Direction.OUTBOUND


def test_a_network_with_host_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Homes(["10.0.0.1/8"])


@given(st.ip_addresses().filter(lambda address: not address.is_unspecified))
def test_home_is_what_the_standard_library_says_is_in_the_networks(address: IPv4Address | IPv6Address) -> None:
    real = getattr(address, "ipv4_mapped", None) or address
    inside = any(real in ip_network(network) for network in DEFAULT_HOME)
    assert Homes().is_home(str(address)) is inside

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.query.addresses import bounds, network, packed, spelled


@given(st.ip_addresses())
def test_an_address_keeps_its_meaning(address: IPv4Address | IPv6Address) -> None:
    bytes_ = packed(str(address))

    assert bytes_ is not None
    assert len(bytes_) == 16
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert ip_address(spelled(bytes_)) == (mapped or address)


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "01.2.3.4", "1.2.3.4 ", "fe80::1%eth0", "::1\0", "x" * 9000]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert packed(text) is None


def test_an_ipv4_address_and_its_mapped_form_are_one() -> None:
    assert packed("10.0.0.1") == packed("::ffff:10.0.0.1") == packed("::FFFF:a00:1")


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_bounds_hold_exactly_the_addresses_of_the_network(
    base: IPv4Address | IPv6Address, prefix: int, other: IPv4Address | IPv6Address
) -> None:
    net: IPv4Network | IPv6Network = ip_network(f"{base}/{min(prefix, base.max_prefixlen)}", strict=False)
    first, last = bounds(net)
    bytes_ = packed(str(other))

    assert bytes_ is not None
    if other.version == net.version:
        assert (first <= bytes_ <= last) == (other in net)


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/255.0.0.0", "x/8", "::/129"]
)
def test_what_is_no_network_is_none(text: str) -> None:
    assert network(text) is None

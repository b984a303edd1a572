from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.direction import number_of
from schoolwacht_agent.standpoint.table import Entry, Found, Network, Place, Table

VLANS = (None, "10", "20", "10.20")


def entry(network: str | None, vlan: str | None, name: str) -> Entry:
    return Entry(None if network is None else ip_network(network), vlan, Place(None, name))


def zone(table: Table, address: str | None, vlan: str | None = None) -> str | None:
    found = table.find(number_of(address), vlan)
    return None if found is None else found.place.zone


def test_the_longest_prefix_wins() -> None:
    table = Table(
        [entry("10.0.0.0/8", None, "all"), entry("10.1.0.0/16", None, "part"), entry("fd00::/8", None, "six")]
    )
    assert zone(table, "10.1.2.3") == "part"
    assert zone(table, "10.2.2.3") == "all"
    assert zone(table, "fd12::1") == "six"
    assert zone(table, "11.0.0.1") is None


def test_of_two_equal_networks_the_one_on_this_vlan_wins() -> None:
    table = Table([entry("10.0.0.0/8", None, "any"), entry("10.0.0.0/8", "20", "tagged"), entry(None, "20", "vlan")])
    assert zone(table, "10.0.0.1", "20") == "tagged"
    assert zone(table, "10.0.0.1", "10") == "any"
    assert zone(table, "192.0.2.1", "20") == "vlan"
    assert zone(table, None, "20") == "vlan"
    assert zone(table, None, None) is None


def test_both_tags_say_more_than_the_outer_one() -> None:
    table = Table([entry(None, "20", "outer"), entry(None, "20.5", "pair")])
    assert table.has_pairs
    assert zone(table, "10.0.0.1", "20.5") == "pair"
    assert zone(table, "10.0.0.1", "20.6") == "outer"
    assert zone(table, "10.0.0.1", "20") == "outer"


@pytest.mark.parametrize("text", ["", "example.nl", "10.0.0.256", "010.0.0.1", "\x00", None])
def test_what_is_no_address_has_no_place(text: str | None) -> None:
    assert zone(Table([entry("0.0.0.0/0", None, "all")]), text) is None


def test_a_mapped_address_is_the_one_that_it_maps() -> None:
    table = Table([entry("10.0.0.0/8", None, "four")])
    assert zone(table, "::ffff:10.0.0.1") == "four"
    assert zone(table, "fe80::1%eth0") is None


def _brute(entries: list[Entry], address: str, vlan: str | None) -> Found | None:
    """The rule of the module, said once more without an index."""
    number = ip_address(address)
    tags = [] if vlan is None else list(dict.fromkeys([vlan.partition(".")[0], vlan]))
    best: tuple[int, int, Found] | None = None
    latest = {(one.network, one.vlan): one for one in entries}
    for one in latest.values():
        if (one.vlan is not None and one.vlan not in tags) or (one.network is not None and number not in one.network):
            continue
        if one.network is None and one.vlan is None:
            continue
        length = 0 if one.network is None else one.network.prefixlen
        rank = -1 if one.vlan is None else tags.index(one.vlan)
        if best is None or (length, rank, one.network is not None) > (best[0], best[1], best[2].place.school == "net"):
            best = (length, rank, Found(Place("net" if one.network is not None else "", one.place.zone), length))
    return None if best is None else best[2]


def _network(text: str) -> Network:
    return ip_network(text, strict=False)


networks = st.one_of(
    st.none(),
    st.builds(lambda a, p: _network(f"10.{a}.{a}.{a}/{p}"), st.integers(0, 3), st.integers(0, 32)),
    st.builds(lambda a, p: _network(f"2001:db8::{a:x}/{p}"), st.integers(0, 3), st.integers(0, 128)),
)

places = st.builds(Place, st.none(), st.text("abc", max_size=2))


@given(
    st.lists(
        st.builds(Entry, networks, st.sampled_from(VLANS), st.builds(Place, st.none(), st.text("abc", max_size=2)))
    ),
    st.sampled_from(["10.0.0.0", "10.1.1.1", "10.3.3.3", "192.0.2.1", "2001:db8::", "2001:db8::2", "::1"]),
    st.sampled_from(VLANS),
)
def test_the_index_finds_what_trying_every_entry_finds(entries: list[Entry], address: str, vlan: str | None) -> None:
    found, expected = Table(entries).find(number_of(address), vlan), _brute(entries, address, vlan)
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert (found.place.zone, found.length) == (expected.place.zone, expected.length)

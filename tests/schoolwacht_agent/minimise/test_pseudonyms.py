from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.minimise.pseudonyms import Cache, zone_number
from tests.schoolwacht_agent.minimise.made import pseudonyms

HOME = st.integers(0, (1 << 24) - 1).map(lambda number: str(IPv4Address((10 << 24) + number)))


@given(HOME)
def test_an_own_address_becomes_one_inside_the_periods_network(address: str) -> None:
    made = pseudonyms()
    shown = ip_address(made.address(address))
    assert shown in ip_network(made.network)
    assert shown in ip_network("fd00::/8")
    assert made.address(address) == str(shown)


@given(st.sets(HOME, min_size=2, max_size=40))
def test_different_addresses_get_different_pseudonyms(addresses: set[str]) -> None:
    made = pseudonyms()
    assert len({made.address(address) for address in addresses}) == len(addresses)


def test_another_key_period_or_school_gives_another_pseudonym_in_another_network() -> None:
    one = pseudonyms()
    for other in (pseudonyms(key=b"\1" * 32), pseudonyms(school="00AA01")):
        assert other.address("10.0.0.1") != one.address("10.0.0.1")
        assert other.network != one.network
        assert other.mac("02-00-00-00-00-01") != one.mac("02-00-00-00-00-01")
        assert other.name("jan") != one.name("jan")
        assert other.connection("1:abc") != one.connection("1:abc")


def test_the_zone_is_the_network_part_so_that_a_query_finds_it() -> None:
    made = pseudonyms(zone_of=lambda address: "pupils" if address.startswith("10.1.") else None)
    zones = [int(IPv6Address(made.address(address))) >> 64 & 0xFFFF for address in ("10.1.0.5", "10.1.9.9", "10.2.0.5")]
    assert zones == [zone_number("pupils"), zone_number("pupils"), 0]


@pytest.mark.parametrize(
    "address",
    ["203.0.113.9", "2001:db8::1", "127.0.0.1", "::1", "0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255"],
)
def test_what_is_nobodys_stays(address: str) -> None:
    assert pseudonyms().address(address) == address


def test_the_host_in_a_solicited_node_group_is_taken_out() -> None:
    assert pseudonyms().address("ff02::1:ff12:3456") == "ff02::1:ff00:0"
    assert pseudonyms().mac("33-33-FF-12-34-56") == "33-33-FF-00-00-00"


def test_spellings_of_one_address_give_one_pseudonym() -> None:
    made = pseudonyms()
    assert made.address("::ffff:10.0.0.1") == made.address("10.0.0.1")
    assert made.address("fe80::1%eth0") == made.address("fe80:0::1")


def test_a_pseudonym_stays_one_when_it_comes_by_again() -> None:
    made = pseudonyms()
    for treat, value in ((made.address, "10.0.0.1"), (made.name, "jan"), (made.account, "jan@school.nl")):
        assert treat(treat(value)) == treat(value)


@given(st.binary(min_size=6, max_size=6).filter(lambda raw: not raw[0] & 1 and any(raw)))
def test_a_mac_becomes_a_locally_administered_unicast_one(raw: bytes) -> None:
    shown = bytes.fromhex(pseudonyms().mac(raw.hex("-").upper()).replace("-", ""))
    assert shown[0] & 3 == 2
    assert shown != raw


def test_a_group_has_no_owner() -> None:
    assert pseudonyms().mac("01-00-5E-00-00-FB") == "01-00-5E-00-00-FB"
    assert pseudonyms().mac("FF-FF-FF-FF-FF-FF") == "FF-FF-FF-FF-FF-FF"


def test_a_name_says_of_which_period_it_is_and_upper_case_is_lower() -> None:
    made = pseudonyms()
    assert re.fullmatch(r"p-202611-[a-z2-7]{16}", made.name("PC-Jan"))
    assert made.name("PC-Jan") == made.name("pc-jan")


@pytest.mark.parametrize(
    ("account", "left"),
    [
        ("jan@school.nl", "@school.nl"), ("SCHOOL\\jan", "SCHOOL\\"), ("PC-JAN$", "$"),
        ("Administrator", "Administrator"), ("SCHOOL\\guest", "SCHOOL\\guest"),
    ],
)  # fmt: skip
def test_of_an_account_domain_and_sort_stay(account: str, left: str) -> None:
    shown = pseudonyms().account(account)
    assert left in shown
    assert "jan" not in shown.lower()


def test_what_is_computed_is_noted_once_while_it_is_held() -> None:
    noted: list[tuple[str, str]] = []
    made = pseudonyms(noted=lambda pseudonym, value: noted.append((pseudonym, value)))
    for _ in range(3):
        made.address("10.0.0.1")
        made.mac("02-00-00-00-00-01")
        made.name("Jan")
    assert [value for _, value in noted] == ["10.0.0.1", "02-00-00-00-00-01", "jan"]


@given(st.lists(st.integers(0, 30)), st.integers(1, 8))
def test_a_cache_is_bounded_and_always_right(numbers: list[int], size: int) -> None:
    cache = Cache(lambda text: f"<{text}>", size)
    for number in numbers:
        assert cache.of(str(number)) == f"<{number}>"
        assert len(cache.young) <= size
    if numbers:
        assert cache.known(str(numbers[-1])) == f"<{numbers[-1]}>"

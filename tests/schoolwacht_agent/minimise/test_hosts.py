from __future__ import annotations

from ipaddress import ip_address

import pytest

from schoolwacht_agent.minimise.hosts import Hosts
from tests.schoolwacht_agent.minimise.made import hosts, pseudonyms


@pytest.mark.parametrize(
    "name", ["www.example.nl", "example.co.uk", "xn--caf-dma.example", "203.0.113.9", "a.onion", ""]
)
def test_names_of_the_world_stay(name: str) -> None:
    assert hosts().of(name) == name


@pytest.mark.parametrize("name", ["pc-jan", "pc-jan.local", "pc-jan.school.lan", "jan.laptop.home.arpa", "PC-JAN"])
def test_names_of_the_schools_machines_become_pseudonyms(name: str) -> None:
    shown = hosts().of(name)
    assert "jan" not in shown.lower()
    assert shown.rpartition(".")[2] == name.lower().rpartition(".")[2] or "." not in name


def test_a_machine_has_one_pseudonym_wherever_it_is_named() -> None:
    made = hosts()
    assert made.of("pc-jan.local").split(".")[0] == made.of("PC-JAN") == pseudonyms().name("pc-jan")


def test_labels_of_services_stay() -> None:
    shown = hosts().of("jan's iphone._airplay._tcp.local")
    assert shown.endswith("._airplay._tcp.local")
    assert "jan" not in shown


@pytest.mark.parametrize("name", ["10.21.3.7", "[fd12::7]"])
def test_a_host_given_by_address_gets_the_addresss_pseudonym(name: str) -> None:
    assert pseudonyms().address(name.strip("[]")) in hosts().of(name)


@pytest.mark.parametrize("address", ["10.21.3.7", "fd12::7"])
def test_a_reverse_look_up_of_an_own_address_is_one_of_its_pseudonym(address: str) -> None:
    shown = hosts().of(ip_address(address).reverse_pointer)
    assert shown == ip_address(pseudonyms().address(address)).reverse_pointer


@pytest.mark.parametrize(
    "name", ["9.113.0.203.in-addr.arpa", "lb._dns-sd._udp.0.3.21.10.in-addr.arpa", "999.1.2.3.in-addr.arpa"]
)
def test_other_reverse_look_ups(name: str) -> None:
    shown = hosts().of(name)
    assert shown.endswith(".arpa")
    assert "21.10.in-addr" not in shown


def test_readable_names_and_what_is_below_them_stay() -> None:
    made = hosts(readable=["dc1.school.lan", "printer"])
    assert made.of("dc1.school.lan") == "dc1.school.lan"
    assert made.of("printer") == "printer"
    assert made.of("dc2.school.lan") != "dc2.school.lan"


def test_below_an_internal_domain_a_name_is_a_machines() -> None:
    made = hosts(internal=["school.nl."])
    assert made.of("school.nl") == "school.nl"
    assert made.of("pc-jan.school.nl").endswith(".school.nl")
    assert "jan" not in made.of("pc-jan.school.nl")
    assert made.is_local("pc-jan.school.nl")
    assert not made.is_local("www.example.nl")


def test_a_name_as_long_as_names_get_stays_within_the_field() -> None:
    long = ".".join(["a" * 60] * 4) + ".local"
    assert len(Hosts(pseudonyms()).of(".".join(["a"] * 120) + ".local")) <= 256
    assert len(hosts().of(long)) <= 256

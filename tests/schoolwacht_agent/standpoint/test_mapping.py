from __future__ import annotations

import re
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import ConfigError
from schoolwacht_agent.standpoint.mapping import parse_mapping
from schoolwacht_agent.standpoint.table import Entry, Place

HEAD = "network,vlan,school,zone\n"


def parse(text: str, zones: tuple[str, ...] = ()) -> list[Entry]:
    return parse_mapping(text.encode(), path="schools.csv", zones=zones)


def test_a_line_is_a_network_or_vlan_of_a_school() -> None:
    assert parse(HEAD + "203.0.113.0/26,,00AB00,staff\n,0007.20,11CD01,\n2001:db8::/32,5,11CD01,pupils\n") == [
        Entry(ip_network("203.0.113.0/26"), None, Place("00AB00", "staff")),
        Entry(None, "7.20", Place("11CD01", None)),
        Entry(ip_network("2001:db8::/32"), "5", Place("11CD01", "pupils")),
    ]


def test_a_spreadsheets_semicolons_mark_and_comments_are_taken() -> None:
    made = parse('\ufeff"School";Network\r\n# the east\r\n\r\n00AB00;"203.0.113.0/26"\r\n')
    assert made == [Entry(ip_network("203.0.113.0/26"), None, Place("00AB00", None))]


def test_the_same_line_twice_is_one() -> None:
    assert len(parse(HEAD + "203.0.113.0/26,,00AB00,\n" * 2)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"schools\.csv: is empty"),
        ("\n# nothing\n", r"schools\.csv: is empty"),
        (HEAD, "names no school"),
        ("network,school,netwerk\n", r"schools\.csv:1: the first line names the columns"),
        ("network,vlan,zone\n", r"schools\.csv:1: the columns school"),
        ("school,zone\n", r"schools\.csv:1: the columns school"),
        (HEAD + "203.0.113.0/26,,00AB00\n", r"schools\.csv:2: has 3 columns"),
        (HEAD + "\n,,00AB00,\n", r"schools\.csv:3: needs a network, a VLAN"),
        (HEAD + "203.0.113.1/26,,00AB00,\n", r"schools\.csv:2: network: no network.*host bits"),
        (HEAD + "0.0.0.0/0,,00AB00,\n", r"schools\.csv:2: network: a school does not have every address"),
        (HEAD + ",4095,00AB00,\n", r"schools\.csv:2: vlan: '4095' is no VLAN"),
        (HEAD + ",1.2.3,00AB00,\n", r"schools\.csv:2: vlan"),
        (HEAD + ",-1,00AB00,\n", r"schools\.csv:2: vlan"),
        (HEAD + ",5,00ab00,\n", r"schools\.csv:2: school: '00ab00' is no location"),
        (HEAD + ",5,00AB00,<b>\n", r"schools\.csv:2: zone: letters"),
        (HEAD + ',5,00AB00,"x\n', r"schools\.csv:2: no CSV"),
        (HEAD + ",5,00AB00,\n,5,11CD01,\n,x,x,\n,y,y,\n", r"schools\.csv:3: .*line 2.*\(2 more lines are at fault\)"),
    ],
)
def test_a_line_at_fault_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text)


def test_bytes_that_are_no_text_are_named_with_their_line() -> None:
    with pytest.raises(ConfigError, match=r"schools\.csv:2: is no UTF-8"):
        parse_mapping(HEAD.encode() + b"\xff", path="schools.csv")


def test_a_zone_must_be_one_of_the_configured_ones_if_there_are_any() -> None:
    assert parse(HEAD + ",5,00AB00,staff\n,6,00AB00,\n", ("staff",))
    with pytest.raises(ConfigError, match=re.escape("zone: 'stuff' is none of [[zones]]: pupils, staff")):
        parse(HEAD + ",5,00AB00,stuff\n", ("staff", "pupils"))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mapping_or_a_fault_that_names_the_file(data: bytes) -> None:
    try:
        made = parse_mapping(HEAD.encode() + data, path="schools.csv")
    except ConfigError as error:
        said = str(error)
    else:
        said = "schools.csv" if made else ""
    assert said.startswith("schools.csv")

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import IndicatorType
from schoolwacht.nest import nest
from schoolwacht_collector.index import documents
from schoolwacht_collector.indicators import load_indicators, parse_indicators
from schoolwacht_collector.records import Indicator
from tests.schoolwacht_collector.made import NOW


def read(text: str | bytes) -> tuple[list[Indicator], list[str]]:
    raw = text.encode() if isinstance(text, str) else text
    found, faults = parse_indicators(raw, path="list", now=NOW)
    return found, [str(fault) for fault in faults]


def values(text: str | bytes) -> list[str]:
    found, faults = read(text)
    assert faults == []
    return [each.value for each in found]


def test_a_plain_list_may_have_comments_and_empty_lines() -> None:
    text = "# bad hosts\n\nevil[.]example  # seen in May\r\n185.220.101.5\n185.220.0.0/16\n"
    assert values(text) == ["evil.example", "185.220.101.5", "185.220.0.0/16"]


def test_csv_takes_every_column() -> None:
    text = (
        "type,value,provider,description,confidence,tlp,valid_until\n"
        'domain,evil.example,ncsc,"bot, net",low,tlp:red,2027-01-31\n'
    )
    (one,), faults = read(text)
    assert faults == []
    assert (one.type, one.provider, one.description) == (IndicatorType.DOMAIN, "ncsc", "bot, net")
    assert (one.confidence, one.tlp) == ("Low", "RED")
    assert one.valid_until == datetime(2027, 1, 31, 23, 59, 59, 999999, UTC)


def test_csv_may_have_the_value_alone_and_guess_the_type() -> None:
    assert values("value\nevil.example\n185.220.101.5\n") == ["evil.example", "185.220.101.5"]


def test_json_lines_take_the_same_columns() -> None:
    assert values('{"type":"address","value":"185.220.101.5"}\n{"value":"evil.example"}\n') == [
        "185.220.101.5",
        "evil.example",
    ]


def test_what_was_exported_can_be_read_again() -> None:
    (one,), _ = read("value,valid_until,tlp\nevil.example,2027-01-31T12:00:00+01:00,GREEN\n")
    row = documents.row(documents.encode(one))
    for exported in (row, nest(row)):
        (again,), faults = read(json.dumps(exported))
        assert faults == []
        assert again == one


def test_a_good_line_is_used_whatever_stands_beside_it() -> None:
    found, faults = read("10.0.0.1\nevil.example\nnonsense\n")
    assert [each.value for each in found] == ["evil.example"]
    assert faults[0] == ('list:1: value: "10.0.0.1" holds private addresses (10.0.0.0/8), which occur at any school')
    assert faults[1].startswith('list:3: value: "nonsense" is no address')


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("type,value\nwhat,evil.example\n", 'list:2: type: "what" is none of address, network'),
        ("value,tlp\nevil.example,purple\n", 'list:2: tlp: "purple" is none of CLEAR, GREEN'),
        ("value,confidence\nevil.example,sure\n", 'list:2: confidence: "sure" is none of High'),
        ("value,valid_until\nevil.example,tomorrow\n", 'list:2: valid_until: "tomorrow" is no date'),
        ("value,provider\nevil.example,a\x1bb\n", "list:2: provider: holds a control character"),
        (f"value,provider\nevil.example,{'x' * 300}\n", "list:2: provider: is longer than 256"),
        ("type,value\ndomain\n", "list:2: has 1 columns where the header has 2"),
        ('type,value\n"domain,evil.example\n', "list:2: is no line of CSV"),
        ("type,value,colour\ndomain,evil.example,red\n", "list:1: unknown columns are left out: colour"),
        ("type,value\ndomain,\n", "list:2: value: is empty"),
        ('{"value":"evil.example"}\n{"value":5}\n', "list:2: value: must be text"),
        ('{"value":"evil.example"}\n{"values":"x"}\n', "list:2: values: is unknown"),
        ('{"value":"evil.example"}\n[1]\n', "list:2: is no JSON object"),
        ('{"value":"evil.example"}\n' + '{"a":' * 5000 + "\n", "list:2: is no JSON object"),
    ],
)
def test_a_fault_names_file_line_and_column(text: str, fault: str) -> None:
    _, faults = read(text)
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_a_line_that_is_no_text_is_named() -> None:
    found, faults = read(b"evil.example\n\xff\xfe\nbad.example\n")
    assert [each.value for each in found] == ["evil.example", "bad.example"]
    assert faults == ["list:2: is no UTF-8 text"]


def test_a_byte_order_mark_is_no_part_of_the_first_value() -> None:
    assert values(b"\xef\xbb\xbfevil.example\n") == ["evil.example"]


def test_an_empty_file_holds_nothing() -> None:
    assert read("") == ([], [])


def test_two_ways_to_write_a_value_are_one_indicator_and_the_last_counts() -> None:
    found, _ = read("value,confidence\nhxxp://EVIL[.]example/,high\nevil.example.,low\n")
    assert [(each.value, each.confidence) for each in found] == [("evil.example", "Low")]


def test_ids_differ_by_type_and_value_and_by_nothing_else() -> None:
    one, _ = read("type,value\ndomain,evil.example\ncertificate-name,evil.example\n")
    assert one[0].id != one[1].id
    (other,), _ = read("value,provider,tlp\nevil.example,else,RED\n")
    assert other.id == one[0].id


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(IndicatorError, match="cannot be read: No such file"):
        load_indicators(tmp_path / "none.csv")


def test_a_file_on_disk_is_read(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("evil.example\n10.0.0.1\n")
    found, faults = load_indicators(file, now=NOW)
    assert [each.value for each in found] == ["evil.example"]
    assert [(fault.path, fault.line) for fault in faults] == [(str(file), 2)]


@given(st.binary(max_size=300))
def test_any_bytes_give_indicators_and_faults_and_no_other_error(raw: bytes) -> None:
    found, faults = parse_indicators(raw, path="list", now=NOW)
    assert all(isinstance(each, Indicator) for each in found)
    assert all(fault.line is not None for fault in faults)


@given(st.sampled_from(("value,type,tlp", '{"value":"evil.example"}')), st.text(max_size=200))
def test_any_text_below_a_header_does_so_too(header: str, text: str) -> None:
    found, faults = parse_indicators(f"{header}\n{text}".encode("utf-8", "replace"), path="list", now=NOW)
    assert all(isinstance(each, Indicator) for each in found)
    assert all(fault.line is not None for fault in faults)

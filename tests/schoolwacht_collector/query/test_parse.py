from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import luqum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import QueryError
from schoolwacht_collector.query.ast import (
    All,
    And,
    Between,
    Contains,
    Equals,
    Exists,
    Matches,
    Node,
    Not,
    Or,
    Within,
)
from schoolwacht_collector.query.check import check
from schoolwacht_collector.query.fields import FIELDS
from schoolwacht_collector.query.parse import BARE_FIELDS, parse
from schoolwacht_collector.query.prepare import LENGTH_MAX, NESTING_MAX, PARTS_MAX

NOW = datetime(2026, 3, 1, 12, 30, 15, 500, tzinfo=UTC)
DNS = Equals("event.dataset", "dns")
PORT = Equals("source.port", 53)


def day(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]  # three to six numbers, then the zone


def somewhere(text: str) -> Node:
    return Or((Contains(BARE_FIELDS, text), Equals("related.hash", text.lower())))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("", All()),
        ("  ", All()),
        ("*", All()),
        ("*:*", All()),
        ("event.dataset:dns", DNS),
        ("event.dataset: dns", DNS),
        ('event.dataset:"dns"', DNS),
        ("source.port:53", PORT),
        ("event.dataset:dns AND source.port:53", And((DNS, PORT))),
        ("event.dataset:dns source.port:53", And((DNS, PORT))),
        ("+event.dataset:dns -source.port:53", And((DNS, Not(PORT)))),
        ("event.dataset:dns OR source.port:53", Or((DNS, PORT))),
        ("NOT event.dataset:dns", Not(DNS)),
        ("(event.dataset:dns)", DNS),
        ("event.dataset:dns AND (source.port:53 OR event.dataset:dns)", And((DNS, Or((PORT, DNS))))),
        ("event.dataset:dns OR source.port:53 AND event.dataset:dns", Or((DNS, And((PORT, DNS))))),
        ("event.dataset:(dns OR tls)", Or((DNS, Equals("event.dataset", "tls")))),
        ("event.dataset:(NOT dns)", Not(DNS)),
        ("tls.resumed:true", Equals("tls.resumed", True)),
        ("health.value:0.5", Equals("health.value", 0.5)),
        ("health.value:-1.5", Equals("health.value", -1.5)),
        ("source.port:-1", Equals("source.port", -1)),
        ("source.port:*", Exists("source.port")),
        ("_exists_:source.port", Exists("source.port")),
        ("nsm.detail.ttl:64", Equals("nsm.detail.ttl", "64")),
        ("nsm.detail.ttl:6*", Matches("nsm.detail.ttl", "6*")),
        ("_exists_:nsm.detail.ttl", Exists("nsm.detail.ttl")),
    ],
)
def test_a_query_is_read_as_it_is_meant(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("source.ip:10.0.0.1", Equals("source.ip", "10.0.0.1")),
        ("source.ip:10.0.0.0/8", Within("source.ip", ip_network("10.0.0.0/8"))),
        ("source.ip:10.9.9.9/8", Within("source.ip", ip_network("10.0.0.0/8"))),
        ("source.ip:2001:DB8:0::1", Equals("source.ip", "2001:db8::1")),
        ('source.ip:"2001:db8::1"', Equals("source.ip", "2001:db8::1")),
        ("source.ip:2001:db8::/32", Within("source.ip", ip_network("2001:db8::/32"))),
        ("source.ip:::ffff:10.0.0.1", Equals("source.ip", "10.0.0.1")),
        ("source.ip:[10.0.0.1 TO 10.0.0.9]", Between("source.ip", "10.0.0.1", "10.0.0.9")),
        ("source.ip:[2001:db8::1 TO *}", Between("source.ip", "2001:db8::1", None, include_high=False)),
        ("10.0.0.0/8", Within("related.ip", ip_network("10.0.0.0/8"))),
        ("NOT 2001:db8::/32", Not(Within("related.ip", ip_network("2001:db8::/32")))),
        ("-2001:db8::/32", Not(Within("related.ip", ip_network("2001:db8::/32")))),
    ],
)
def test_an_address_is_read_in_every_spelling(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize("text", ["2001:db8::1", '"2001:db8::1"', "2001:DB8::0:1"])
def test_a_bare_address_is_looked_for_in_what_was_involved(text: str) -> None:
    node = parse(text)

    assert isinstance(node, Or)
    assert Equals("related.ip", "2001:db8::1") in node.nodes


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("source.bytes:[1 TO 5]", Between("source.bytes", 1, 5)),
        ("source.bytes:{1 TO 5}", Between("source.bytes", 1, 5, include_low=False, include_high=False)),
        ("source.bytes:[1 TO 5}", Between("source.bytes", 1, 5, include_high=False)),
        ("source.bytes:[* TO 5]", Between("source.bytes", None, 5)),
        ("source.bytes:[-5 TO -1]", Between("source.bytes", -5, -1)),
        ("source.bytes:>5", Between("source.bytes", 5, None, include_low=False)),
        ("source.bytes:>=5", Between("source.bytes", 5, None)),
        ("source.bytes:<5", Between("source.bytes", None, 5, include_high=False)),
        ("source.bytes:<=5", Between("source.bytes", None, 5)),
        ("health.value:>=-1", Between("health.value", -1.0, None)),
        ('rule.name:["a b" TO c]', Between("rule.name", "a b", "c")),
    ],
)
def test_a_range_is_read_with_and_without_its_ends(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("@timestamp:2026", day(2026, 1, 1), day(2027, 1, 1)),
        ("@timestamp:2026-12", day(2026, 12, 1), day(2027, 1, 1)),
        ("@timestamp:2026-02", day(2026, 2, 1), day(2026, 3, 1)),
        ("@timestamp:2026-03-01", day(2026, 3, 1), day(2026, 3, 2)),
        ("@timestamp:2026-03-01T10", day(2026, 3, 1, 10), day(2026, 3, 1, 11)),
        ("@timestamp:2026-03-01T10:15", day(2026, 3, 1, 10, 15), day(2026, 3, 1, 10, 16)),
        ("@timestamp:2026-03-01T10:15:20Z", day(2026, 3, 1, 10, 15, 20), day(2026, 3, 1, 10, 15, 21)),
        ("@timestamp:2026-03-01T10:15:20+01:00", day(2026, 3, 1, 9, 15, 20), day(2026, 3, 1, 9, 15, 21)),
        ('@timestamp:"2026-03-01T10:15:20-0130"', day(2026, 3, 1, 11, 45, 20), day(2026, 3, 1, 11, 45, 21)),
        ("@timestamp:now/d", day(2026, 3, 1), day(2026, 3, 2)),
        ("@timestamp:now-1d/h", day(2026, 2, 28, 12), day(2026, 2, 28, 13)),
        ("@timestamp:now-90m/m", day(2026, 3, 1, 11, 0), day(2026, 3, 1, 11, 1)),
    ],
)
def test_a_time_stands_for_the_span_that_it_names(text: str, low: datetime, high: datetime) -> None:
    assert parse(text, now=NOW) == Between("@timestamp", low, high, include_high=False)


def test_a_fraction_names_a_span_of_its_last_digit() -> None:
    assert parse("@timestamp:2026-03-01T10:15:20.5Z") == Between(
        "@timestamp",
        datetime(2026, 3, 1, 10, 15, 20, 500_000, tzinfo=UTC),
        datetime(2026, 3, 1, 10, 15, 20, 600_000, tzinfo=UTC),
        include_high=False,
    )


def test_ends_of_a_range_count_whole_spans() -> None:
    assert parse("@timestamp:>2026-03-01") == Between("@timestamp", day(2026, 3, 2), None)
    assert parse("@timestamp:>=2026-03-01") == Between("@timestamp", day(2026, 3, 1), None)
    assert parse("@timestamp:<2026-03-01") == Between("@timestamp", None, day(2026, 3, 1), include_high=False)
    assert parse("@timestamp:<=2026-03-01") == Between("@timestamp", None, day(2026, 3, 2) - timedelta(microseconds=1))
    assert parse("@timestamp:[now-1h TO now]", now=NOW) == Between("@timestamp", NOW - timedelta(hours=1), NOW)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("url.path:/admin*", Matches("url.path", "/admin*")),
        ("url.path:/admin", Equals("url.path", "/admin")),
        ('url.path:"/admin/"', Equals("url.path", "/admin/")),
        ("url.full:http://a.example/x?y=1", Equals("url.full", "http://a.example/x?y=1")),
        ("url.full:http://a.example/*", Matches("url.full", "http://a.example/*")),
        ("source.mac:aa:bb:cc:dd:ee:ff", Equals("source.mac", "aa:bb:cc:dd:ee:ff")),
        ("network.community_id:1:aB+/c=", Equals("network.community_id", "1:aB+/c=")),
        (r"file.name:a\ b", Equals("file.name", "a b")),
        (r"file.name:a\*b", Equals("file.name", "a*b")),
        (r"file.name:a\*b*", Matches("file.name", r"a\*b*")),
        (r"file.name:a\~\^b", Equals("file.name", "a~^b")),
        (r"file.name:\-x", Equals("file.name", "-x")),
        (r'file.name:"a\"b\\c"', Equals("file.name", 'a"b\\c')),
        (r'file.path:"C:\Users\x"', Equals("file.path", r"C:\Users\x")),
        ('rule.name:"a*b"', Equals("rule.name", "a*b")),
        ("rule.name:x-y+z", Equals("rule.name", "x-y+z")),
    ],
)
def test_a_value_keeps_its_own_signs(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize("text", ["Evil.Example", '"two words"', "d41d8cd98f00b204e9800998ecf8427e", "a@b.example"])
def test_a_bare_text_is_looked_for_in_the_documented_fields_and_as_a_hash(text: str) -> None:
    assert parse(text) == somewhere(text.strip('"'))


def test_a_bare_pattern_is_looked_for_in_the_documented_fields() -> None:
    assert parse("*.evil.*") == Or(tuple(Matches(name, "*.evil.*") for name in BARE_FIELDS))


def test_the_fields_of_bare_words_exist() -> None:
    assert FIELDS.keys() >= set(BARE_FIELDS)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("rule.id:1 && rule.id:2", 11, "write AND"),
        ("rule.id:1 || rule.id:2", 11, "write OR"),
        ("rule.id:1 or rule.id:2", 11, "OR"),
        ("rule.id:1 and rule.id:2", 11, "AND"),
        ("not rule.id:2", 1, "NOT"),
        ("!evil", 1, "write NOT"),
        ("rule.id:-x", 9, "before the field"),
        ("rule.id:(source.ip:1)", 10, "inside a field"),
        ("rule.id:b:c", 10, "in quotes"),
        ("rule.id:rule.name:c", 18, "in quotes"),
        ("rule.name:ET SCAN", 14, 'rule.name:"ET SCAN"'),
        ("NOT rule.name:ET SCAN", 18, 'rule.name:"ET SCAN"'),
        ("rule.name:x~2", 12, "alike or near"),
        ("rule.name:x^2", 12, "weight"),
        ('"x y"~2', 6, "alike or near"),
        ("0~.", 2, "alike or near"),
        ("url.path:/x/", 10, "regular expressions"),
        ("'x'", 1, "double quotes"),
        ("rule.name:'x'", 11, "double quotes"),
        ("(rule.id:1", 1, "never closed"),
        ("rule.id:1)", 10, "closes nothing"),
        ("source.bytes:[1 TO 2", 14, "never closed"),
        ('rule.id:"x', 9, "never closed"),
        ('rule.id:x"y', 10, '\\"'),
        ("rule.id:", 9, "ends too early"),
        ("rule.id:1 AND", 14, "ends too early"),
        ("AND", 1, "AND is not expected"),
        ("x\\", 2, "backslash"),
        ("[1 TO 2]", 1, "belongs to a field"),
        (">5", 1, "belongs to a field"),
        ('""', 1, "finds nothing"),
        ("source.pi:1", 1, "source.ip"),
        ("_exists_:source.pi", 10, "source.ip"),
        ("source.port:abc", 13, "whole numbers"),
        ("source.port:99999999999999999999", 13, "whole numbers"),
        ("source.port:8*", 13, "only text has wildcards"),
        ("health.value:x", 14, "numbers"),
        ("tls.resumed:yes", 13, "true or false"),
        ("source.ip:evil.example", 11, "addresses"),
        ("source.ip:10.*", 11, "10.1.0.0/16"),
        ("source.ip:10.0.0.0/33", 11, "no network"),
        ("@timestamp:yesterday", 12, "now-1h"),
        ("@timestamp:2026-02-30", 12, "now-1h"),
        ("delivery.body:x", 15, "cannot be searched"),
        ("2001:db8::1 && x", 13, "write AND"),
        ("source.ip:2001:db8::1 rule.pi:x", 23, "no such field"),
    ],
)
def test_what_would_be_misread_is_refused_with_its_column_and_the_way_to_write_it(
    text: str, column: int, words: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)

    assert words in str(caught.value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text",
    [
        "x" * (LENGTH_MAX + 1),
        "(" * (NESTING_MAX + 1) + "x" + ")" * (NESTING_MAX + 1),
        " ".join(["x"] * (PARTS_MAX + 1)),
        "NOT " * 500 + "x",
        "rule.id:" * 400 + "x",
        " OR ".join(["x"] * 200),
        "rule.name:" + "x" * 300 + "*",
        "rule.name:*" + "?" * 20,
        "nsm.detail.x:*y",
        "@timestamp:1960",
    ],
    ids=["long", "nested", "many", "nots", "colons", "bare words", "pattern", "unknowns", "detail", "early"],
)
def test_a_query_that_no_store_should_run_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


_PIECES = st.sampled_from(
    [
        *("source.ip:", "rule.name:", "nope:", "_exists_:", "@timestamp:", "nsm.detail.x:", "source.port:"),
        *(
            "a",
            "1",
            "::1",
            "10.0.0.0/8",
            "now-1h",
            "-",
            "+",
            "!",
            "&&",
            "*",
            "?",
            "\\",
            '"',
            "'",
            "/",
            ":",
            "~",
            "^",
            "~2",
        ),
        *("(", ")", "[", "]", "{", "}", " TO ", " AND ", " OR ", "NOT ", " ", "<", ">", ">=", "=", "é", "\0", "\n"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=14).map("".join)))
def test_any_text_is_a_query_that_every_store_takes_or_a_query_error(text: str) -> None:
    try:
        node = parse(text)
    except QueryError as refused:
        column = refused.column
    else:
        check(node)
        column = None
    assert column is None or 1 <= column <= len(text) + 1


@given(st.text(min_size=1, max_size=100).filter(lambda text: "\0" not in text))
def test_any_text_in_quotes_is_found_as_it_is(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')

    assert parse(f'rule.name:"{escaped}"') == Equals("rule.name", text)


def test_threads_can_parse_at_the_same_time() -> None:
    texts = [f"source.port:{number} AND (rule.id:{number} OR {number}.example)" for number in range(200)]
    expected = [parse(text) for text in texts]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(parse, texts)) == expected


def test_the_parser_makes_its_tables_without_a_word(tmp_path: Path) -> None:
    """As at the first import, and at each where the package cannot be written."""
    package = Path(luqum.__file__).parent
    copy = shutil.copytree(package, tmp_path / "luqum", ignore=shutil.ignore_patterns("parsetab*", "__pycache__"))
    code = "import luqum, schoolwacht_collector.query.parse; print(luqum.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"{copy / '__init__.py'}\n"
    assert done.stderr == ""
    assert (copy / "parsetab.py").exists()

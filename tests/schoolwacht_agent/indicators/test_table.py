"""The file: it finds what a set in memory finds, and a damaged one is refused."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.errors import IndicatorError
from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Known, encode_set, read_set
from schoolwacht.match import IndicatorSet, in_memory
from schoolwacht_agent.indicators.table import compile_set, lines_of, open_table

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
LABEL = st.sampled_from(["a", "b", "mail", "www", "x1"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "example"]))
V4 = st.integers(0xCB007100, 0xCB0071FF).map(lambda number: str(ipaddress.IPv4Address(number)))
V6 = st.integers(0, 3).map(lambda number: f"2001:db8::{number + 1:x}")
ADDRESS = V4 | V6


def _network(address: str, short: int) -> str:
    length = (128 if ":" in address else 32) - short
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


KNOWN = st.one_of(
    ADDRESS.map(lambda value: Known(IndicatorType.ADDRESS, value)),
    st.builds(_network, ADDRESS, st.integers(0, 9)).map(lambda value: Known(IndicatorType.NETWORK, value)),
    NAME.map(lambda value: Known(IndicatorType.DOMAIN, value)),
    HEX.map(lambda value: Known(IndicatorType.JA3, value)),
    HEX.map(lambda value: Known(IndicatorType.CERTIFICATE_SHA1, value + "0" * 8)),
    HEX.map(lambda value: Known(IndicatorType.CERTIFICATE_SHA256, value + "0" * 32)),
    NAME.map(lambda value: Known(IndicatorType.CERTIFICATE_NAME, f"*.{value}")),
)


def write(path: Path, known: list[Known]) -> Path:
    path.write_bytes(compile_set(read_set(encode_set(known).raw, path="set")))
    return path


@settings(max_examples=150)
@given(known=st.lists(KNOWN, max_size=30), data=st.data())
def test_the_file_finds_what_a_set_in_memory_finds(
    tmp_path_factory: pytest.TempPathFactory, known: list[Known], data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("table") / "indicators", known)
    opened = open_table(path)
    mapped, plain = IndicatorSet(opened.tables), IndicatorSet(in_memory(known))
    digests = [one.value for one in known if one.type in {IndicatorType.JA3, IndicatorType.CERTIFICATE_SHA1}]
    event = Event(
        NOW,
        Dataset.TLS,
        source_ip=data.draw(ADDRESS),
        dns_resolved_ip=data.draw(st.lists(ADDRESS, max_size=3)),
        tls_client_server_name=data.draw(NAME),
        tls_client_ja3=data.draw(st.sampled_from([*digests, "0" * 32])),
        tls_server_hash_sha1=data.draw(st.sampled_from([*digests, "0" * 40])),
        tls_server_subject=f"CN={data.draw(NAME)}",
    )
    assert [(hit.indicator.id, hit.field) for hit in mapped.match(event)] == [
        (hit.indicator.id, hit.field) for hit in plain.match(event)
    ]
    assert opened.number == plain.size


def test_two_values_of_one_checksum_are_told_apart(tmp_path: Path) -> None:
    # A well-known pair: CRC-32 gives both the same, whatever stands around them.
    known = [Known(IndicatorType.DOMAIN, name) for name in ("plumless.example", "buckeroo.example")]
    tables = open_table(write(tmp_path / "indicators", known)).tables
    assert [getattr(tables.domains.get(one.value), "value", None) for one in known] == [one.value for one in known]
    assert tables.domains.get("other.example") is None


def test_any_changed_byte_and_any_cut_is_refused_or_harmless(tmp_path: Path) -> None:
    known = [Known(IndicatorType.DOMAIN, f"evil{number}.example") for number in range(20)]
    path = write(tmp_path / "indicators", known)
    raw = path.read_bytes()
    damaged = tmp_path / "damaged"
    refused = 0
    for place in range(len(raw)):
        for changed in (raw[:place], raw[:place] + bytes([raw[place] ^ 0x20]) + raw[place + 1 :]):
            damaged.write_bytes(changed)
            try:
                tables = open_table(damaged).tables
            except IndicatorError:
                refused += 1
            else:  # a figure of the head that is only shown, or a space of it
                assert tables.domains.get("evil3.example") is not None or place < 300
    assert refused > 2 * len(raw) - 150


def test_the_set_is_got_back_as_text(tmp_path: Path) -> None:
    known = [Known(IndicatorType.DOMAIN, "evil.example"), Known(IndicatorType.ADDRESS, "203.0.113.66")]
    found = read_set(encode_set(known).raw, path="set")
    path = tmp_path / "indicators"
    path.write_bytes(compile_set(found))
    assert lines_of(path) == found


def test_urls_and_files_are_found_in_the_file_too(tmp_path: Path) -> None:
    known = [Known(IndicatorType.URL, "evil.example/a.exe"), Known(IndicatorType.FILE_SHA256, "ab" * 32)]
    found = IndicatorSet(open_table(write(tmp_path / "indicators", known)).tables)
    download = Event(NOW, Dataset.HTTP, url_domain="evil.example", url_path="/a.exe", file_hash_sha256="ab" * 32)
    assert [hit.field for hit in found.match(download)] == ["url.path", "file.hash.sha256"]

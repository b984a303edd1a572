"""A set of indicators as bytes: the same everywhere, whole or refused."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import (
    BYTES_MAX,
    IndicatorType,
    Known,
    encode_set,
    fault_of,
    indicator_id,
    pack_set,
    read_lines,
    read_set,
    unpack_set,
)

SOME = [
    Known(IndicatorType.DOMAIN, "evil.example", description="campagne «september»"),
    Known(IndicatorType.ADDRESS, "203.0.113.66", valid_until=datetime(2027, 1, 1, tzinfo=UTC)),
    Known(IndicatorType.NETWORK, "2001:db8::/32", "board", "Low", "GREEN"),
]


def test_a_set_is_read_back_and_its_order_is_no_matter() -> None:
    encoded = encode_set(SOME)
    found = read_set(encoded.raw, path="set")
    assert sorted(read_lines(found.lines), key=lambda one: one.value) == sorted(SOME, key=lambda one: one.value)
    assert (found.version, encoded.number) == (encoded.version, 3)
    assert encode_set(random.Random(1).sample(SOME, 3) + SOME) == encoded


def test_a_time_in_another_zone_is_the_same_indicator() -> None:
    there = datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert encode_set([Known(IndicatorType.DOMAIN, "a.example", valid_until=there)]) == encode_set(
        [Known(IndicatorType.DOMAIN, "a.example", valid_until=datetime(2027, 1, 1, tzinfo=UTC))]
    )


def test_lines_that_a_person_wrote_are_a_set() -> None:
    raw = b'# van de CERT\n["domain","evil.example"]\n["address","203.0.113.66"]\n'
    assert [one.value for one in read_lines(read_set(raw, path="set").lines)] == ["203.0.113.66", "evil.example"]


@given(place=st.integers(0, 10_000), length=st.integers(0, 10_000))
def test_a_set_with_a_byte_changed_or_an_end_missing_is_refused(place: int, length: int) -> None:
    raw = encode_set(SOME).raw
    changed = bytearray(raw)
    changed[place % len(raw)] ^= 0x01
    for damaged in (bytes(changed), raw[: 1 + length % (len(raw) - 2)]):
        with pytest.raises(IndicatorError, match=r"^set"):
            read_set(damaged, path="set")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'["domain","EVIL.example"]', "no domain"),
        (b'["domain","evil"]', "no domain"),
        (b'["address","203.0.113.066"]', "no IP address"),
        (b'["address","2001:DB8::1"]', "no IP address"),
        (b'["network","203.0.113.1/24"]', "bits beyond"),
        (b'["network","0.0.0.0/0"]', "no network of /8"),
        (b'["network","10.0.0.0"]', "no network"),
        (b'["ja3","abc"]', "no ja3"),
        (b'["url","http://x/"]', "no URL in its normal form"),
        (b'["colour","red"]', "no indicator"),
        (b'["file-md5","abc"]', "no file-md5"),
        (b'["domain"]', "no indicator"),
        (b'{"type":"domain"}', "does not begin like a set"),
        (b"evil.example", "no indicator"),
        (b'["domain","evil.example\\u0000"]', "control character"),
        (b"[" * 5000, "longer than"),
        (b"[" * 4000, "no indicator"),
        (b'["domain","evil.example","cert","High","AMBER","2027-01-01T00:00:00"]', "not in UTC"),
    ],
)
def test_a_line_that_is_no_indicator_is_named(line: bytes, said: str) -> None:
    with pytest.raises(IndicatorError, match=said) as caught:
        read_set(line + b"\n", path="lijst")
    assert (caught.value.path, caught.value.line) == ("lijst", 1)


def test_a_later_format_is_refused() -> None:
    with pytest.raises(IndicatorError, match="schoolwacht-indicators/9"):
        read_set(b'{"format":"schoolwacht-indicators/9","version":"","number":0}\n', path="set")


def test_a_frame_is_unpacked_and_a_bomb_is_not() -> None:
    raw = encode_set(SOME).raw
    assert unpack_set(pack_set(raw)) == raw
    with pytest.raises(IndicatorError, match="more than 64 MiB"):
        unpack_set(zstandard.compress(bytes(BYTES_MAX + 1)))
    with pytest.raises(IndicatorError, match="no zstd frame"):
        unpack_set(b"<html>")


def test_normal_values_of_each_type_have_no_fault() -> None:
    values = {
        IndicatorType.ADDRESS: "2001:db8::1",
        IndicatorType.NETWORK: "203.0.113.0/24",
        IndicatorType.DOMAIN: "xn--e1awd7f.example",
        IndicatorType.JA3: "e" * 32,
        IndicatorType.JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
        IndicatorType.CERTIFICATE_SHA1: "a" * 40,
        IndicatorType.CERTIFICATE_SHA256: "a" * 64,
        IndicatorType.CERTIFICATE_NAME: "asyncrat server",
        IndicatorType.URL: "evil.example:8080/a?b=c",
        IndicatorType.FILE_MD5: "a" * 32,
        IndicatorType.FILE_SHA1: "a" * 40,
        IndicatorType.FILE_SHA256: "a" * 64,
    }
    assert {kind: fault_of(Known(kind, value)) for kind, value in values.items()} == dict.fromkeys(IndicatorType, "")


def test_an_id_follows_from_type_and_value() -> None:
    assert Known(IndicatorType.DOMAIN, "evil.example").id == indicator_id(IndicatorType.DOMAIN, "evil.example")
    assert indicator_id(IndicatorType.DOMAIN, "a.b") != indicator_id(IndicatorType.CERTIFICATE_NAME, "a.b")

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.certificate import Certificate, read_certificate
from tests.parts import program
from tests.schoolwacht_agent.sources.packets.dissect.recorded import to_port


def recorded_certificate() -> bytes:
    """The DER in the Certificate message of the first TLS 1.2 connection."""
    stream = to_port(4431)[0].down
    at = stream.index(b"\x16\x03\x03", 5) + 5
    assert stream[at] == 11
    size = int.from_bytes(stream[at + 7 : at + 10])
    return stream[at + 10 : at + 10 + size]


DER = recorded_certificate()


def tlv(tag: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    size = len(data)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + data


CN, COUNTRY, UNIT = b"\x55\x04\x03", b"\x55\x04\x06", b"\x55\x04\x0b"
NOW = tlv(0x17, b"200101000000Z")


def attribute(oid: bytes, value: bytes) -> bytes:
    return tlv(0x30, tlv(6, oid), value)


def name(*parts: bytes) -> bytes:
    return tlv(0x30, *(tlv(0x31, part) for part in parts))


def made(
    *,
    subject: bytes = name(attribute(CN, tlv(12, b"x"))),
    serial: bytes = b"\1",
    not_before: bytes = NOW,
    version: bytes = b"\xa0\x03\x02\x01\x02",
    more: bytes = b"",
) -> Certificate:
    algorithm = tlv(0x30, tlv(6, b"\x2a\x03"))
    key = tlv(0x30, algorithm, tlv(3, b"\0"))
    validity = tlv(0x30, not_before, NOW)
    body = tlv(0x30, version, tlv(2, serial), algorithm, name(), validity, subject, key, more)
    found = read_certificate(tlv(0x30, body, algorithm, tlv(3, b"\0")))
    assert found is not None
    return found


def alternative(*names: bytes, critical: bytes = b"") -> bytes:
    extension = tlv(0x30, tlv(6, b"\x55\x1d\x11"), critical, tlv(4, tlv(0x30, *names)))
    return tlv(0xA3, tlv(0x30, extension))


def test_a_real_certificate_is_read() -> None:
    found = read_certificate(DER)
    assert found is not None
    assert found.subject == (
        "C=NL, ST=Utrecht, L=Zeist, O=Stichting Café, OU=ICT + OU=Beheer, CN=www.school.example, Email=a@school.example"
    )
    assert found.issuer == found.subject
    assert found.alternative_names == (
        "www.school.example",
        "*.school.example",
        "192.0.2.1",
        "2001:db8::1",
        "beheer@school.example",
    )


def test_numbers_times_and_hashes_agree_with_openssl() -> None:
    asked = ("-serial", "-startdate", "-enddate", "-fingerprint", "-sha256")
    done = subprocess.run(
        [program("openssl", "openssl"), "x509", "-inform", "DER", "-noout", *asked],
        input=DER,
        capture_output=True,
        check=True,
        timeout=30,
    )
    said = dict(re.findall(r"(.+?)=(.+)", done.stdout.decode()))
    found = read_certificate(DER)
    assert found is not None
    assert found.serial == said["serial"]
    assert found.sha256.upper() == next(value for key, value in said.items() if "inger" in key).replace(":", "")
    for ours, theirs in ((found.not_before, said["notBefore"]), (found.not_after, said["notAfter"])):
        assert ours == datetime.strptime(theirs, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (tlv(12, "é".encode()), "é"),
        (tlv(12, b"\xff\xe9a"), "\\xff\\xe9a"),
        (tlv(19, b"a, b=c"), "a, b=c"),
        (tlv(30, "ab€".encode("utf-16-be")), "ab€"),
        (tlv(2, b"\x05"), "05"),
        (tlv(4, b"abc"), "616263"),
        (tlv(12), ""),
    ],
)
def test_values_have_the_text_that_suricata_gives_them(value: bytes, text: str) -> None:
    assert made(subject=name(attribute(CN, value))).subject == f"CN={text}"


@pytest.mark.parametrize(
    ("oid", "label"),
    [
        ("550405", "serialNumber"),
        ("550461", "OID(2.5.4.97)"),
        ("2a864886f70d010901", "Email"),
        ("0992268993f22c640119", "DC"),
        ("2b0601040182373c020103", "msJurisdictionCountry"),
        ("2b060104018237140203", "OID(1.3.6.1.4.1.311.20.2.3)"),
        ("ff", "OID(ff)"),
        ("", "OID()"),
    ],
)
def test_attributes_have_the_names_that_suricata_gives_them(oid: str, label: str) -> None:
    assert made(subject=name(attribute(bytes.fromhex(oid), tlv(12, b"v")))).subject == f"{label}=v"


def test_parts_keep_their_order_and_values_of_one_part_are_joined() -> None:
    subject = name(attribute(COUNTRY, tlv(19, b"NL")), attribute(UNIT, tlv(12, b"a")) + attribute(CN, tlv(12, b"b")))
    assert made(subject=subject).subject == "C=NL, OU=a + CN=b"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (tlv(0x17, b"491231235959Z"), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (tlv(0x17, b"500101000000Z"), datetime(1950, 1, 1, tzinfo=UTC)),
        (tlv(0x18, b"99991231235959Z"), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (tlv(0x18, b"20200101000000.5Z"), datetime(2020, 1, 1, tzinfo=UTC)),
        (tlv(0x17, b"2001010000Z"), datetime(2020, 1, 1, tzinfo=UTC)),
        (tlv(0x17, b"200101000000+0100"), datetime(2019, 12, 31, 23, tzinfo=UTC)),
        (tlv(0x18, b"00010101000000+0100"), None),
        (tlv(0x17, b"209901000000Z"), None),
        (tlv(0x17, b"nonsense"), None),
        (tlv(0x05), None),
    ],
)
def test_times_are_utc_or_absent(time: bytes, expected: datetime | None) -> None:
    assert made(not_before=time).not_before == expected


def test_a_serial_number_keeps_its_leading_zeros() -> None:
    assert made(serial=b"\x00\x80\xab").serial == "0080AB"


def test_version_one_has_no_version_field() -> None:
    assert made(version=b"").subject == "CN=x"


def test_alternative_names_are_found_behind_the_critical_flag() -> None:
    more = alternative(tlv(0x82, b"WWW.a.nl"), tlv(0x86, b"https://a.nl/"), tlv(0x87, b"abc"), critical=b"\x01\x01\xff")
    assert made(more=more).alternative_names == ("www.a.nl", "https://a.nl/")


def test_alternative_names_that_do_not_parse_leave_the_rest_readable() -> None:
    assert made(more=tlv(0xA3, tlv(0x30, b"\x30\x7f"))).alternative_names == ()


def test_no_part_of_a_certificate_passes_for_one() -> None:
    assert all(read_certificate(DER[:end]) is None for end in range(len(DER)))


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(der: bytes) -> None:
    read_certificate(der)


@given(st.integers(0, len(DER) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_certificate_is_read_or_refused(at: int, patch: bytes) -> None:
    read_certificate(DER[:at] + patch + DER[at + len(patch) :])

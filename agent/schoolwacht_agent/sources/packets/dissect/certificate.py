"""X.509 certificates: the few fields that a monitor needs, read from DER by our own code (X.690, RFC 5280).

The text forms are Suricata's: names as ``C=NL, O=Example, CN=www.example.nl``, in the order of the certificate, several
values of one part joined by `` + ``. Nothing is verified: what is here is what the certificate claims.

Limits: 128 attributes a name, 256 alternative names; deeper structures are stepped over, not entered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1, sha256
from socket import AF_INET6, inet_ntoa, inet_ntop
from types import MappingProxyType

from msgspec import Struct

from schoolwacht_agent.sources.packets.dissect.text import printable

ATTRIBUTES_MAX = 128
ALTERNATIVE_NAMES_MAX = 256
_KEPT_SIZE_MAX = 4_096
_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})?(?:\.[0-9]+)?"
    r"(?:Z|([+-])([0-9]{2})([0-9]{2}))"
)


class Certificate(Struct, frozen=True, gc=False):
    """The fields of one certificate.

    ``serial`` is hexadecimal, upper-case, without colons, with the leading zeros of the encoding. Times are aware UTC
    datetimes, None where the certificate holds no valid time. ``alternative_names``: DNS names (lower-case), addresses,
    e-mail addresses and URIs of subjectAltName. ``sha1`` and ``sha256`` are of the DER, lower-case hexadecimal.
    """

    subject: str
    issuer: str
    serial: str
    not_before: datetime | None
    not_after: datetime | None
    alternative_names: tuple[str, ...]
    sha1: str
    sha256: str


_SEQUENCE, _SET, _OID, _INTEGER = 0x30, 0x31, 0x06, 0x02
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_TEXT_TAGS = frozenset({0x0C, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1A, 0x1B, 0x07})
_BMP_STRING = 0x1E
_SUBJECT_ALT_NAME = bytes.fromhex("551d11")

# Attribute types by their DER, named as Suricata (the Rust crate x509-parser) does; others are ``OID(1.2.3)``.
_ATTRIBUTES = MappingProxyType(
    {
        bytes.fromhex("5504") + bytes([last]): name
        for last, name in {
            0: "objectClass", 1: "aliasedEntryName", 2: "knowledgeInformation", 3: "CN", 4: "surname",
            5: "serialNumber", 6: "C", 7: "L", 8: "ST", 9: "streetAddress", 10: "O", 11: "OU", 12: "title",
            13: "description", 14: "searchGuide", 15: "businessCategory", 16: "postalAddress", 17: "postalCode",
            41: "name", 42: "givenName", 43: "initials", 44: "generationQualifier", 45: "uniqueIdentifier",
            46: "dnQualifier",
        }.items()
    }
    | {
        bytes.fromhex("2a864886f70d0109") + bytes([last]): name
        for last, name in {1: "Email", 2: "unstructuredName", 7: "challengePassword"}.items()
    }
    | {
        bytes.fromhex("0992268993f22c640101"): "uid",
        bytes.fromhex("0992268993f22c640119"): "DC",
        bytes.fromhex("2b0601040182373c020101"): "msJurisdictionLocality",
        bytes.fromhex("2b0601040182373c020102"): "msJurisdictionStateOrProvince",
        bytes.fromhex("2b0601040182373c020103"): "msJurisdictionCountry",
    }
)  # fmt: skip


class _NotDer(Exception):  # noqa: N818 - never leaves this module
    """The bytes are no DER, or not of the structure of a certificate."""


def read_certificate(der: bytes) -> Certificate | None:
    """One certificate; None if the bytes are no certificate. Those seen last are kept: servers show theirs all day."""
    return _kept(der) if len(der) <= _KEPT_SIZE_MAX else _read(der)


def _read(der: bytes) -> Certificate | None:
    try:
        return _certificate(der)
    except (IndexError, _NotDer):
        return None


_kept = lru_cache(maxsize=512)(_read)


def _certificate(der: bytes) -> Certificate:
    start, end = _expect(der, 0, len(der), _SEQUENCE)
    at, end = _expect(der, start, end, _SEQUENCE)  # TBSCertificate
    tag, start, stop = _element(der, at, end)
    if tag == _VERSION:
        tag, start, stop = _element(der, stop, end)
    if tag != _INTEGER:
        raise _NotDer
    serial = der[start:stop]
    _, at = _expect(der, stop, end, _SEQUENCE)  # signature algorithm
    start, at = _expect(der, at, end, _SEQUENCE)
    issuer = _name(der, start, at)
    start, at = _expect(der, at, end, _SEQUENCE)
    tag, first, stop = _element(der, start, at)
    not_before = _time(tag, der[first:stop])
    tag, first, stop = _element(der, stop, at)
    not_after = _time(tag, der[first:stop])
    start, at = _expect(der, at, end, _SEQUENCE)
    subject = _name(der, start, at)
    _, at = _expect(der, at, end, _SEQUENCE)  # subject's public key
    return Certificate(
        subject,
        issuer,
        serial.hex().upper(),
        not_before,
        not_after,
        _alternative_names(der, at, end),
        sha1(der, usedforsecurity=False).hexdigest(),
        sha256(der).hexdigest(),
    )


def _element(der: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the contents of the element at ``at``; it must lie before ``end``."""
    if at + 2 > end:
        raise _NotDer
    tag = der[at]
    length = der[at + 1]
    at += 2
    if length >= 0x80:
        size = length & 0x7F
        if not 0 < size <= 4 or at + size > end:
            raise _NotDer
        length = int.from_bytes(der[at : at + size])
        at += size
    if at + length > end or tag & 0x1F == 0x1F:
        raise _NotDer
    return tag, at, at + length


def _expect(der: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    found, start, stop = _element(der, at, end)
    if found != tag:
        raise _NotDer
    return start, stop


def _elements(der: bytes, at: int, end: int, most: int) -> Iterator[tuple[int, int, int]]:
    for _ in range(most):
        if at >= end:
            return
        tag, start, at = _element(der, at, end)
        yield tag, start, at


def _name(der: bytes, at: int, end: int) -> str:
    """A distinguished name (RFC 5280 4.1.2.4) in the order of the certificate."""
    parts = []
    for tag, start, stop in _elements(der, at, end, ATTRIBUTES_MAX):
        if tag != _SET:
            raise _NotDer
        values = []
        for kind, first, last in _elements(der, start, stop, ATTRIBUTES_MAX):
            if kind != _SEQUENCE:
                raise _NotDer
            oid_start, oid_end = _expect(der, first, last, _OID)
            oid = der[oid_start:oid_end]
            value_tag, value_start, value_end = _element(der, oid_end, last)
            values.append(f"{_ATTRIBUTES.get(oid) or _oid(oid)}={_value(value_tag, der[value_start:value_end])}")
        parts.append(values[0] if len(values) == 1 else " + ".join(values))
    return ", ".join(parts)


def _value(tag: int, raw: bytes) -> str:
    if tag in _TEXT_TAGS:
        return printable(raw)
    if tag == _BMP_STRING:
        return raw.decode("utf-16-be", "replace")
    return raw.hex().upper()


def _oid(raw: bytes) -> str:
    """``OID(2.5.4.97)``; at most 32 bytes of it, as hexadecimal if it is longer or cut off."""
    if not raw or len(raw) > 32 or raw[-1] & 0x80:
        return f"OID({raw[:32].hex()})"
    numbers = []
    number = 0
    for byte in raw:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    root = min(numbers[0] // 40, 2)
    return "OID(" + ".".join(str(part) for part in (root, numbers[0] - 40 * root, *numbers[1:])) + ")"


def _time(tag: int, raw: bytes) -> datetime | None:
    """UTCTime or GeneralizedTime (RFC 5280 4.1.2.5), also without seconds or with an offset."""
    text = raw.decode("ascii", "replace")
    if tag == _UTC_TIME:
        text = ("19" if text[:1] >= "5" else "20") + text
    elif tag != _GENERALIZED_TIME:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, sign, offset_hours, offset_minutes = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
        if sign is None:
            return moment
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        return moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):
        return None


def _alternative_names(der: bytes, at: int, end: int) -> tuple[str, ...]:
    """The names of the subjectAltName extension (RFC 5280 4.2.1.6); none if it does not parse."""
    try:
        for tag, begin, finish in _elements(der, at, end, 4):
            if tag == _EXTENSIONS:
                start, stop = _expect(der, begin, finish, _SEQUENCE)
                for _, first, last in _elements(der, start, stop, 256):
                    oid_start, oid_end = _expect(der, first, last, _OID)
                    if der[oid_start:oid_end] == _SUBJECT_ALT_NAME:
                        return _general_names(der, oid_end, last)
    except _NotDer:
        pass
    return ()


def _general_names(der: bytes, at: int, end: int) -> tuple[str, ...]:
    tag, start, stop = _element(der, at, end)
    if tag == 0x01:  # the critical flag comes first
        tag, start, stop = _element(der, stop, end)
    if tag != 0x04:
        return ()
    start, stop = _expect(der, start, stop, _SEQUENCE)
    names = []
    for kind, first, last in _elements(der, start, stop, ALTERNATIVE_NAMES_MAX):
        raw = der[first:last]
        if kind == 0x82:  # dNSName
            names.append(printable(raw).lower())
        elif kind in (0x81, 0x86):  # rfc822Name, uniformResourceIdentifier
            names.append(printable(raw))
        elif kind == 0x87 and len(raw) == 4:
            names.append(inet_ntoa(raw))
        elif kind == 0x87 and len(raw) == 16:
            names.append(inet_ntop(AF_INET6, raw))
    return tuple(names)

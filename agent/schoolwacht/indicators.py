"""Indicators as both machines know them, and a whole set of them as bytes.

A set is text: a first line that says what it is, then one line an indicator, a JSON array in the order of
:class:`Known`'s fields, sorted. Same indicators, same bytes, on every collector; ``version`` is a digest of the lines,
so that an agent can ask whether there is anything new, and can see that it has all of it.

Limits: 500,000 indicators, 64 MiB. What is well-formed is taken; whether a value would do harm is judged where people
give it (the collector's ``match/values.py``).
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec
import zstandard
from msgspec import Struct

from schoolwacht.errors import IndicatorError
from schoolwacht.event import KEYWORD_MAX, TEXT_MAX
from schoolwacht.identity import identify

FORMAT = "schoolwacht-indicators/1"
#: The media type of a set on the wire; there it is one zstd frame.
SET_TYPE = "application/vnd.schoolwacht.indicators.v1"
NUMBER_MAX = 500_000
BYTES_MAX = 64 << 20
LINE_MAX = 4096


class IndicatorType(StrEnum):
    """What an indicator is compared with."""

    ADDRESS = "address"
    NETWORK = "network"
    DOMAIN = "domain"
    JA3 = "ja3"
    JA4 = "ja4"
    CERTIFICATE_SHA1 = "certificate-sha1"
    CERTIFICATE_SHA256 = "certificate-sha256"
    CERTIFICATE_NAME = "certificate-name"
    URL = "url"
    FILE_MD5 = "file-md5"
    FILE_SHA1 = "file-sha1"
    FILE_SHA256 = "file-sha256"


class Listed(Protocol):
    """What matching needs to know of an indicator, whoever keeps it."""

    @property
    def id(self) -> str: ...

    @property
    def type(self) -> IndicatorType: ...

    @property
    def value(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def confidence(self) -> str: ...

    @property
    def tlp(self) -> str: ...

    @property
    def valid_until(self) -> datetime | None: ...


class Known(Struct, frozen=True, array_like=True, gc=False):
    """One line of a set. ``value`` is in the one normal way to write it; ``valid_until`` is UTC."""

    type: IndicatorType
    value: str
    provider: str = "cert"
    confidence: str = "High"
    tlp: str = "AMBER"
    valid_until: datetime | None = None
    description: str = ""

    @property
    def id(self) -> str:
        """Follows from type and value."""
        return indicator_id(self.type, self.value)


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: str
    number: int


class IndicatorLines(NamedTuple):
    """A checked set: its version and its lines (without line ends), sorted."""

    version: str
    lines: list[bytes]


def indicator_id(kind: IndicatorType, value: str) -> str:
    """20 hexadecimal digits: the same indicator has the same id everywhere."""
    return identify(kind.value, value)[:20]


_ENCODER = msgspec.json.Encoder()
_LINE = msgspec.json.Decoder(Known)
_HEAD = msgspec.json.Decoder(_Head)


class Encoded(NamedTuple):
    """A set as bytes, its version and how many it holds."""

    version: str
    number: int
    raw: bytes


def encode_set(indicators: Iterable[Listed]) -> Encoded:
    """The bytes of a set."""
    lines = sorted({_ENCODER.encode(_known(one)) for one in indicators})
    text = b"".join(line + b"\n" for line in lines)
    version = text_version(text)
    head = _ENCODER.encode(_Head(FORMAT, version, len(lines)))
    return Encoded(version, len(lines), head + b"\n" + text)


def version_of(lines: Iterable[bytes]) -> str:
    """The version of a set with these lines: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()


def text_version(text: bytes | memoryview) -> str:
    """The version of a set from all of its lines, each with its line end."""
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def pack_set(raw: bytes) -> bytes:
    """A set for the wire: one zstd frame."""
    return zstandard.ZstdCompressor(level=9).compress(raw)


def unpack_set(frame: bytes) -> bytes:
    """A set from the wire. Raises IndicatorError if it is none or unpacks to more than :data:`BYTES_MAX`."""
    # decompress() believes the size that a frame states of itself; a reader does not.
    reader = zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(frame, read_across_frames=False)
    try:
        raw: bytes = reader.read(BYTES_MAX + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise IndicatorError(f"is no zstd frame: {error}") from error
    if len(raw) > BYTES_MAX:
        raise IndicatorError(f"unpacks to more than {BYTES_MAX >> 20} MiB")
    return raw


def read_set(raw: bytes, *, path: str) -> IndicatorLines:
    """The lines of a set that is whole and well-formed. Raises IndicatorError that names ``path`` and the line.

    A file without the first line is taken too, as people make one; then the version is reckoned.
    """
    if len(raw) > BYTES_MAX:
        raise IndicatorError(f"is larger than {BYTES_MAX >> 20} MiB", path=path)
    lines = raw.splitlines()
    head = None
    if lines and lines[0].startswith(b"{"):
        try:
            head = _HEAD.decode(lines[0])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IndicatorError(f"does not begin like a set of indicators: {error}", path=path, line=1) from error
        if head.format != FORMAT:
            raise IndicatorError(f'has the format "{head.format}"; this agent reads {FORMAT}', path=path, line=1)
        lines = lines[1:]
    first = 1 if head is None else 2
    wanted = [(number, line) for number, line in enumerate(lines, first) if line and not line.startswith(b"#")]
    if len(wanted) > NUMBER_MAX:
        raise IndicatorError(f"holds more than {NUMBER_MAX:,} indicators", path=path)
    for number, line in wanted:
        _check_line(line, path, number)
    if head is None:
        found = sorted({line.strip() for _, line in wanted})
        return IndicatorLines(version_of(found), found)
    found = [line for _, line in wanted]
    if len(found) != head.number or version_of(found) != head.version:
        raise IndicatorError("is not whole: its lines are not those that its first line counts", path=path)
    return IndicatorLines(head.version, found)


def read_line(line: bytes) -> Known:
    """An indicator from its line. Raises IndicatorError."""
    try:
        return _LINE.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IndicatorError(f"is no indicator: {error}") from error


def read_lines(lines: Iterable[bytes]) -> Iterator[Known]:
    """The indicators of checked lines."""
    return map(_LINE.decode, lines)


def _check_line(line: bytes, path: str, number: int) -> None:
    if len(line) > LINE_MAX:
        raise IndicatorError(f"is longer than {LINE_MAX} bytes", path=path, line=number)
    try:
        known = read_line(line)
    except IndicatorError as error:
        raise IndicatorError(error.message, path=path, line=number) from error
    fault = fault_of(known)
    if fault:
        raise IndicatorError(fault, path=path, line=number, field="value")


_HEX = {
    IndicatorType.JA3: re.compile(r"[0-9a-f]{32}"),
    IndicatorType.JA4: re.compile(r"[tqd][0-9a-z]{9}_[0-9a-f]{12}_[0-9a-f]{12}"),
    IndicatorType.CERTIFICATE_SHA1: re.compile(r"[0-9a-f]{40}"),
    IndicatorType.CERTIFICATE_SHA256: re.compile(r"[0-9a-f]{64}"),
    IndicatorType.FILE_MD5: re.compile(r"[0-9a-f]{32}"),
    IndicatorType.FILE_SHA1: re.compile(r"[0-9a-f]{40}"),
    IndicatorType.FILE_SHA256: re.compile(r"[0-9a-f]{64}"),
}
#: Host and, unless it is that of the scheme, port; then path and query.
_URL = re.compile(r"(?:[a-z0-9_.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?/[!-~]*")
_DOMAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")


def fault_of(known: Known) -> str:
    """Why a value is not in its normal form, in plain words; empty if it is."""
    kind, value = known.type, known.value
    if len(value) > KEYWORD_MAX or len(known.provider) > KEYWORD_MAX or len(known.description) > TEXT_MAX:
        return "is too long"
    if not (value.isprintable() and known.provider.isprintable() and known.description.isprintable()):
        return "holds a control character"
    if known.valid_until is not None and known.valid_until.tzinfo is not UTC:
        return "valid until a time that is not in UTC"
    if kind is IndicatorType.ADDRESS:
        return "" if _is_address(value) else f'"{value}" is no IP address in its normal form'
    if kind is IndicatorType.NETWORK:
        address, slash, length = value.partition("/")
        fits = slash and length.isdecimal() and _is_address(address)
        widest, longest = (16, 128) if ":" in address else (8, 32)
        if not fits or not widest <= int(length) <= longest:
            return f'"{value}" is no network of /{widest} to /{longest} in its normal form'
        return "" if _is_masked(address, int(length)) else f'"{value}" has bits beyond its prefix'
    if kind is IndicatorType.DOMAIN:
        return "" if len(value) <= 253 and _DOMAIN.fullmatch(value) else f'"{value}" is no domain in its normal form'
    if kind is IndicatorType.URL:
        return "" if _URL.fullmatch(value) else f'"{value}" is no URL in its normal form (host/path, without scheme)'
    if kind is IndicatorType.CERTIFICATE_NAME:
        return "" if value and value == value.lower() else "is empty or not in lower case"
    return "" if _HEX[kind].fullmatch(value) else f'"{value}" is no {kind.value} in its normal form'


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _is_address(value: str) -> bool:
    family = _family(value)
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, value)) == value
    except (OSError, ValueError):
        return False


def _is_masked(address: str, length: int) -> bool:
    raw = socket.inet_pton(_family(address), address)
    return int.from_bytes(raw, "big") & ((1 << (len(raw) * 8 - length)) - 1) == 0


def _known(one: Listed) -> Known:
    until = one.valid_until
    return Known(
        one.type,
        one.value,
        one.provider,
        one.confidence,
        one.tlp,
        None if until is None else until.astimezone(UTC),
        one.description,
    )

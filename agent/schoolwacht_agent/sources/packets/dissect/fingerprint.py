"""JA3, JA3S and JA4 fingerprints of TLS hellos, as Suricata 7 computes them.

Sources: salesforce/ja3 (strings of decimal numbers, MD5); FoxIO "JA4 technical details" (TLS client). GREASE values
(RFC 8701) count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import md5, sha256
from typing import NamedTuple

from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello

#: RFC 8701: 0x0a0a, 0x1a1a … 0xfafa.
GREASE = frozenset(0x0A0A + 0x1010 * step for step in range(16))

_SERVER_NAME, _ALPN = 0, 16
# Versions that count for JA4; the drafts 16 to 28 of TLS 1.3 do, and have no code. Others (Facebook's own, say) do not.
_VERSIONS = frozenset(range(0x0300, 0x0305)) | frozenset(range(0x7F10, 0x7F1D))
_VERSION_CODES = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3"}


class Fingerprint(NamedTuple):
    """The full string of a JA3 or JA3S, and its MD5 in hexadecimal."""

    text: str
    digest: str


def ja3(hello: ClientHello) -> Fingerprint | None:
    """JA3 of a client. None for a hello in SSLv2 form, for which it is not defined."""
    if hello.sslv2:
        return None
    compute = _ja3 if len(hello.ciphers) + len(hello.groups) <= _KEPT_MAX else _ja3.__wrapped__
    return compute(hello.version, hello.ciphers, hello.extensions, hello.groups, hello.point_formats)


def ja3s(hello: ServerHello) -> Fingerprint:
    """JA3S of a server."""
    return _ja3s(hello.version, hello.cipher, hello.extensions)


def ja4(hello: ClientHello, *, quic: bool = False) -> str | None:
    """JA4 of a client, ``t13d1516h2_8daaf6152771_b186095e22b6``. None for a hello in SSLv2 form."""
    if hello.sslv2:
        return None
    versions = [version for version in hello.versions if version in _VERSIONS]
    first = hello.alpn[0] if hello.alpn else b""
    compute = _ja4 if len(hello.ciphers) + len(hello.signature_algorithms) <= _KEPT_MAX else _ja4.__wrapped__
    return compute(
        "q" if quic else "t",
        max((hello.version, *versions)),
        hello.ciphers,
        hello.extensions,
        hello.signature_algorithms,
        _alpn_code(first),
    )


# Clients of one program send one hello: a school has a few hundred different ones, not millions. Hellos of an unusual
# size are computed each time, so that nobody can fill the memory with them.
_KEPT_MAX = 512


@lru_cache(maxsize=2048)
def _ja3(
    version: int,
    ciphers: tuple[int, ...],
    extensions: tuple[int, ...],
    groups: tuple[int, ...],
    point_formats: tuple[int, ...],
) -> Fingerprint:
    return _hashed(
        f"{version},{_decimal(ciphers)},{_decimal(extensions)},{_decimal(groups)},{'-'.join(map(str, point_formats))}"
    )


@lru_cache(maxsize=2048)
def _ja4(
    protocol: str,
    version: int,
    ciphers: tuple[int, ...],
    extensions: tuple[int, ...],
    algorithms: tuple[int, ...],
    alpn: str,
) -> str:
    ciphers = tuple(sorted(value for value in ciphers if value not in GREASE))
    extensions = tuple(value for value in extensions if value not in GREASE)
    hashed = sorted(value for value in extensions if value not in (_SERVER_NAME, _ALPN))
    signed = [value for value in algorithms if value not in GREASE]
    name = "d" if _SERVER_NAME in extensions else "i"
    head = (
        f"{protocol}{_VERSION_CODES.get(version, '00')}{name}"
        f"{min(99, len(ciphers)):02}{min(99, len(extensions)):02}{alpn}"
    )
    return f"{head}_{_short(_hexadecimal(ciphers))}_{_short(f'{_hexadecimal(hashed)}_{_hexadecimal(signed)}')}"


@lru_cache(maxsize=2048)
def _ja3s(version: int, cipher: int, extensions: tuple[int, ...]) -> Fingerprint:
    return _hashed(f"{version},{cipher},{_decimal(extensions)}")


def _hashed(text: str) -> Fingerprint:
    return Fingerprint(text, md5(text.encode(), usedforsecurity=False).hexdigest())


def _decimal(values: tuple[int, ...]) -> str:
    return "-".join([str(value) for value in values if value not in GREASE])


def _hexadecimal(values: Sequence[int]) -> str:
    return ",".join([f"{value:04x}" for value in values])


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def _alpn_code(protocol: bytes) -> str:
    """First and last character of the first protocol offered."""
    if len(protocol) < 2 or (len(protocol) == 2 and int.from_bytes(protocol) in GREASE):
        return "00"
    return f"{chr(protocol[0])}{chr(protocol[-1])}"

"""What EVE does not say of a server's certificate, read from the certificate itself: SHA-256 and alternative names.

Source: X.690 (DER), RFC 5280 4.2.1.6. No validation: only the one extension is looked for, and what does not hold
together has its hash and no names. The packet engine has a full reader; this one keeps the engines apart.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from socket import AF_INET6, inet_ntoa, inet_ntop
from typing import NamedTuple

from schoolwacht_agent.sources.suricata.envelope import words

#: The extension's identifier 2.5.29.17, as an OBJECT IDENTIFIER.
_SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
_OCTETS, _SEQUENCE = 0x04, 0x30
_MAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87


class Seen(NamedTuple):
    """What was read; the names are absent if there are none or the bytes are no certificate."""

    sha256: str | None = None
    alternative_names: list[str] | None = None


@lru_cache(maxsize=4096)
def seen(encoded: str) -> Seen:
    """Read a certificate in base64, as in EVE's ``tls.certificate``. Nothing at all of what is no base64."""
    try:
        der = binascii.a2b_base64(encoded)
    except (binascii.Error, ValueError):
        return Seen()
    return Seen(hashlib.sha256(der).hexdigest(), words(_alternative_names(der)))


def _alternative_names(der: bytes) -> list[str]:
    at = der.find(_SUBJECT_ALT_NAME)
    if at < 0:
        return []
    names = []
    try:
        # What follows the identifier: perhaps the flag "critical", then the names inside an octet string.
        extension = next(body for tag, body in _elements(der[at + len(_SUBJECT_ALT_NAME) :]) if tag == _OCTETS)
        listed = next(body for tag, body in _elements(extension) if tag == _SEQUENCE)
        for tag, body in _elements(listed):
            if tag in {_DNS, _MAIL, _URI}:
                names.append(body.decode("ascii", "backslashreplace").lower())
            elif tag == _ADDRESS and len(body) == 4:
                names.append(inet_ntoa(body))
            elif tag == _ADDRESS and len(body) == 16:
                names.append(inet_ntop(AF_INET6, body))
    except (IndexError, StopIteration):
        return []
    return names


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that follow one another in ``der``: tag and content. Raises IndexError where one runs over."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise IndexError
        yield tag, der[at : at + length]
        at += length

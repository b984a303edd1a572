"""The values of indicators: one way to write each, and a refusal of those that would do harm.

Promise: what :func:`normalise` returns is what an event says of the same thing (``EVIL[.]example.`` gives
``evil.example``, ``192.0.2.7/24`` gives ``192.0.2.0/24``), and it does not match the traffic of every school.
A URL is kept as ``host[:port]/path[?query]``: plain HTTP is all that can be compared, so the scheme says nothing.
Limits: no list of well-known good addresses and domains is consulted here (:mod:`..indicators.warning`).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import quote

import idna

from schoolwacht.domains import split
from schoolwacht.errors import IndicatorError
from schoolwacht.event import KEYWORD_MAX
from schoolwacht.indicators import IndicatorType

#: The widest networks that are taken, as prefix lengths. A provider has a /32 of IPv6, rarely more; 2001::/16 alone
#: holds thousands of them.
WIDEST4 = 8
WIDEST6 = 24

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Not to be blamed: a school's own addresses, and what never crosses a router. The documentation networks of RFC 5737
# and RFC 3849 are not among them: no real traffic has them, and exercises do.
_OWN4 = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "reserved"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL6 = ipaddress.IPv6Network("2000::/3")

_HEX = re.compile(r"^[0-9a-f]+$")
_PAIRS = re.compile(r"^(?:[0-9a-f]{2}:){15,}[0-9a-f]{2}$")
_JA4 = re.compile(r"^[tqd](?:1[0-3]|s[23]|d[123]|00)[di][0-9]{4}[0-9a-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$")
_LABEL = re.compile(r"^(?!-)[a-z0-9_-]{1,63}(?<!-)$")
_LOOKS_LIKE_ADDRESS = re.compile(r"^[0-9.]+(?:/[0-9]+)?$|^[0-9a-f:.]*:[0-9a-f:.]*(?:/[0-9]+)?$")
_DOT = re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)", re.IGNORECASE)
_SCHEME = re.compile(r"^(?:h[tx]{2}ps?|ftp)(?:\[:\]|:)//", re.IGNORECASE)
_DIGESTS = {
    IndicatorType.JA3: ("JA3", 32),
    IndicatorType.CERTIFICATE_SHA1: ("SHA-1", 40),
    IndicatorType.CERTIFICATE_SHA256: ("SHA-256", 64),
}
#: Hashes of files need their type said: by their form they are JA3 or certificates.
_FILE_DIGESTS = {
    IndicatorType.FILE_MD5: ("MD5", 32),
    IndicatorType.FILE_SHA1: ("SHA-1", 40),
    IndicatorType.FILE_SHA256: ("SHA-256", 64),
}
_OF_NOTHING = frozenset(hashlib.new(name, b"", usedforsecurity=False).hexdigest() for name in ("md5", "sha1", "sha256"))


def guess_type(value: str) -> IndicatorType:
    """The type that a value has by its form. Raises IndicatorError where no form fits."""
    text = _refang(value)
    digits = text.replace(":", "") if _PAIRS.match(text) else text
    if _HEX.match(digits):
        for kind, (_, length) in _DIGESTS.items():
            if len(digits) == length:
                return kind
    if _LOOKS_LIKE_ADDRESS.match(text) and (":" in text or text.count(".") == 3 or "/" in text):
        return IndicatorType.NETWORK if "/" in text else IndicatorType.ADDRESS
    if _JA4.match(text):
        return IndicatorType.JA4
    if "/" in text and "." in text.partition("/")[0]:
        return IndicatorType.URL
    if "." in text:
        return IndicatorType.DOMAIN
    raise IndicatorError(
        f'"{value}" is no address, network, domain, URL, JA3, JA4 or certificate hash; give its type in a CSV file',
        field="value",
    )


def normalise(kind: IndicatorType, value: str) -> str:
    """The one way to write a value of this type. Raises IndicatorError if it is none, or would do harm."""
    return _NORMAL[kind](value)


def _address(value: str) -> str:
    text = _refang(value)
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError as error:
        raise IndicatorError(f'"{value}" is no IP address', field="value") from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise IndicatorError(f'"{value}" is a link-local address', field="value")
        address = address.ipv4_mapped or address
    _refuse_own(ipaddress.ip_network(address), value)
    return str(address)


def _network(value: str) -> str:
    text = _refang(value)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise IndicatorError(f'"{value}" is no network such as 192.0.2.0/24', field="value") from error
    if isinstance(network, ipaddress.IPv6Network):
        inner = network.network_address.ipv4_mapped
        if inner is not None and network.prefixlen >= 96:
            network = ipaddress.IPv4Network((inner, network.prefixlen - 96))
    widest = WIDEST4 if network.version == 4 else WIDEST6
    if network.prefixlen < widest:
        raise IndicatorError(
            f"{network} holds too much of the Internet to be one bad network; the widest taken is /{widest}",
            field="value",
        )
    _refuse_own(network, value)
    return str(network)


def _refuse_own(network: _Network, value: str) -> None:
    if isinstance(network, ipaddress.IPv6Network):
        if not network.subnet_of(_GLOBAL6):
            raise IndicatorError(
                f'"{value}" is not within 2000::/3: private, link-local, multicast or reserved addresses occur at'
                " every school",
                field="value",
            )
        return
    for own, what in _OWN4:
        if network.overlaps(own):
            raise IndicatorError(f'"{value}" holds {what} addresses ({own}), which occur at any school', field="value")


def _domain(value: str) -> str:
    text = _refang(value)
    if "/" in text:
        raise IndicatorError(
            f'"{value}" is a URL: give it the type url, or give its domain if all of that is bad', field="value"
        )
    name = _name(text.removeprefix("*."), value)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise IndicatorError(f'"{value}" is an address; give it the type address', field="value")
    if name.rpartition(".")[2].isdigit():
        raise IndicatorError(f'"{value}" is no domain name: no top-level domain is a number', field="value")
    if split(name)[0] is None:
        raise IndicatorError(
            f'"{value}" is a public suffix or a single label: it would match domains of many owners', field="value"
        )
    return name


def _url(value: str) -> str:
    # Browsers take a backslash for a slash (WHATWG URL), so what stands behind it is no host.
    text = _DOT.sub(".", value.strip()).replace("[:]", ":").replace("\\", "/").partition("#")[0]
    if (scheme := _SCHEME.match(text)) is not None:
        if scheme[0].lower().startswith("ftp"):
            raise IndicatorError(f'"{value}": of URLs only HTTP is compared; give the host', field="value")
        text = text[scheme.end() :]
    elif "://" in text:
        raise IndicatorError(f'"{value}": of URLs only HTTP is compared; give the host', field="value")
    place = min((at for sign in "/?" if (at := text.find(sign)) >= 0), default=len(text))
    where, rest = text[:place].rpartition("@")[2], text[place:]
    path = quote(rest if rest.startswith("/") else f"/{rest}", safe=_IN_URLS)
    url = f"{_host_and_port(where, value)}{path}"
    if len(url) > KEYWORD_MAX:
        raise IndicatorError(f"is longer than {KEYWORD_MAX} characters", field="value")
    return url


_IN_URLS = "".join(chr(code) for code in range(0x21, 0x7F))


def _host_and_port(where: str, value: str) -> str:
    host, colon, port = where.rpartition(":")
    if not colon or where.endswith("]"):
        host, port = where, ""
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise IndicatorError(f'"{value}" has no port but "{port}"', field="value")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        name = _name(host, value)
        if "." not in name or name.rpartition(".")[2].isdigit():
            raise IndicatorError(f'"{value}" has no host of the Internet', field="value") from None
    else:
        name = _address(str(address))
        name = f"[{name}]" if ":" in name else name
    return name if not port or int(port) in _PLAIN_PORTS else f"{name}:{int(port)}"


#: As :mod:`schoolwacht.match` has it.
_PLAIN_PORTS = (80, 443)


def _name(text: str, value: str) -> str:
    """A host name in lower-case ASCII without the last dot (RFC 5891; labels of RFC 1035, with ``_`` as DNS has it)."""
    labels = text.rstrip(".").split(".")
    try:
        name = ".".join(_label(label) for label in labels)
    except (idna.IDNAError, UnicodeError, ValueError) as error:
        raise IndicatorError(f'"{value}" is no domain name: {error}', field="value") from error
    if len(name) > 253:
        raise IndicatorError(f'"{value}" is longer than a domain name can be', field="value")
    return name


def _label(label: str) -> str:
    lowered = label.lower() if label.isascii() else idna.encode(label, uts46=True).decode()
    if not _LABEL.match(lowered):
        raise ValueError(f'the label "{label}" is empty, too long or has a sign that names do not have')
    return lowered


def _certificate_name(value: str) -> str:
    # A common name may be any text ("AsyncRAT Server"); what looks like a host name is made normal as one.
    text = value.strip().rstrip(".")
    wildcard = text.startswith("*.")
    bare = _DOT.sub(".", text.removeprefix("*."))
    if "." in bare and " " not in bare:
        if split(name := _name(bare, value))[0] is None:
            raise IndicatorError(
                f'"{value}" is a public suffix: it would match certificates of many owners', field="value"
            )
        return f"*.{name}" if wildcard else name
    lowered = printable(text, "value", KEYWORD_MAX).lower()
    if wildcard or "*" in lowered:
        raise IndicatorError(f'"{value}": a wildcard stands for the first label of a host name only', field="value")
    if len(lowered) < 4 or lowered in _COMMON_EVERYWHERE:
        raise IndicatorError(f'"{value}" is a name that many harmless certificates have', field="value")
    return lowered


_COMMON_EVERYWHERE = frozenset({"localhost", "router", "server", "test", "default", "unknown", "example", "none"})


def _ja4(value: str) -> str:
    text = value.strip().lower()
    if not _JA4.match(text):
        raise IndicatorError(f'"{value}" is no JA4 such as t13d1516h2_8daaf6152771_e5627efa2ab1', field="value")
    return text


def _digest_of(kind: IndicatorType) -> Callable[[str], str]:
    name, length = (_DIGESTS | _FILE_DIGESTS)[kind]

    def normal(value: str) -> str:
        text = value.strip().replace(":", "").lower()
        if len(text) != length or not _HEX.match(text):
            raise IndicatorError(f'"{value}" is no {name}: {length} hexadecimal digits are needed', field="value")
        if text in _OF_NOTHING or not text.strip("0"):
            raise IndicatorError(f'"{value}" is the {name} of nothing: it would match whatever has none', field="value")
        return text

    return normal


_NORMAL: MappingProxyType[IndicatorType, Callable[[str], str]] = MappingProxyType(
    {
        IndicatorType.ADDRESS: _address,
        IndicatorType.NETWORK: _network,
        IndicatorType.DOMAIN: _domain,
        IndicatorType.JA3: _digest_of(IndicatorType.JA3),
        IndicatorType.JA4: _ja4,
        IndicatorType.CERTIFICATE_SHA1: _digest_of(IndicatorType.CERTIFICATE_SHA1),
        IndicatorType.CERTIFICATE_SHA256: _digest_of(IndicatorType.CERTIFICATE_SHA256),
        IndicatorType.CERTIFICATE_NAME: _certificate_name,
        IndicatorType.URL: _url,
        IndicatorType.FILE_MD5: _digest_of(IndicatorType.FILE_MD5),
        IndicatorType.FILE_SHA1: _digest_of(IndicatorType.FILE_SHA1),
        IndicatorType.FILE_SHA256: _digest_of(IndicatorType.FILE_SHA256),
    }
)


def _refang(value: str) -> str:
    text = _DOT.sub(".", value.strip()).replace("[:]", ":")
    if (scheme := _SCHEME.match(text)) is not None:
        # A scheme alone says no more than the host; a path is left for the reader of the type to refuse.
        text = text[scheme.end() :].removesuffix("/")
    return text.lower()


def printable(text: str, field: str, limit: int) -> str:
    """Text of a column as it is. Raises IndicatorError if it is too long or holds control characters."""
    if len(text) > limit:
        raise IndicatorError(f"is longer than {limit} characters", field=field)
    if not text.isprintable():
        raise IndicatorError("holds a control character", field=field)
    return text

"""Lists of values that are well-known and good, or bad for nobody: what they hold should be no indicator.

The lists of the MISP project (CC0) as ``pymispwarninglists`` ships them: a chosen few, named below. Promise: an
indicator is held if it *would match* what a list holds: a domain above a listed name, a network around a listed
address. A name below a listed one is another matter and not held (``evil.blogspot.com`` is not ``blogspot.com``), nor
is a URL with a path. Limits: lists are as old as the installed package; ranges of clouds that anybody can rent are not
among them, save those that schools use by the thousand (Microsoft, Google).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from importlib.resources import files
from typing import NamedTuple

import msgspec

from schoolwacht.domains import split
from schoolwacht.indicators import IndicatorType
from schoolwacht_collector.records import Indicator

NAMES = (
    "alexa", "bank-website", "captive-portals", "cisco_top5k", "common-ioc-false-positive", "google", "microsoft",
    "microsoft-office365", "microsoft-win10-connection-endpoints", "moz-top500", "public-dns-hostname", "rfc6761",
    "security-provider-blogpost", "tranco10k", "umbrella-blockpage-hostname", "university_domains", "whats-my-ip",
)  # fmt: skip
RANGES = (
    "akamai", "apple", "cloudflare", "fastly", "github", "google-gcp", "google-gmail-sending-ips", "googlebot",
    "microsoft-azure", "microsoft-office365-ip", "public-dns-v4", "public-dns-v6", "sinkholes", "smtp-receiving-ips",
    "smtp-sending-ips", "umbrella-blockpage-v4", "umbrella-blockpage-v6", "wikimedia", "zscaler",
)  # fmt: skip
HASHES = ("empty-hashes", "mozilla-CA", "mozilla-IntermediateCA", "nioc-filehash", "ti-falsepositives")
_PACKAGE = "pymispwarninglists"
_HEX = frozenset("0123456789abcdef")


class _List(msgspec.Struct):
    values: list[str] = msgspec.field(name="list")


class Ranges(NamedTuple):
    """Networks of one family as (first, last, list), sorted by first; and the greatest last up to each."""

    rows: list[tuple[int, int, str]]
    reach: list[int]


class WarningLists:
    """The lists, in memory (about 85 MB). Make it with :func:`load`."""

    def __init__(self, names: dict[str, str], ranges: dict[int, Ranges], hashes: dict[bytes, str]) -> None:
        self._names = names
        self._ranges = ranges
        self._hashes = hashes

    def holds(self, indicator: Indicator) -> str | None:
        """The list that speaks against an indicator, or None."""
        kind, value = indicator.type, indicator.value
        if kind in {IndicatorType.ADDRESS, IndicatorType.NETWORK}:
            network = ipaddress.ip_network(value)
            return self._range(network.version, int(network.network_address), int(network.broadcast_address))
        if kind in {IndicatorType.DOMAIN, IndicatorType.CERTIFICATE_NAME}:
            return self._names.get(value.removeprefix("*."))
        if kind is IndicatorType.URL:
            host, _, path = value.partition("/")
            return None if path else self._names.get(host)
        try:
            return self._hashes.get(bytes.fromhex(value))
        except ValueError:  # JA4
            return None

    def _range(self, version: int, first: int, last: int) -> str | None:
        """The list of a range that overlaps. They are few enough to overlap that looking back is short."""
        rows, reach = self._ranges[version]
        low, high = 0, len(rows)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if rows[middle][0] <= last else (low, middle)
        for place in range(low - 1, -1, -1):
            if reach[place] < first:
                return None
            if rows[place][1] >= first:
                return rows[place][2]
        return None


@functools.cache
def load() -> WarningLists:
    """Read the lists, once a process (about a second)."""
    names: dict[str, str] = {}
    for name in NAMES:
        for value in _values(name):
            _add_name(names, value.strip().lower().strip("."), name)
    hashes: dict[bytes, str] = {}
    for name in HASHES:
        for value in _values(name):
            digest = value.strip().lower()
            if len(digest) in (32, 40, 64) and _HEX.issuperset(digest):
                hashes.setdefault(bytes.fromhex(digest), name)
    return WarningLists(names, _ranges((value, name) for name in RANGES for value in _values(name)), hashes)


def _add_name(names: dict[str, str], value: str, name: str) -> None:
    """A name and those above it down to the registrable domain: an indicator of any of them would match it."""
    registered, _ = split(value)
    while registered is not None and len(value) >= len(registered):
        names.setdefault(value, name)
        value = value.partition(".")[2]


def _ranges(values: Iterable[tuple[str, str]]) -> dict[int, Ranges]:
    rows: dict[int, list[tuple[int, int, str]]] = {4: [], 6: []}
    for value, name in values:
        try:
            network = ipaddress.ip_network(value.strip(), strict=False)
        except ValueError:
            continue
        rows[network.version].append((int(network.network_address), int(network.broadcast_address), name))
    found = {}
    for version, each in rows.items():
        each.sort()
        reach: list[int] = []
        for row in each:
            reach.append(max(row[1], reach[-1] if reach else 0))
        found[version] = Ranges(each, reach)
    return found


def _values(name: str) -> list[str]:
    path = files(_PACKAGE) / "data" / "misp-warninglists" / "lists" / name / "list.json"
    return msgspec.json.decode(path.read_bytes(), type=_List).values

"""Indicators against events: 100,000 of them in under 2 µs an event.

Promise: every indicator that an event holds is found, each with the first field that holds it. An address matches by
meaning, not by spelling (``::ffff:192.0.2.1`` is ``192.0.2.1``); a domain matches itself and everything below it.

=====================  ==========================================================================================
type                   fields
=====================  ==========================================================================================
address, network       source.ip, destination.ip, dns.resolved_ip, and url.domain where it is an address
domain                 dns.question.name, tls.client.server_name, url.domain
ja3                    tls.client.ja3, tls.server.ja3s (both are MD5 digests; lists of them do not say which)
ja4                    nsm.tls.ja4
certificate-sha1/256   tls.server.hash.sha1, tls.server.hash.sha256
certificate-name       tls.server.x509.alternative_names, common name of tls.server.subject; a wildcard on either
                       side stands for exactly one label (RFC 6125)
url                    url.domain, url.port, url.path and url.query together: the host's port counts unless it is that
                       of the scheme; a URL without a query matches that path with any query
file-md5/sha1/sha256   file.hash.md5, file.hash.sha1, file.hash.sha256
=====================  ==========================================================================================

Expiry: an indicator hits traffic of before its ``valid_until``, by the event's own time, so that an event which comes
late from a spool is judged by what was known of its own hour. ``build`` leaves out what expired more than
:data:`GRACE` ago: no event that late is taken, save in an analysis of old captures, which passes its own ``now``.

Limits: signals are not matched (the traffic's own event is), nor health. A set is never changed: to change it, build
another and assign it; a match that is under way finishes with the old one. It belongs to one thread, because
its caches do; they hold the addresses and names asked last, at most ``cached`` each.

The collector holds a set in dictionaries, an agent in the bytes of a file (:class:`Tables`).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from schoolwacht.event import Dataset, Event
from schoolwacht.indicators import IndicatorType, Listed

GRACE = timedelta(days=14)
CACHED = 65_536

_MAPPED = bytes(10) + b"\xff\xff"
_COMMON_NAME = re.compile(r"(?:^|[,/+;])\s*CN\s*=\s*((?:\\.|[^,/+;\\])*)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(.)")
_UNMATCHED = frozenset({Dataset.SIGNAL, Dataset.HEALTH})

Found: TypeAlias = tuple[Listed, ...]
_NOTHING: Found = ()
#: Ports that a URL's normal form leaves out, for it has no scheme.
_PLAIN_PORTS = (80, 443)


class Hit(NamedTuple):
    """An indicator found in an event: the field (dotted ECS name) and the value that stood there."""

    indicator: Listed
    field: str
    value: str


K_contra = TypeVar("K_contra", contravariant=True)


class Table(Protocol[K_contra]):
    """Finds an indicator by its key; a dictionary is one."""

    def get(self, key: K_contra, /) -> Listed | None: ...


_EMPTY: Table[str] = MappingProxyType({})


class Tables(NamedTuple):
    """Where a set looks things up.

    ``addresses`` by packed address, ``networks`` by packed network and the byte of its prefix length, the others by
    text. ``lengths4`` and ``lengths6`` are the prefix lengths that occur, longest first; ``labels`` the number of
    labels of the longest domain.
    """

    addresses: Table[bytes]
    networks: Table[bytes]
    domains: Table[str]
    ja3: Table[str]
    ja4: Table[str]
    certificates: Table[str]
    certificate_names: dict[str, Listed]
    lengths4: tuple[int, ...]
    lengths6: tuple[int, ...]
    labels: int
    size: int
    urls: Table[str] = _EMPTY
    files: Table[str] = _EMPTY
    #: Whether there are URLs, and hashes of files: most sets have none, and then nothing is looked up.
    has_urls: bool = False
    has_files: bool = False


def in_memory(indicators: Iterable[Listed]) -> Tables:
    """Tables as dictionaries."""
    values: dict[IndicatorType, dict[str, Listed]] = {kind: {} for kind in IndicatorType}
    for indicator in indicators:
        values[indicator.type][indicator.value] = indicator
    networks = {network_key(value): each for value, each in values[IndicatorType.NETWORK].items()}
    lengths4, lengths6 = lengths_of(networks)
    domains = values[IndicatorType.DOMAIN]
    files = values[IndicatorType.FILE_MD5] | values[IndicatorType.FILE_SHA1] | values[IndicatorType.FILE_SHA256]
    return Tables(
        addresses={packed(value): each for value, each in values[IndicatorType.ADDRESS].items()},
        networks=networks,
        domains=domains,
        ja3=values[IndicatorType.JA3],
        ja4=values[IndicatorType.JA4],
        certificates=values[IndicatorType.CERTIFICATE_SHA1] | values[IndicatorType.CERTIFICATE_SHA256],
        certificate_names=values[IndicatorType.CERTIFICATE_NAME],
        lengths4=lengths4,
        lengths6=lengths6,
        labels=max((name.count(".") + 1 for name in domains), default=0),
        size=sum(len(each) for each in values.values()),
        urls=values[IndicatorType.URL],
        files=files,
        has_urls=bool(values[IndicatorType.URL]),
        has_files=bool(files),
    )


def network_key(network: str) -> bytes:
    """The key of a network in its normal form: packed address and prefix length."""
    address, _, length = network.partition("/")
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address) + bytes([int(length)])


def lengths_of(networks: Iterable[bytes]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The prefix lengths of both families that occur among keys of networks, longest first."""
    lengths: tuple[set[int], set[int]] = (set(), set())
    for key in networks:
        lengths[len(key) > 5].add(key[-1])
    return tuple(sorted(lengths[0], reverse=True)), tuple(sorted(lengths[1], reverse=True))


class IndicatorSet:
    """A set of indicators, ready to match. Make one with :meth:`build`, or over tables.

    Args:
        tables: where to look.
        cached: addresses and names held with their answers, each.
    """

    __slots__ = (
        "_addresses",
        "_below",
        "_by_address",
        "_by_name",
        "_cached",
        "_certificate_names",
        "_certificates",
        "_domains",
        "_files",
        "_has_files",
        "_has_urls",
        "_ja3",
        "_ja4",
        "_labels",
        "_masks4",
        "_masks6",
        "_networks",
        "_urls",
        "size",
    )

    def __init__(self, tables: Tables, *, cached: int = CACHED) -> None:
        self.size = tables.size
        self._addresses, self._networks = tables.addresses, tables.networks
        self._masks4 = tuple((32 - length, bytes([length])) for length in tables.lengths4)
        self._masks6 = tuple((128 - length, bytes([length])) for length in tables.lengths6)
        self._domains = tables.domains
        # No name needs to be tried by more labels than the longest indicator has.
        self._labels = tables.labels
        self._ja3, self._ja4 = tables.ja3, tables.ja4
        self._certificates, self._certificate_names = tables.certificates, tables.certificate_names
        self._urls, self._has_urls = tables.urls, tables.has_urls
        self._files, self._has_files = tables.files, tables.has_files
        self._below: dict[str, list[Listed]] = {}
        for value, indicator in self._certificate_names.items():
            first, _, rest = value.partition(".")
            if rest and first != "*":
                self._below.setdefault(rest, []).append(indicator)
        self._cached = cached
        self._by_address: dict[str, Found] = {}
        self._by_name: dict[str, Found] = {}

    @classmethod
    def build(cls, indicators: Iterable[Listed], *, now: datetime | None = None) -> IndicatorSet:
        """A set of normal, checked indicators; of one value the last counts.

        Args:
            indicators: those of the store or of a file.
            now: what expired more than :data:`GRACE` before it is left out; the clock's time if None.
        """
        limit = (datetime.now(UTC) if now is None else now) - GRACE
        return cls(in_memory(each for each in indicators if each.valid_until is None or each.valid_until > limit))

    def match(self, event: Event) -> list[Hit]:
        """The indicators that an event holds, in order of its fields; each once, with the first field."""
        if event.event_dataset in _UNMATCHED:
            return []
        return self.look(event)

    def look(self, event: Event) -> list[Hit]:  # noqa: C901, PLR0912 - unrolled: a loop over fields costs 2 µs
        """Like :meth:`match`, whatever the event is about: for a signal that an agent made of its own match."""
        found: list[tuple[Found, str, str]] = []
        by_address = self._by_address
        if (value := event.source_ip) is not None:
            hits = by_address.get(value)
            if hits := self._of_address(value) if hits is None else hits:
                found.append((hits, "source.ip", value))
        if (value := event.destination_ip) is not None:
            hits = by_address.get(value)
            if hits := self._of_address(value) if hits is None else hits:
                found.append((hits, "destination.ip", value))
        by_name = self._by_name
        if (value := event.dns_question_name) is not None:
            hits = by_name.get(value)
            if hits := self._of_name(value) if hits is None else hits:
                found.append((hits, "dns.question.name", value))
        if (value := event.tls_client_server_name) is not None:
            hits = by_name.get(value)
            if hits := self._of_name(value) if hits is None else hits:
                found.append((hits, "tls.client.server_name", value))
        if (value := event.url_domain) is not None:
            hits = by_name.get(value)
            if hits := self._of_name(value) if hits is None else hits:
                found.append((hits, "url.domain", value))
        if (values := event.dns_resolved_ip) is not None:
            for value in values:
                hits = by_address.get(value)
                if hits := self._of_address(value) if hits is None else hits:
                    found.append((hits, "dns.resolved_ip", value))
        if (value := event.tls_client_ja3) is not None and (one := self._ja3.get(value)) is not None:
            found.append(((one,), "tls.client.ja3", value))
        if (value := event.nsm_tls_ja4) is not None and (one := self._ja4.get(value)) is not None:
            found.append(((one,), "nsm.tls.ja4", value))
        if (value := event.tls_server_ja3s) is not None and (one := self._ja3.get(value)) is not None:
            found.append(((one,), "tls.server.ja3s", value))
        if (value := event.tls_server_hash_sha1) is not None:
            self._certificate(value, "tls.server.hash.sha1", found)
        if (value := event.tls_server_hash_sha256) is not None:
            self._certificate(value, "tls.server.hash.sha256", found)
        if self._certificate_names:
            self._names_of_certificate(event, found)
        if self._has_urls and event.url_path is not None and event.url_domain is not None:
            self._of_url(event, found)
        if self._has_files:
            self._of_file(event, found)
        return _hits(found, event.timestamp) if found else []

    def _of_address(self, text: str) -> Found:
        """Hits of an address that is not in the cache; text that is no address hits nothing."""
        found: list[Listed] = []
        try:
            address = packed(text)
        except (OSError, ValueError):
            address = b""
        if address:
            if (exact := self._addresses.get(address)) is not None:
                found.append(exact)
            size = len(address)
            masks = self._masks4 if size == 4 else self._masks6
            number = int.from_bytes(address, "big") if masks else 0
            for shift, length in masks:  # the narrowest network first, then those around it
                key = (number >> shift << shift).to_bytes(size, "big") + length
                if (around := self._networks.get(key)) is not None:
                    found.append(around)
        return self._remember(self._by_address, text, tuple(found))

    def _of_name(self, name: str) -> Found:
        """Hits of a name that is not in the cache: the name itself, and each domain above it."""
        domains = self._domains
        found: list[Listed] = []
        if self._labels:
            suffix = name.lower().rstrip(".")
            if suffix.count(".") >= self._labels:
                suffix = suffix.split(".", suffix.count(".") - self._labels + 1)[-1]
            while suffix:
                if (indicator := domains.get(suffix)) is not None:
                    found.append(indicator)
                suffix = suffix.partition(".")[2]
        hits = tuple(found)
        if ":" in name or name[-1:].isdigit():  # a host may be given as an address
            hits += self._of_address(name.strip("[]"))
        return self._remember(self._by_name, name, hits)

    def _of_url(self, event: Event, found: list[tuple[Found, str, str]]) -> None:
        """A proxy's port says nothing of the URL's, so where the request names none the host is tried without too."""
        host, path = event.url_domain or "", event.url_path or ""
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        ports = [event.url_port] if event.url_port is not None else [None, event.destination_port]
        hosts = dict.fromkeys(host if port in (None, *_PLAIN_PORTS) else f"{host}:{port}" for port in ports)
        paths = (path,) if event.url_query is None else (path, f"{path}?{event.url_query}")
        for where in hosts:
            urls = [f"{where}{what}" for what in paths]
            found.extend(((one,), "url.path", url) for url in urls if (one := self._urls.get(url)) is not None)

    def _of_file(self, event: Event, found: list[tuple[Found, str, str]]) -> None:
        for field, value in (
            ("file.hash.md5", event.file_hash_md5),
            ("file.hash.sha1", event.file_hash_sha1),
            ("file.hash.sha256", event.file_hash_sha256),
        ):
            if value is not None and (one := self._files.get(value.lower())) is not None:
                found.append(((one,), field, value))

    def _certificate(self, digest: str, field: str, found: list[tuple[Found, str, str]]) -> None:
        indicator = self._certificates.get(digest) or self._certificates.get(digest.replace(":", "").lower())
        if indicator is not None:
            found.append(((indicator,), field, digest))

    def _names_of_certificate(self, event: Event, found: list[tuple[Found, str, str]]) -> None:
        names = [("tls.server.x509.alternative_names", name) for name in event.tls_server_x509_alternative_names or ()]
        if event.tls_server_subject is not None:
            names += [("tls.server.subject", name) for name in common_names(event.tls_server_subject)]
        found.extend((hits, field, name) for field, name in names if (hits := self._of_certificate_name(name)))

    def _of_certificate_name(self, name: str) -> Found:
        names = self._certificate_names
        name = name.lower().rstrip(".")
        first, _, rest = name.partition(".")
        candidates: list[Listed] = [names[name]] if name in names else []
        if rest and first != "*" and (wildcard := names.get(f"*.{rest}")) is not None:
            candidates.append(wildcard)
        if rest and first == "*":
            # A certificate for *.example.nl is also one for www.example.nl, if that is what is sought.
            candidates.extend(self._below.get(rest, ()))
        return tuple(candidates)

    def _remember(self, cache: dict[str, Found], key: str, found: Found) -> Found:
        # Emptying it is the cheapest bound: the names and addresses in use are back within one look-up each.
        if len(cache) >= self._cached:
            cache.clear()
        cache[key] = found or _NOTHING
        return cache[key]


def packed(address: str) -> bytes:
    """The 4 or 16 bytes of an address; an IPv4 address mapped into IPv6 gives 4. Raises OSError or ValueError."""
    if ":" not in address:
        return socket.inet_pton(socket.AF_INET, address)
    raw = socket.inet_pton(socket.AF_INET6, address)
    return raw[12:] if raw.startswith(_MAPPED) else raw


def common_names(subject: str) -> list[str]:
    """The common names in the text of a distinguished name, as RFC 4514 or OpenSSL (``/C=NL/CN=…``) write it."""
    return [_ESCAPE.sub(r"\1", name.strip().strip('"')) for name in _COMMON_NAME.findall(subject)]


def _hits(found: list[tuple[Found, str, str]], at: datetime) -> list[Hit]:
    hits: dict[str, Hit] = {}
    for indicators, field, value in found:
        for indicator in indicators:
            if indicator.valid_until is None or at < indicator.valid_until:
                hits.setdefault(indicator.id, Hit(indicator, field, value))
    return list(hits.values())

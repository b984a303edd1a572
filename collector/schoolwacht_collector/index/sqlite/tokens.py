"""The index of values: which rows may hold an address, a name or a hash, for searches that ask for one exactly.

A value becomes a number of 32 bits (its CRC; two values may share one, so a search still looks at the rows it finds).
A row's numbers are kept with the *slot* of the row, its place of arrival divided by :data:`SLOT_ROWS`: writing then
touches the few pages of the newest slot, however many addresses a day has seen, where an index by address alone would
write a page for nearly every row. A search asks each slot of a file in turn, some microseconds each.
"""

from __future__ import annotations

from zlib import crc32

from schoolwacht.derive import COPIES
from schoolwacht.event import Event
from schoolwacht_collector.index import documents
from schoolwacht_collector.query import addresses
from schoolwacht_collector.query.ast import And, Equals, Node, OneOf, Or
from schoolwacht_collector.query.fields import Type, field

SLOT_BITS = 13
SLOT_ROWS = 1 << SLOT_BITS
#: More values than this in one search are not looked up.
VALUES_MAX = 200

#: Fields whose every value is in the index.
ADDRESSES = ("source.ip", "destination.ip", "related.ip")
TEXTS = (
    "related.hosts",
    "related.hash",
    "dns.question.name",
    "tls.client.server_name",
    "url.domain",
    "signal.entity",
    "threat.indicator.name",
    *COPIES["related.hash"],
)
_INDEXED = frozenset((*ADDRESSES, *TEXTS))


def tokens(event: Event) -> set[int]:
    """The numbers of an event's values."""
    texts = [
        event.dns_question_name,
        event.tls_client_server_name,
        event.url_domain,
        event.signal_entity,
        event.threat_indicator_name,
        event.file_hash_md5,
        event.file_hash_sha1,
        event.file_hash_sha256,
        event.tls_server_hash_sha1,
        event.tls_server_hash_sha256,
        event.tls_client_ja3,
        event.tls_server_ja3s,
        event.nsm_tls_ja4,
    ]
    texts += event.related_hosts or ()
    texts += event.related_hash or ()
    found = {_text(text) for text in texts if text is not None}
    ips = [event.source_ip, event.destination_ip]
    ips += event.related_ip or ()
    found.update(_address(ip) for ip in ips if ip)
    return found


def wanted(node: Node) -> frozenset[int] | None:
    """Numbers of which every row that matches has at least one; None if the query asks for no value exactly."""
    match node:
        case Equals(name, value) if name in _INDEXED:
            return frozenset({_number(name, str(value))})
        case OneOf(name, values) if name in _INDEXED and len(values) <= VALUES_MAX:
            return frozenset(_number(name, str(value)) for value in values)
        case And(nodes):
            return min((found for inner in nodes if (found := wanted(inner)) is not None), key=len, default=None)
        case Or(nodes):
            every = [wanted(inner) for inner in nodes]
            joined = frozenset[int]().union(*(one for one in every if one is not None))
            return None if None in every or len(joined) > VALUES_MAX else joined
        case _:
            return None


def _number(name: str, value: str) -> int:
    return _address(value) if field(name).type is Type.IP else _text(value)


def _text(text: str) -> int:
    return crc32(documents.without_zero(text).encode())


def _address(text: str) -> int:
    return crc32(addresses.packed(text) or text.encode())

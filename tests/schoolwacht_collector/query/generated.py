"""Events and queries by chance, drawn from few values so that queries find something, and from awkward ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TypeVar

from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.query.ast import (
    All,
    And,
    Between,
    Contains,
    Equals,
    Exists,
    Matches,
    Node,
    Not,
    OneOf,
    Or,
    Value,
    Within,
)

BOARDS = ("41", "42", "4", "")

# Case, wildcards, quotes, brackets of GLOB, per cent of LIKE, composed letters, letters that fold only in Unicode,
# a text that looks like JSON inside JSON, and one beyond the Basic Multilingual Plane.
_TEXTS = (
    *(
        "",
        "a",
        "A",
        "ab",
        "aB",
        "b",
        "é",
        "É",
        "e\u0301",
        "ſ",
        "K",
        "k",
        "\u212a",
        "ı",
        "I",
        "i",
        "ß",
        "漢字",
        "\U0001f600",
    ),
    *(
        "a*b",
        "a?b",
        "a\\b",
        "a\\",
        "[a]",
        "[",
        "%",
        "a_b",
        '"',
        'a"b',
        '{"message":"a"}',
        "null",
        "true",
        "1",
        "01",
        "-1",
    ),
    *("a\nb", "a\tb", " a", "a ", "\x01", "\x7f", "a\0b", "x" * 200, "evil.example", "EVIL.example", "2026-03-01"),
)
_FRAGMENTS = ("a", "A", "b", "é", "É", "k", "s", "?", "*", "\\", "[", '"', "evil", ".EXAMPLE", "\n", "漢", "x" * 60, "")
_ADDRESSES = (
    *("10.0.0.1", "10.0.0.2", "10.0.1.1", "0.0.0.0", "255.255.255.255", "::ffff:10.0.0.1", "::ffff:a00:2"),
    *("::", "::1", "2001:db8::1", "2001:DB8:0:0::1", "2001:db8::ffff", "fe80::1", "ff02::fb", "64:ff9b::a00:1"),
)
_NETWORKS = (
    *("10.0.0.0/24", "10.0.0.0/31", "10.0.0.1/32", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "2001:db8::/32", "::/8"),
    *("::/96", "fe80::/10", "2001:db8::1/128"),
)
_NUMBERS = (0, 1, 2, 53, 443, 65535)
_COUNTS = (0, 1, 1000, (1 << 53) + 1, (1 << 63) - 2, (1 << 63) - 1)
_DOUBLES = (-1.5, 0.0, 0.1, 0.5, 1.0, 1e300)
_DETAIL_KEYS = ("ttl", "a.b", "b", 'q"q', "é")
_MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
_MOMENTS = tuple(
    _MIDNIGHT + timedelta(microseconds=micros)
    for micros in (-86_400_000_000, -1_000_000, -1, 0, 1, 999, 1000, 1001, 999_999, 1_000_000, 86_400_000_000)
)
_CERTIFICATE_DAYS = tuple(datetime(year, 1, 1, 0, 0, 59, tzinfo=UTC) for year in (1950, 1969, 2026, 2049, 9999))

_texts = st.sampled_from(_TEXTS)
_KEYWORDS = ("message", "rule.name", "signal.key", "tags", "related.hosts", "event.dataset", "event.id")
_IPS = ("source.ip", "client.ip", "related.ip")
_LONGS = ("source.port", "source.bytes")
_DATES = ("@timestamp", "event.ingested", "event.start", "tls.server.not_after")
_DETAILS = ("nsm.detail", *(f"nsm.detail.{key}" for key in _DETAIL_KEYS))
#: A field that no event has, and one of each type that some have.
_ANY = (*_KEYWORDS, *_IPS, *_LONGS, *_DATES, *_DETAILS, "health.value", "tls.resumed", "alert.state", "organization.id")


def _maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.one_of(st.none(), values)


def _some(values: tuple[str, ...]) -> st.SearchStrategy[object]:
    return _maybe(st.lists(st.sampled_from(values), max_size=3))


_EVENTS = st.builds(
    Event,
    timestamp=st.sampled_from(_MOMENTS),
    event_dataset=st.sampled_from([Dataset.DNS, Dataset.SIGNAL]),
    event_ingested=_maybe(st.sampled_from(_MOMENTS)),
    event_start=_maybe(st.sampled_from(_MOMENTS)),
    organization_id=_maybe(st.sampled_from(BOARDS)),
    message=_maybe(_texts),
    rule_name=_maybe(_texts),
    signal_key=_maybe(st.sampled_from(_TEXTS[:8])),
    tags=_some(_TEXTS),
    url_domain=_maybe(_texts),
    tls_client_server_name=_maybe(_texts),
    source_ip=_maybe(st.sampled_from(_ADDRESSES)),
    destination_ip=_maybe(st.sampled_from(_ADDRESSES)),
    dns_resolved_ip=_some(_ADDRESSES),
    source_port=_maybe(st.sampled_from(_NUMBERS)),
    source_bytes=_maybe(st.sampled_from(_COUNTS)),
    health_value=_maybe(st.sampled_from(_DOUBLES)),
    tls_resumed=_maybe(st.booleans()),
    tls_server_not_after=_maybe(st.sampled_from(_CERTIFICATE_DAYS)),
    nsm_detail=_maybe(st.dictionaries(st.sampled_from(_DETAIL_KEYS), _texts, max_size=3)),
)
#: Some events, without ids and what follows from them (:func:`schoolwacht.derive.derive`).
events = st.lists(_EVENTS, min_size=1, max_size=24)

_VALUES: dict[str, st.SearchStrategy[object]] = {
    **dict.fromkeys(
        (*_KEYWORDS, *_DETAILS, "alert.state", "organization.id"), _texts.filter(lambda text: "\0" not in text)
    ),
    **dict.fromkeys(_IPS, st.sampled_from(_ADDRESSES)),
    **dict.fromkeys(_LONGS, st.sampled_from((*_NUMBERS, *_COUNTS, -1))),
    **dict.fromkeys(_DATES, st.sampled_from(_MOMENTS)),
    "tls.server.not_after": st.sampled_from(_CERTIFICATE_DAYS),
    "health.value": st.sampled_from(_DOUBLES),
    "tls.resumed": st.booleans(),
}
_RANGED = (*_KEYWORDS, *_IPS, *_LONGS, *_DATES, "health.value", "organization.id")


@st.composite
def _equals(draw: st.DrawFn) -> Node:
    name = draw(st.sampled_from(_ANY))
    return Equals(name, draw(_VALUES[name]))  # type: ignore[arg-type]  # drawn by the field's type


@st.composite
def _one_of(draw: st.DrawFn) -> Node:
    name = draw(st.sampled_from(_ANY))
    return OneOf(name, tuple(draw(st.lists(_VALUES[name], max_size=3))))  # type: ignore[arg-type]  # as above


@st.composite
def _between(draw: st.DrawFn) -> Node:
    name = draw(st.sampled_from(_RANGED))
    low, high = draw(_maybe(_VALUES[name])), draw(_maybe(_VALUES[name]))
    return Between(name, low, high, draw(st.booleans()), draw(st.booleans()))  # type: ignore[arg-type]  # as above


_patterns = st.lists(
    st.sampled_from([*_FRAGMENTS[:10], "*", "*", "?", "\\*", "\\?", "\\\\", "\\a"]), min_size=1, max_size=5
).map("".join)
_prefixes = st.sampled_from(["", "a", "6", "\\*", "[", "é"]).map(lambda text: f"{text}*")

_LEAVES = st.one_of(
    st.just(All()),
    _equals(),
    _one_of(),
    _between(),
    st.builds(Exists, st.sampled_from(_ANY)),
    st.builds(Matches, st.sampled_from(_KEYWORDS), _patterns),
    st.builds(Matches, st.sampled_from(_DETAILS), _prefixes),
    st.builds(
        Contains,
        st.lists(st.sampled_from(_KEYWORDS[:5]), min_size=1, max_size=3).map(tuple),
        st.sampled_from(_FRAGMENTS),
    ),
    st.builds(Within, st.sampled_from(_IPS), st.sampled_from(_NETWORKS).map(ip_network)),
)
#: A query over the generated fields.
queries: st.SearchStrategy[Node] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda nodes: And(tuple(nodes))),
        st.lists(inner, max_size=3).map(lambda nodes: Or(tuple(nodes))),
        inner.map(Not),
    ),
    max_leaves=6,
)
#: One or more boards, none, or the whole sector.
boards = st.one_of(st.none(), st.frozensets(st.sampled_from(BOARDS)))


def corpus() -> list[Event]:
    """A fixed set in which every value and board occurs, without ids and what follows from them."""
    return [
        Event(
            timestamp=_turn(_MOMENTS, place),
            event_dataset=Dataset.DNS,
            event_ingested=_turn((*_MOMENTS, None), place),
            event_start=_turn((*_MOMENTS, None), place + 1),
            organization_id=_turn((*BOARDS, None), place),
            message=_turn(_TEXTS, place),
            tags=[_turn(_TEXTS, place + 1), _turn(_TEXTS, 3 * place)] if place % 9 else [],
            url_domain=_turn((*_TEXTS, None), place),
            source_ip=_turn((*_ADDRESSES, None), place),
            dns_resolved_ip=[_turn(_ADDRESSES, place), _turn(_ADDRESSES, 2 * place)],
            source_port=_turn((*_NUMBERS, None), place),
            source_bytes=_turn((*_COUNTS, None), place),
            health_value=_turn((*_DOUBLES, None), place),
            tls_resumed=_turn((True, False, None), place),
            tls_server_not_after=_turn((*_CERTIFICATE_DAYS, None), place),
            nsm_detail=_turn(({}, None, {_turn(_DETAIL_KEYS, place): _turn(_TEXTS, place)}), place),
        )
        for place in range(2 * len(_TEXTS))
    ]


def conditions() -> list[Node]:
    """Every value of the corpus in every condition that its field takes."""
    texts = [text for text in (*_TEXTS, *_FRAGMENTS) if "\0" not in text]
    values: dict[str, list[Value]] = {
        "message": [*texts],
        "tags": [*texts[::2]],
        "nsm.detail.ttl": [*texts[::2]],
        "nsm.detail": [*texts[::5]],
        "source.ip": [*_ADDRESSES],
        "client.ip": [*_ADDRESSES],
        "related.ip": [*_ADDRESSES],
        "related.hosts": [*texts[::2]],
        "source.port": [*_NUMBERS, -1],
        "source.bytes": [*_COUNTS],
        "health.value": [*_DOUBLES],
        "tls.resumed": [True, False],
        "event.start": [*_MOMENTS],
        "@timestamp": [*_MOMENTS],
        "tls.server.not_after": [*_CERTIFICATE_DAYS],
    }
    found: list[Node] = [Exists(name) for name in _ANY]
    for name, these in values.items():
        found += [Equals(name, value) for value in these]
        found += [OneOf(name, (these[0], these[-1]))]
        if name in _RANGED:
            for value in these[:: 5 if name in _KEYWORDS else 1]:
                found += [
                    Between(name, value, None),
                    Between(name, value, None, include_low=False),
                    Between(name, None, value),
                    Between(name, None, value, include_high=False),
                ]
    for text in texts:
        escaped = "".join(f"\\{one}" if one in "*?\\" else one for one in text)
        found.append(Contains(("tags", "message"), text))
        found += [Matches("message", pattern) for pattern in (escaped, f"*{escaped}", f"?{escaped}*")]
    found += [Matches(name, f"{text}*") for name in ("nsm.detail", "nsm.detail.ttl") for text in ("", "a", "漢")]
    found += [Within(name, ip_network(network)) for name in ("source.ip", "related.ip") for network in _NETWORKS]
    return found + [Not(one) for one in found[::7]]


_T = TypeVar("_T")


def _turn(values: Sequence[_T], place: int) -> _T:
    return values[place % len(values)]

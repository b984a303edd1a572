from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.event import Event
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.index.sqlite.reader import CANDIDATES_MAX
from schoolwacht_collector.index.sqlite.tokens import ADDRESSES, SLOT_ROWS, TEXTS, VALUES_MAX, tokens, wanted
from schoolwacht_collector.query.ast import And, Equals, Matches, Node, Not, OneOf, Or
from schoolwacht_collector.query.fields import field
from schoolwacht_collector.query.parse import parse
from tests.schoolwacht_collector.index.stores import NOON, event, found, ids, sqlite

_PYTHON_NAMES = {item.encode_name: item.name for item in msgspec.structs.fields(Event)}

ADDRESS = Equals("source.ip", "10.0.0.1")
HOST = Equals("dns.question.name", "evil.example")


def with_value(name: str, value: str) -> Event:
    held: Any = [value] if field(name).many else value
    return event(1, "b", **{_PYTHON_NAMES[name]: held})


@given(st.sampled_from(TEXTS), st.text(max_size=20))
def test_every_text_that_can_be_looked_up_is_in_the_index(name: str, text: str) -> None:
    found = wanted(Equals(name, text))

    assert found is not None
    assert "\0" in text or found <= tokens(with_value(name, text))


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("spelling", ["2001:db8::1", "2001:DB8:0::1", "10.0.0.1", "::ffff:10.0.0.1"])
def test_every_address_is_in_the_index_by_its_meaning(name: str, spelling: str) -> None:
    asked = "10.0.0.1" if "10" in spelling else "2001:db8::1"

    assert wanted(Equals(name, asked)) == wanted(Equals(name, spelling))
    assert (wanted(Equals(name, asked)) or set()) <= tokens(with_value(name, spelling))


def test_a_zero_character_is_looked_up_as_it_is_kept() -> None:
    assert (wanted(Equals("url.domain", "a\\x00b")) or set()) <= tokens(with_value("url.domain", "a\0b"))


@pytest.mark.parametrize(
    ("node", "number"),
    [
        (ADDRESS, 1),
        (And((Matches("message", "a*"), ADDRESS)), 1),
        (And((OneOf("related.hosts", ("a", "b", "c")), ADDRESS)), 1),
        (Or((ADDRESS, HOST)), 2),
        (OneOf("related.ip", ("10.0.0.1", "::1")), 2),
        (And(()), None),
        (Not(ADDRESS), None),
        (Or((ADDRESS, Equals("message", "x"))), None),
        (Or((ADDRESS, Not(HOST))), None),
        (Equals("message", "x"), None),
        (Equals("client.ip", "10.0.0.1"), None),
        (OneOf("related.hosts", tuple(map(str, range(VALUES_MAX + 1)))), None),
    ],
)
def test_a_query_is_looked_up_only_if_every_match_has_one_of_its_values(node: Node, number: int | None) -> None:
    found = wanted(node)

    assert (None if found is None else len(found)) == number


def test_a_bare_address_is_looked_up() -> None:
    assert wanted(parse("10.0.0.1")) is not None


async def test_a_value_is_found_in_every_slot_however_frequent_it_is(tmp_path: Path) -> None:
    number = CANDIDATES_MAX + 100
    assert number > 2 * SLOT_ROWS
    places = (0, SLOT_ROWS - 1, SLOT_ROWS, 2 * SLOT_ROWS, number - 1)
    async with sqlite(tmp_path) as store:
        for start in range(0, number, 2000):
            await store.create(
                [
                    event(place, "b", source_ip="10.0.0.53", url_domain="rare.example" if place in places else None)
                    for place in range(start, min(number, start + 2000))
                ]
            )

        rare = await found(store, Equals("url.domain", "rare.example"))
        frequent = await store.search(Search(Kind.EVENT, Equals("source.ip", "10.0.0.53"), SECTOR, limit=3))
        tally = await store.tally(Search(Kind.EVENT, Equals("url.domain", "rare.example"), SECTOR), "organization.id")

    assert ids(rare) == [f"b-{place:05}" for place in reversed(places)]
    assert ids(frequent.rows) == [f"b-{place:05}" for place in range(number - 1, number - 4, -1)]
    assert tally["b"].number == len(places)
    assert tally["b"].first == NOON

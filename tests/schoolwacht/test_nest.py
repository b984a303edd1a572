from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.nest import nest

_names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


def test_dotted_names_become_objects() -> None:
    row = {"@timestamp": 1, "source.ip": "10.0.0.1", "source.port": 53, "dns.question.name": "a.nl"}
    assert nest(row) == {
        "@timestamp": 1,
        "source": {"ip": "10.0.0.1", "port": 53},
        "dns": {"question": {"name": "a.nl"}},
    }


def test_an_object_as_value_is_not_looked_into() -> None:
    detail = {"a.b": "c"}
    assert nest({"nsm.detail": detail, "nsm.flow.state": "closed"}) == {
        "nsm": {"detail": {"a.b": "c"}, "flow": {"state": "closed"}}
    }
    assert detail == {"a.b": "c"}


def test_a_name_that_is_both_value_and_object_overwrites_nothing() -> None:
    assert nest({"a": 1, "a.b": 2}) == {"a": 1, "a.b": 2}
    assert nest({"a.b.c": 2, "a.b": {"x": 1}}) == {"a": {"b": {"x": 1}}, "a.b.c": 2}


@given(st.dictionaries(_names, st.integers()))
def test_no_value_is_lost_whatever_the_names_and_their_order(row: dict[str, int]) -> None:
    def leaves(nested: dict[str, Any]) -> list[int]:
        return [leaf for value in nested.values() for leaf in (leaves(value) if isinstance(value, dict) else [value])]

    assert sorted(leaves(nest(row))) == sorted(row.values())
    assert nest(dict(reversed(row.items()))) == nest(row)

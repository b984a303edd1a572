from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.identity import identify

_parts = st.lists(st.text(max_size=4), max_size=4)


@given(_parts, _parts)
def test_only_the_same_parts_give_the_same_id(one: list[str], other: list[str]) -> None:
    assert (identify(*one) == identify(*other)) == (one == other)


def test_an_absent_part_is_an_empty_one() -> None:
    assert identify("a", None) == identify("a", "")


def test_an_id_stays_what_it_was_in_earlier_versions() -> None:
    assert identify("D24", "41000", "00AB00") == "691c52ce5f4282464b4805e2c026f50f"

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.behave.spelling import distance, skeleton

LETTERS = st.text(alphabet="abcdel", max_size=7)


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [
        ("digid", "digid", 0),
        ("digd", "digid", 1),
        ("dgiid", "digid", 1),
        ("magsiter", "magister", 1),
        ("somtdya", "somtoday", 2),
    ],
)
def test_inserting_dropping_replacing_and_swapping_cost_one_edit(one: str, other: str, edits: int) -> None:
    assert distance(one, other, 3) == edits


@given(LETTERS, LETTERS)
def test_the_distance_is_the_same_both_ways_and_zero_only_for_the_same(one: str, other: str) -> None:
    edits = distance(one, other, 7)
    assert edits == distance(other, one, 7)
    assert (edits == 0) == (one == other)
    assert abs(len(one) - len(other)) <= edits <= max(len(one), len(other))


@given(LETTERS, LETTERS, st.integers(0, 3))
def test_a_bound_changes_nothing_below_it(one: str, other: str, most: int) -> None:
    assert distance(one, other, most) == min(distance(one, other, 7), most + 1)


def test_what_looks_alike_has_one_skeleton() -> None:
    assert skeleton("rnagister") == skeleton("mag1ster") == skeleton("magister")
    assert skeleton("goog1e") == skeleton("gооgle")
    assert skeleton("clropbox") == skeleton("dropbox")


@given(st.text(max_size=20))
def test_any_text_has_a_skeleton(text: str) -> None:
    assert skeleton(text) == skeleton(text.translate({}))

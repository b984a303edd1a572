from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.tlp import Tlp, allows, read, strictest


@pytest.mark.parametrize(
    ("text", "label"),
    [("red", Tlp.RED), ("TLP:AMBER+STRICT", Tlp.AMBER_STRICT), (" tlp:white ", Tlp.CLEAR), ("GREEN", Tlp.GREEN)],
)
def test_a_label_is_read_as_people_write_it(text: str, label: Tlp) -> None:
    assert read(text) is label


def test_a_word_that_is_no_label_is_refused() -> None:
    with pytest.raises(ValueError, match="PURPLE"):
        read("purple")


def test_an_unknown_label_is_kept_as_close_as_red() -> None:
    assert not allows(Tlp.AMBER_STRICT, "purple")
    assert strictest("purple", "GREEN") == "RED"


def test_nothing_has_no_label() -> None:
    assert strictest(None, None) is None
    assert allows(Tlp.CLEAR, None)


@given(st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_a_target_sees_what_is_no_narrower_than_its_limit(limit: Tlp, label: Tlp) -> None:
    assert allows(limit, label) == (list(Tlp).index(label) <= list(Tlp).index(limit))
    assert strictest(limit, label) in {limit.value, label.value}

"""Text from the network is harmless to look at."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_console.inert import inert


@given(st.text(st.characters()))
def test_nothing_that_acts_or_hides_is_left(text: str) -> None:
    categories = {unicodedata.category(character) for character in inert(text)}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=0x24F)))
def test_plain_letters_and_digits_stay_as_they_are(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("exe.\u202egpj", "exe.\\u202egpj"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("two\r\nlines", "two\\r\\nlines"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("lone \ud800", "lone \\ud800"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("filler \u3164", "filler \\u3164"),
    ],
)
def test_what_acts_on_a_terminal_or_hides_is_shown_as_its_escape(hostile: str, shown: str) -> None:
    assert inert(hostile) == shown


def test_letters_of_other_scripts_stay_readable() -> None:
    assert inert("Škola Ελλάδα школа مدرسة 学校 café 🏫") == "Škola Ελλάδα школа مدرسة 学校 café 🏫"

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_collector.query.evaluate import matches, split_pattern


@given(st.text("ab", max_size=12), st.text("ab*?", max_size=8))
def test_a_pattern_matches_as_the_regular_expression_does(text: str, pattern: str) -> None:
    expression = pattern.replace("*", ".*").replace("?", ".")

    assert matches(text, split_pattern(pattern)) == bool(re.fullmatch(expression, text, re.DOTALL))


@given(st.text(max_size=20))
def test_an_escaped_text_matches_itself_and_nothing_longer(text: str) -> None:
    pattern = split_pattern("".join(f"\\{character}" for character in text))

    assert matches(text, pattern)
    assert not matches(f"{text}x", pattern)


def test_many_stars_over_a_long_text_take_few_steps() -> None:
    """Backtracking would take longer than the age of the universe."""
    assert not matches("a" * 2000, split_pattern("*a" * 100 + "b"))

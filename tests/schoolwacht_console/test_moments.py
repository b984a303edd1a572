"""Times as people and programs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.errors import QueryError
from schoolwacht_console.moments import EVER, Window, ago, iso, moment, span, window

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def test_last_reaches_back_from_now_and_has_no_end() -> None:
    assert window(None, None, "24h", now=NOW) == Window(NOW - timedelta(days=1), None)


def test_nothing_given_is_all_of_time() -> None:
    assert window("", None, "", now=NOW) == EVER


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment("2026-09-01T08:30", field="since") == datetime(2026, 9, 1, 8, 30, tzinfo=UTC)


def test_a_time_with_a_zone_is_brought_to_utc() -> None:
    assert moment("2026-09-01T08:30+02:00", field="since") == datetime(2026, 9, 1, 6, 30, tzinfo=UTC)


def test_last_beside_since_is_refused() -> None:
    with pytest.raises(QueryError, match="one or the other"):
        window("2026-09-01", None, "24h", now=NOW)


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(QueryError, match="before until"):
        window("2026-09-02", "2026-09-01", None, now=NOW)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0h", "1y", "24 hours", "1.5h", "9999999h", "²h"])
def test_what_is_no_length_of_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(QueryError, match="24h"):
        span(text)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-09-01T25:00", "1", "0001-01-01T00:00+14:00"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(QueryError, match="2026-09-01T08:30"):
        moment(text, field="since")


def test_a_span_before_the_year_one_is_refused() -> None:
    with pytest.raises(QueryError, match="year 1"):
        window(None, None, "999999w", now=NOW)


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_text_reads_back_as_the_same_moment(when: datetime) -> None:
    assert iso(when).endswith("Z")
    assert moment(iso(when), field="since") == when


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (42, "42 s ago"), (600, "10 min ago"), (7200, "2 h ago"), (864000, "10 days ago")],
)
def test_ago_speaks_plainly(seconds: int, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), now=NOW) == words

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht.wire import VERSION, Reply, Verdict, encode_reply
from schoolwacht_agent.answer import WAIT_MAX, Answer, Meaning, read_answer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(status: int, body: bytes = b"", retry_after: str | None = None, items: int = 1) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return read_answer(status, headers, body, items=items, now=NOW)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.UNREADABLE),
        (401, Meaning.REFUSED),
        (403, Meaning.REFUSED),
        (404, Meaning.FOREIGN),
        (408, Meaning.BUSY),
        (413, Meaning.UNREADABLE),
        (415, Meaning.FOREIGN),
        (429, Meaning.SLOWER),
        (500, Meaning.BUSY),
        (503, Meaning.BUSY),
        (204, Meaning.FOREIGN),
        (301, Meaning.FOREIGN),
    ],
)
def test_every_status_has_one_meaning(status: int, meaning: Meaning) -> None:
    assert read(status).meaning is meaning


def test_verdicts_come_with_the_wait_that_the_reply_asks_for() -> None:
    reply = Reply(VERSION, [Verdict.RETRY], retry_after=3.0)
    answer = read(200, encode_reply(reply))
    assert (answer.meaning, answer.reply, answer.wait) == (Meaning.VERDICTS, reply, 3.0)


def test_a_reply_for_another_number_of_events_settles_nothing() -> None:
    answer = read(200, encode_reply(Reply(VERSION, [Verdict.DELIVERED])), items=2)
    assert (answer.meaning, answer.reply) == (Meaning.FOREIGN, None)


def test_a_login_page_settles_nothing() -> None:
    assert read(200, b"<html>please log in</html>").meaning is Meaning.FOREIGN


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("1e9", WAIT_MAX),
        ("-1", None),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Wed, 31 Dec 2025 00:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(text: str, wait: float | None) -> None:
    assert read(503, retry_after=text).wait == wait


def test_the_problem_is_told_on_one_safe_line() -> None:
    assert read(400, b'{"detail": "no \\u001b[31mbatch\\n"}').said == "answers 400: no  [31mbatch"
    assert read(502, b"Bad gateway\nmore").said == "answers 502: Bad gateway"


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=20))
def test_whatever_is_answered_has_a_meaning(status: int, body: bytes, retry_after: str) -> None:
    answer = read(status, body, retry_after)
    assert answer.meaning in Meaning
    assert answer.wait is None or 0 <= answer.wait <= WAIT_MAX

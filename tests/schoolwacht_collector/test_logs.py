from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from schoolwacht.errors import StoreError
from schoolwacht_collector import logs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("schoolwacht", "schoolwacht_collector", "schoolwacht_console"):
        logging.getLogger(name).setLevel(logging.NOTSET)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _fail(error: Exception) -> None:
    logger = logging.getLogger("schoolwacht_collector.test")
    try:
        raise error
    except type(error):
        logger.exception("a job failed")


def test_records_are_json_lines_where_no_terminal_is() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logging.getLogger("schoolwacht_collector.test").info("%d stored", 7)
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["logger"], entry["message"]) == ("info", "schoolwacht_collector.test", "7 stored")


def test_records_are_plain_on_a_terminal() -> None:
    stream = Terminal()
    logs.configure(stream=stream)
    logging.getLogger("schoolwacht_collector.test").warning("full")
    assert stream.getvalue().endswith(" WARNING test: full\n")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "plain"])
def test_the_message_of_a_foreign_error_stays_out_for_it_may_quote_an_event(stream: io.StringIO) -> None:
    logs.configure(stream=stream)
    _fail(ValueError("10.9.8.7 pupil@school.example"))
    text = stream.getvalue()
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "10.9.8.7" not in text


def test_our_own_errors_are_told() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    _fail(StoreError("no answer", path="/srv/store"))
    assert "StoreError: /srv/store: no answer" in stream.getvalue()


def test_details_are_logged_when_asked_for() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, verbose=True)
    logging.getLogger("schoolwacht_collector.test").debug("detail")
    logging.getLogger("asyncio").debug("detail of others")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["detail"]


def test_a_caller_may_say_that_there_is_no_error() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logging.getLogger("schoolwacht_collector").warning("text", exc_info=False)
    assert json.loads(stream.getvalue())["message"] == "text"

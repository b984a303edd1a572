"""HTTP over the engine: heads across segments, pipelines, bodies stepped over, upgrades, damage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import Line, connection

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: School.Example\r\nUser-Agent: probe/1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
POST = (
    b"POST /form HTTP/1.1\r\nHost: school.example\r\nContent-Length: 2000\r\n\r\n" + b"GET /no HTTP/1.1\r\n\r\n" * 100
)
CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def told(frames: list[bytes]) -> list[tuple[str | None, str | None, int | None]]:
    return [(event.http_request_method, event.url_path, event.http_response_status_code) for event in events(frames)]


def events(frames: list[bytes]) -> list[Event]:
    return Played(*frames).of(Dataset.HTTP)


def test_a_request_and_its_response_are_one_event() -> None:
    (event,) = events(connection((True, GET), (False, OK)))
    assert (event.http_request_method, event.url_domain, event.url_path) == ("GET", "school.example", "/a")
    assert (event.http_response_status_code, event.user_agent_original) == (200, "probe/1")
    assert event.destination_port == 80


@settings(max_examples=40)
@given(size=st.integers(1, 300))
def test_heads_and_bodies_may_be_cut_anywhere(size: int) -> None:
    lines: list[Line] = [(True, GET), (False, OK), (True, POST), (False, OK)]
    assert told(connection(*lines, size=size)) == [("GET", "/a", 200), ("POST", "/form", 200)]


@settings(max_examples=40)
@given(data=st.data())
def test_segments_out_of_order_and_again_give_the_same_events(data: st.DataObject) -> None:
    frames = connection((True, GET), (False, OK), (True, GET), (False, OK), size=40)
    head, body, tail = frames[:3], frames[3:-2], frames[-2:]
    client = [frame for frame in body if frame[30:34] == b"\xc6\x33\x64\x07"]
    server = [frame for frame in body if frame not in client]
    client = data.draw(st.permutations(client)) + data.draw(st.lists(st.sampled_from(client), max_size=3))
    server = data.draw(st.permutations(server))
    assert told([*head, *client, *server, *tail]) == [("GET", "/a", 200)] * 2


def test_pipelined_requests_get_their_responses_in_order() -> None:
    moved = b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n"
    assert told(connection((True, GET + GET), (False, OK + moved))) == [("GET", "/a", 200), ("GET", "/a", 301)]


def test_behind_a_body_of_unknown_length_the_next_head_is_found() -> None:
    assert told(connection((True, GET), (False, CHUNKED), (True, GET), (False, OK))) == [
        ("GET", "/a", 404), ("GET", "/a", 200),
    ]  # fmt: skip


def test_an_interim_response_is_not_the_response() -> None:
    assert told(connection((True, POST), (False, b"HTTP/1.1 100 Continue\r\n\r\n"), (False, OK))) == [
        ("POST", "/form", 200)
    ]


def test_a_response_to_head_has_no_body() -> None:
    head = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
    lines: list[Line] = [(True, head), (False, OK[:-5]), (True, GET), (False, OK)]
    assert told(connection(*lines)) == [("HEAD", "/", 200), ("GET", "/a", 200)]


def test_a_request_without_a_response_is_told_at_the_end() -> None:
    assert told(connection((True, GET))) == [("GET", "/a", None)]


def test_a_head_that_was_cut_off_is_told_with_what_is_there() -> None:
    (event,) = events(connection((True, GET[:-12])))
    assert (event.http_request_method, event.url_domain) == ("GET", "school.example")


@pytest.mark.parametrize("lost", [{13}, {14}, {13, 14}, {14, 17}], ids=["request", "response", "both", "two"])
def test_where_segments_were_lost_no_response_goes_to_another_request(lost: set[int]) -> None:
    lines: list[Line] = []
    for number in range(60):
        lines.append((True, b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % (200 + number)))
        lines.append((False, b"HTTP/1.1 %d OK\r\nContent-Length: 0\r\n\r\n" % (200 + number)))
    found = told([frame for number, frame in enumerate(connection(*lines)) if number not in lost])
    pairs = [(path, status) for _, path, status in found if path is not None and status is not None]
    assert all(path == f"/{status}" for path, status in pairs)
    assert pairs[:5] == [(f"/{number}", number) for number in range(200, 205)]
    assert pairs[-20:] == [(f"/{number}", number) for number in range(240, 260)]


def test_the_port_does_not_matter() -> None:
    (event,) = events(connection((True, GET), (False, OK), port=31_337))
    assert event.destination_port == 31_337


def test_a_connection_joined_in_the_middle_of_a_response_has_the_right_client() -> None:
    (event,) = events(connection((False, OK), port=31_337)[3:])
    assert event.http_response_status_code == 200
    assert event.destination_port == 31_337


def test_behind_switching_protocols_nothing_is_read() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    assert told(connection((True, GET), (False, switched), (True, GET), (False, OK))) == [("GET", "/a", 101)]


def test_many_requests_that_nobody_answers_are_told_and_not_held() -> None:
    assert len(events(connection((True, GET * 200), closed=False))) == 200


@pytest.mark.parametrize("text", [b"GETaway", b"GET / SMTP/1.0\r\n", b"\x00" * 40, b"A" * 40_000])
def test_what_is_not_http_is_not_told(text: bytes) -> None:
    assert not events(connection((True, text), (False, text)))


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 0200 ok", b"HTTP/0.9 200 ok", b"HTTP/2.0 200 ok", b"HTTP/1.01 200 ok", b"HTTP/1.10 200 ok",
     b"HTTP/1.1\x0b200\x0bok", b"HTTP/1.1\0 200 ok", b"http/1.1 200 OK"],
)  # fmt: skip
def test_a_status_line_that_hides_from_filters_is_read_as_browsers_do(line: bytes) -> None:
    assert told(connection((True, GET), (False, line + b"\r\nContent-Length: 0\r\n\r\n"))) == [("GET", "/a", 200)]


def test_an_interim_response_after_which_none_comes_was_the_response() -> None:
    assert told(connection((True, GET), (False, b"HTTP/1.1 102 ok\r\n\r\nfile"))) == [("GET", "/a", 102)]

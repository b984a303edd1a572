from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.http import (
    HEAD_MAX,
    Body,
    HttpRequest,
    HttpResponse,
    dissect_request,
    dissect_response,
)
from schoolwacht_agent.sources.packets.dissect.progress import MORE
from tests.schoolwacht_agent.sources.packets.dissect.recorded import Conversation, to_port


def request(head: bytes, *, final: bool = False) -> HttpRequest:
    found = dissect_request(head, final=final)
    assert isinstance(found, HttpRequest)
    return found


def response(head: bytes, *, method: str | None = None, final: bool = False) -> HttpResponse:
    found = dissect_response(head, method=method, final=final)
    assert isinstance(found, HttpResponse)
    return found


def exchanges(one: Conversation) -> list[tuple[HttpRequest, HttpResponse]]:
    """The requests and responses of a connection without chunked bodies."""
    found = []
    up, down = one.up, one.down
    while up:
        asked = request(up)
        said = response(down, method=asked.method)
        found.append((asked, said))
        up = up[asked.head_size + (asked.content_length or 0 if asked.body is Body.LENGTH else 0) :]
        if said.body not in (Body.NONE, Body.LENGTH):
            break
        down = down[said.head_size + (said.content_length or 0 if said.body is Body.LENGTH else 0) :]
    return found


def test_real_requests_on_one_connection_are_found_one_after_the_other() -> None:
    found = exchanges(to_port(8080)[0])
    assert [asked.target for asked, _ in found] == ["/pad/a.html?q=%C3%A9&b=2", "/absent", "/moved"]
    assert [said.status for _, said in found] == [200, 404, 302]
    asked, said = found[0]
    assert (asked.method, asked.version, asked.host, asked.port) == ("GET", "1.1", "192.0.2.1", 8080)
    assert asked.referer == "http://verwijzer.example/"
    assert asked.user_agent is not None
    assert asked.user_agent.startswith("curl/")
    assert (said.content_type, said.content_length, said.body) == ("text/HTML; charset=utf-8", 6, Body.LENGTH)
    assert said.server is not None
    assert said.server.startswith("BaseHTTP/")
    assert found[2][1].location == "/elsewhere?x=1"


def test_the_answer_to_head_has_no_body() -> None:
    [(asked, said)] = exchanges(to_port(8080)[1])
    assert asked.method == "HEAD"
    assert (said.content_length, said.body) == (6, Body.NONE)


def test_a_chunked_body_is_named() -> None:
    asked, said = exchanges(to_port(8080)[2])[0]
    assert asked.host == "www.voorbeeld.example"
    assert said.body is Body.CHUNKED


def test_an_absolute_target_gives_the_host() -> None:
    asked, _ = exchanges(to_port(8080)[3])[0]
    assert (asked.target, asked.host, asked.port) == ("http://doel.example:81/via/proxy", "doel.example", 81)


@pytest.mark.parametrize("end", [1, 3, 4, 9, 16, 17, 30])
def test_an_incomplete_head_asks_for_more(end: int) -> None:
    assert dissect_request(b"GET /a HTTP/1.1\r\nHost: x.nl\r\n\r\n"[:end]) is MORE
    assert dissect_response(b"HTTP/1.1 200 OK\r\nServer: x.nl\r\n\r\n"[:end]) is MORE


def test_a_cut_off_head_is_given_as_far_as_it_goes() -> None:
    found = request(b"GET /a HTTP/1.1\r\nHost: x.nl\r\nUser-Agent: cur", final=True)
    assert (found.host, found.user_agent, found.body) == ("x.nl", "cur", Body.REST)
    assert response(b"HTTP/1.1 200 OK\r\nServer: a", final=True).server == "a"
    assert dissect_request(b"GET /a HT", final=True) is None


def test_a_head_beyond_the_limit_is_given_as_far_as_it_goes() -> None:
    found = request(b"GET /a HTTP/1.1\r\nHost: x.nl\r\n" + b"X: y\r\n" * HEAD_MAX)
    assert (found.host, found.body) == ("x.nl", Body.REST)


@pytest.mark.parametrize(
    "stream",
    [
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SETUP rtsp://a/b RTSP/1.0\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET HTTP/1.1\r\n\r\n",
        b"GET /HTTP/1.1\r\n\r\n",
        b"EHLO example.nl\r\n",
        b"220 mail ESMTP\r\n",
        b"A" * 40,
    ],
)
def test_what_is_no_request_is_refused(stream: bytes) -> None:
    assert dissect_request(stream) is None


@pytest.mark.parametrize("stream", [b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"X"])
def test_what_is_no_response_is_refused(stream: bytes) -> None:
    assert dissect_response(stream) is None


def test_what_real_clients_send_is_tolerated() -> None:
    found = request(
        b"\r\n\nM-SEARCH  /a b\tHTTP/1.1 \nHOST : A.NL.:99\nuser-agent:\tx\n  y\r\nReferer: \xff\xc3\xa9\r\n\n"
    )
    assert (found.method, found.target, found.host, found.port) == ("M-SEARCH", "/a b", "a.nl", 99)
    assert found.user_agent == "x y"
    assert found.referer == "\\xff\\xc3\\xa9"


@pytest.mark.parametrize(
    ("header", "host", "port"),
    [
        (b"[2001:DB8::1]:8080", "[2001:db8::1]", 8080),
        (b"a.nl:99999", "a.nl", None),
        (b"", None, None),
        (b"/", None, None),
    ],
)
def test_the_host_is_taken_apart(header: bytes, host: str | None, port: int | None) -> None:
    found = request(b"GET / HTTP/1.1\r\nHost: " + header + b"\r\n\r\n")
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"", Body.NONE),
        (b"Content-Length: 0\r\n", Body.NONE),
        (b"Content-Length: 5\r\n", Body.LENGTH),
        (b"Content-Length: 5\r\ncontent-length: 5\r\n", Body.LENGTH),
        (b"Content-Length: 5\r\ncontent-length: 6\r\n", Body.REST),
        (b"Content-Length: five\r\n", Body.REST),
        (b"Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n", Body.CHUNKED),
        (b"Transfer-Encoding: gzip\r\n", Body.REST),
    ],
)
def test_the_body_of_a_request(headers: bytes, body: Body) -> None:
    assert request(b"POST / HTTP/1.1\r\n" + headers + b"\r\n").body is body


@pytest.mark.parametrize(
    ("status", "method", "headers", "body"),
    [
        (200, "GET", b"", Body.REST),
        (200, "GET", b"Content-Length: 7\r\n", Body.LENGTH),
        (200, "HEAD", b"Content-Length: 7\r\n", Body.NONE),
        (200, "CONNECT", b"Content-Length: 7\r\n", Body.REST),
        (407, "CONNECT", b"Content-Length: 7\r\n", Body.LENGTH),
        (204, "GET", b"", Body.NONE),
        (304, "GET", b"Content-Length: 7\r\n", Body.NONE),
        (100, "POST", b"", Body.NONE),
        (101, "GET", b"", Body.REST),
        (200, None, b"Transfer-Encoding: chunked\r\n", Body.CHUNKED),
    ],
)
def test_the_body_of_a_response(status: int, method: str | None, headers: bytes, body: Body) -> None:
    found = response(b"HTTP/1.1 %d x\r\n%s\r\n" % (status, headers), method=method)
    assert found.body is body
    assert found.interim == (status == 100)


def test_a_head_of_nothing_but_spaces_is_read_in_one_pass() -> None:
    # A pattern that backtracks would take minutes over these.
    assert dissect_request(b"GET " + b" " * 16_000 + b"\r\n\r\n") is None
    assert dissect_request(b"GET " + b" HTTP/1" * 2_000 + b"\r\n\r\n") is None
    assert dissect_response(b"HTTP/1.1 " + b" " * 60_000) is None
    assert isinstance(dissect_request(b"GET / HTTP/1.1\r\nHost:" + b" " * 60_000 + b"\r\n\r\n"), HttpRequest)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(stream: bytes, final: bool) -> None:
    for found in (dissect_request(stream, final=final), dissect_response(stream, final=final)):
        assert found is not MORE or not final


@given(st.binary(max_size=300), st.booleans())
def test_any_headers_are_read(headers: bytes, final: bool) -> None:
    asked = dissect_request(b"GET / HTTP/1.1\r\n" + headers, final=final)
    assert asked is not None
    assert asked is MORE or asked.head_size <= len(headers) + 16
    assert dissect_response(b"HTTP/1.0 200\r\n" + headers, final=final) is not None

"""Heads of HTTP/1.0 and 1.1 messages (RFC 9110, 9112): what they say, and how long the body after them is.

Tolerant of what real programs send: bare line feeds, blank lines before the request line, space before the colon,
folded lines, header names in any case, targets with spaces. Strict where it decides whether bytes are HTTP at all:
the first line must be one of HTTP/1.x. HTTP/2's preface, RTSP and SIP are refused.

Limits: a head has at most 64 KiB. A longer one is given as far as it goes, with a body of unknown length.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from msgspec import Struct

from schoolwacht_agent.sources.packets.dissect.progress import MORE, More
from schoolwacht_agent.sources.packets.dissect.text import printable

HEAD_MAX = 65_536
_LINE_MAX = 16_384
_HEADERS_MAX = 256

# A method is a token (RFC 9110 5.6.2); all that are registered or in use are of capitals, digits, "-" and "_".
_METHOD = re.compile(rb"[A-Z][A-Z0-9_-]{0,31}")
_REQUEST_START = re.compile(rb"[A-Z][A-Z0-9_-]{0,31}(?:[ \t][^\n]*)?\Z")
# Of what servers that hide from filters write, what browsers take: other versions, zeros before the code, any white
# space or NUL, small letters.
_STATUS_LINE = re.compile(rb"(?i:HTTP)/([0-9]\.[0-9])[0-9]?[\s\0]+0*([1-9][0-9]{2})(?:[ \t\v][^\n]*|\r?)\n")
_STATUS_START = re.compile(rb"(?i:HTTP)/[0-9](?:\.(?:[0-9]{1,2}(?:[\s\0][^\n]*)?)?)?\Z")
_AUTHORITY = re.compile(r"(?:[^@/]*@)?(\[[0-9A-Fa-f:.]+\]|[^:/?#\[\]]+)(?::([0-9]{1,5}))?")

_WANTED = frozenset(
    {
        b"host",
        b"user-agent",
        b"referer",
        b"content-type",
        b"content-length",
        b"transfer-encoding",
        b"server",
        b"location",
    }
)


class Body(Enum):
    """What follows a head on the connection."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    #: Until the connection closes, or until an upgraded protocol ends: no further head can be found.
    REST = auto()


# Bound, because before Python 3.12 each look at a member of an enum is a call.
NO_BODY, LENGTH, _CHUNKED, _REST = Body.NONE, Body.LENGTH, Body.CHUNKED, Body.REST


class HttpRequest(Struct, frozen=True, gc=False):
    """The head of one request. ``host`` and ``port`` are of the target if it is absolute, else of the Host header.

    ``head_size`` counts the bytes up to and with the blank line. ``content_length`` is what was announced.
    """

    method: str
    target: str
    version: str
    host: str | None
    port: int | None
    user_agent: str | None
    referer: str | None
    content_type: str | None
    content_length: int | None
    body: Body
    head_size: int


class HttpResponse(Struct, frozen=True, gc=False):
    """The head of one response. ``interim``: a 1xx that another response to the same request follows (not 101)."""

    version: str
    status: int
    content_type: str | None
    content_length: int | None
    server: str | None
    location: str | None
    interim: bool
    body: Body
    head_size: int


def dissect_request(stream: bytes, *, final: bool = False) -> HttpRequest | More | None:
    """The request head at the start of ``stream``: MORE if it has not ended yet, None if this is not HTTP.

    Args:
        stream: the bytes of the client's direction from where a head must begin.
        final: no more bytes will come (a gap, the end of the flow or of what is captured): a head that is cut off
            after its first line is then given as far as it goes, with a body of unknown length.
    """
    start = _first_line(stream)
    line_end = stream.find(b"\n", start, start + _LINE_MAX)
    if line_end < 0:
        return MORE if not final and _may_begin(_REQUEST_START, b"", stream, start) else None
    line = _request_line(stream[start:line_end])
    if line is None:
        return None
    after = line_end + 1
    end, whole = _head_end(stream, after)
    if end < 0 and not final:
        return MORE
    method, target, version = line
    headers = _headers(stream[after : end if end >= 0 else after + HEAD_MAX])
    host, port = _authority(method, target, headers.get(b"host"))
    length = _content_length(headers)
    return HttpRequest(
        method,
        target,
        version,
        host,
        port,
        _text(headers, b"user-agent"),
        _text(headers, b"referer"),
        _text(headers, b"content-type"),
        length,
        _request_body(headers, length) if whole else _REST,
        end if end >= 0 else len(stream),
    )


def dissect_response(stream: bytes, *, method: str | None = None, final: bool = False) -> HttpResponse | More | None:
    """The response head at the start of ``stream``: MORE if it has not ended yet, None if this is not HTTP.

    Args:
        stream: the bytes of the server's direction from where a head must begin.
        method: of the request that this answers; HEAD and CONNECT change what follows the head (RFC 9112 6.3).
        final: as for :func:`dissect_request`.
    """
    start = _first_line(stream)
    line = _STATUS_LINE.match(stream, start, start + _LINE_MAX)
    if line is None:
        return MORE if not final and _may_begin(_STATUS_START, b"HTTP/", stream, start) else None
    after = line.end()
    end, whole = _head_end(stream, after)
    if end < 0 and not final:
        return MORE
    headers = _headers(stream[after : end if end >= 0 else after + HEAD_MAX])
    status = int(line[2])
    length = _content_length(headers)
    return HttpResponse(
        line[1].decode(),
        status,
        _text(headers, b"content-type"),
        length,
        _text(headers, b"server"),
        _text(headers, b"location"),
        100 <= status < 200 and status != 101,
        _response_body(headers, length, status, method) if whole else _REST,
        end if end >= 0 else len(stream),
    )


def _first_line(stream: bytes) -> int:
    """Where the first line begins: RFC 9112 2.2 lets blank lines stand before it."""
    if stream[:1] not in (b"\r", b"\n"):
        return 0
    return len(stream) - len(stream[:64].lstrip(b"\r\n")) - len(stream[64:])


def _request_line(line: bytes) -> tuple[str, str, str] | None:
    """Method, target and version. Spaces inside the target stay: real clients send them."""
    line = line.rstrip()
    if line[-8:-1] != b"HTTP/1." or not line[-1:].isdigit() or line[-9:-8] not in (b" ", b"\t"):
        return None
    parts = line[:-8].split(None, 1)
    if len(parts) != 2 or _METHOD.fullmatch(parts[0]) is None:
        return None
    return parts[0].decode(), printable(parts[1].rstrip()), line[-3:].decode()


def _may_begin(pattern: re.Pattern[bytes], literal: bytes, stream: bytes, start: int) -> bool:
    """Whether a stream without a full first line may still become one."""
    rest = stream[start : start + _LINE_MAX + 1]
    if len(rest) <= len(literal):
        return literal.startswith(rest.upper())
    return len(rest) <= _LINE_MAX and pattern.match(rest) is not None


def _head_end(stream: bytes, after: int) -> tuple[int, bool]:
    """Where the head ends (-1: not yet), and whether it ends by its blank line rather than by our limit."""
    limit = after + HEAD_MAX
    # The line feed that ends the first line may be the one before the blank line.
    end = stream.find(b"\n\r\n", after - 1, limit)
    bare = stream.find(b"\n\n", after - 1, end if end >= 0 else limit)
    if bare >= 0:
        return bare + 2, True
    if end >= 0:
        return end + 3, True
    return (limit, False) if len(stream) >= limit else (-1, False)


def _headers(block: bytes) -> dict[bytes, bytes]:
    """The headers that are wanted, names lower-case; one that comes again is joined with a comma (RFC 9110 5.3)."""
    found: dict[bytes, bytes] = {}
    last = b""
    for line in block.split(b"\n", _HEADERS_MAX)[:_HEADERS_MAX]:
        if line[:1] in (b" ", b"\t"):  # folded: belongs to the header before it
            if last:
                found[last] += b" " + line.strip()
            continue
        name, _, value = line.partition(b":")
        last = name.rstrip().lower()
        if last not in _WANTED:
            last = b""
        elif last in found:
            found[last] += b", " + value.strip()
        else:
            found[last] = value.strip()
    return found


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return printable(value) if value else None


def _authority(method: str, target: str, header: bytes | None) -> tuple[str | None, int | None]:
    """Host and port of an absolute target, of CONNECT's, or else of the Host header; host lower-case."""
    if method == "CONNECT":
        authority = target
    elif not target.startswith("/") and "://" in target[:16]:
        authority = target.partition("://")[2]
    elif header:
        authority = printable(header)
    else:
        return None, None
    found = _AUTHORITY.match(authority)
    if found is None:
        return None, None
    port = int(found[2]) if found[2] else None
    return found[1].lower().rstrip("."), port if port is not None and port <= 65535 else None


def _content_length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(b"content-length")
    if value is None:
        return None
    # The same length said twice is one length (RFC 9110 8.6); anything else is none that can be relied on.
    parts = {part.strip() for part in value.split(b",")}
    only = parts.pop()
    return int(only) if not parts and only.isdigit() and len(only) < 19 else None


def _is_chunked(headers: dict[bytes, bytes]) -> bool | None:
    """None without Transfer-Encoding; else whether its last coding is chunked."""
    value = headers.get(b"transfer-encoding")
    return None if value is None else value.lower().endswith(b"chunked")


def _request_body(headers: dict[bytes, bytes], length: int | None) -> Body:
    chunked = _is_chunked(headers)
    if chunked is not None:
        return _CHUNKED if chunked else _REST
    if length is None:
        return _REST if b"content-length" in headers else NO_BODY
    return LENGTH if length else NO_BODY


def _response_body(headers: dict[bytes, bytes], length: int | None, status: int, method: str | None) -> Body:
    if status == 101 or (method == "CONNECT" and 200 <= status < 300):
        return _REST
    if status < 200 or status in (204, 304) or method == "HEAD":
        return NO_BODY
    chunked = _is_chunked(headers)
    if chunked is not None:
        return _CHUNKED if chunked else _REST
    if length is None:
        return _REST
    return LENGTH if length else NO_BODY

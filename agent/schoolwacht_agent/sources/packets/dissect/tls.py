"""TLS handshakes in one direction of a stream (RFC 5246, 8446, 6066, 7301; RFC 5246 E.2 for SSLv2-style hellos).

:func:`dissect_handshake` takes the bytes of one direction from the start of the stream and says what is complete so
far: the client's hello, or the server's hello and leaf certificate. Handshake messages may be spread over several
records, and records over several segments. The leaf is given as soon as its own bytes are there, whether or not the
rest of the chain is. It refuses what is not TLS at the first byte that does not fit.

Limits: at most 64 KiB of handshake in a direction are looked at, 64 records, 256 extensions. From 1.3 on it is
encrypted, and so absent. DTLS is another protocol.
"""

from __future__ import annotations

from struct import Struct as Layout
from struct import error as TooShort  # noqa: N812 - the standard library names this class in lower case
from struct import unpack_from

from msgspec import Struct

from schoolwacht_agent.sources.packets.dissect.certificate import Certificate, read_certificate
from schoolwacht_agent.sources.packets.dissect.text import printable

HANDSHAKE_MAX = 65_536
RECORDS_MAX = 64
EXTENSIONS_MAX = 256
_RECORD_MAX = 16_384 + 2_048

_HANDSHAKE = 22
_CLIENT_HELLO, _SERVER_HELLO, _NEW_SESSION_TICKET, _CERTIFICATE = 1, 2, 4, 11
_SERVER_NAME, _GROUPS, _POINT_FORMATS, _SIGNATURE_ALGORITHMS, _ALPN = 0, 10, 11, 13, 16
_SESSION_TICKET, _PRE_SHARED_KEY, _SUPPORTED_VERSIONS = 35, 41, 43
# SSL 3.0 to TLS 1.2 send the certificate in the clear.
_WITH_CLEAR_CERTIFICATE = frozenset({0x0300, 0x0301, 0x0302, 0x0303})
# The random value that marks a server hello as a HelloRetryRequest (RFC 8446 4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

_TWO = Layout(">2H")
_SHORT = Layout(">H")


class ClientHello(Struct, frozen=True, gc=False):
    """What a client offers. Numbers as on the wire, in its order, GREASE included.

    ``version`` is the legacy version field; ``versions`` the supported_versions extension. ``server_name`` is
    lower-case without trailing dot. ``ticket`` and ``psk``: it offers to resume by a session ticket (TLS 1.2) or by a
    pre-shared key (1.3). ``sslv2``: it came in the old record form, which has no extensions.
    """

    version: int
    session_id: bytes
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...] = ()
    server_name: str | None = None
    alpn: tuple[bytes, ...] = ()
    groups: tuple[int, ...] = ()
    point_formats: tuple[int, ...] = ()
    signature_algorithms: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    ticket: bool = False
    psk: bool = False
    sslv2: bool = False


class ServerHello(Struct, frozen=True, gc=False):
    """What the server chose. ``version`` is the legacy field, ``negotiated`` what both then speak."""

    version: int
    negotiated: int
    session_id: bytes
    cipher: int
    extensions: tuple[int, ...] = ()
    alpn: bytes | None = None
    psk: bool = False


class Handshake(Struct, frozen=True, gc=False):
    """What one direction has said so far.

    ``needed``: how many bytes the stream must hold before there can be more to say; 0 if there will be nothing more.
    ``encrypted``: the direction has switched to encryption (a server that does so without a certificate resumed, or
    speaks TLS 1.3).
    """

    client_hello: ClientHello | None = None
    server_hello: ServerHello | None = None
    certificate: Certificate | None = None
    encrypted: bool = False
    needed: int = 0


def dissect_handshake(stream: bytes) -> Handshake | None:
    """What is complete of the handshake in one direction's bytes from the start of the stream; None if not TLS."""
    if stream[:1] >= b"\x80":
        return _sslv2_hello(stream)
    fragments: list[bytes] = []
    held = at = 0
    ended = False
    while not ended:
        header = stream[at : at + 5]
        if len(header) < 5:
            if not _may_begin(header):
                ended = True
            break
        kind = header[0]
        length = header[3] << 8 | header[4]
        if header[1] != 3 or header[2] > 4 or not 0 < length <= _RECORD_MAX or kind != _HANDSHAKE:
            ended = True
            break
        fragment = stream[at + 5 : at + 5 + length]
        fragments.append(fragment)
        held += len(fragment)
        at += 5 + length
        if at >= len(stream):
            break
        ended = held >= HANDSHAKE_MAX or len(fragments) >= RECORDS_MAX
    if not fragments:
        if not ended:
            return Handshake(needed=6)
        return Handshake() if stream[:2] == b"\x15\x03" and stream[3:5] == b"\x00\x02" else None
    data = fragments[0] if len(fragments) == 1 else b"".join(fragments)
    return _messages(data, 0 if ended else len(stream))


def _may_begin(header: bytes) -> bool:
    """Whether fewer than five bytes can be the begin of a record."""
    return (not header or header[0] == _HANDSHAKE) and header[1:2] in (b"", b"\x03") and header[2:3] <= b"\x04"


def _messages(data: bytes, length: int) -> Handshake | None:
    """The handshake messages in ``data``. ``length`` of the stream that it is of; 0 if no more will come of it."""
    if data and data[0] not in (_CLIENT_HELLO, _SERVER_HELLO):
        return None
    end = _message_end(data, 0)
    if end > HANDSHAKE_MAX:
        return None
    if end > len(data):
        return Handshake(needed=length and length + end - len(data))
    try:
        if data[0] == _CLIENT_HELLO:
            return Handshake(client_hello=_client_hello(data[4:end]))
        return _server_messages(data, end, length)
    except (IndexError, TooShort):
        return None


def _message_end(data: bytes, at: int) -> int:
    """Where the message at ``at`` ends; if its own head is not there yet, where that ends."""
    return at + 4 + (int.from_bytes(data[at + 1 : at + 4]) if len(data) >= at + 4 else 0)


def _server_messages(data: bytes, end: int, length: int) -> Handshake:
    hello = _server_hello(data[4:end])
    start = end
    if data[6:38] == _RETRY:  # the hello that counts comes after the client's second one
        end = _message_end(data, start)
        if end > len(data):
            return Handshake(server_hello=hello, needed=length and length + end - len(data))
        if data[start] == _SERVER_HELLO:
            hello = _server_hello(data[start + 4 : end])
    if hello.negotiated not in _WITH_CLEAR_CERTIFICATE:
        return Handshake(server_hello=hello, encrypted=True)
    return _certificate(data, end, length, hello)


def _certificate(data: bytes, start: int, length: int, hello: ServerHello) -> Handshake:
    """The leaf of the Certificate message, which comes right after the hello or not at all (resumption, anonymous)."""
    if start < len(data) and data[start] != _CERTIFICATE:
        return Handshake(server_hello=hello, encrypted=data[start] == _NEW_SESSION_TICKET)
    if len(data) < start + 10:
        # After a hello that nothing of a certificate follows, only a change of cipher spec ends the clear part.
        missing = start + 10 - len(data)
        return Handshake(server_hello=hello, encrypted=not length, needed=length and length + missing)
    leaf = start + 10
    size = int.from_bytes(data[start + 7 : leaf])
    if size == 0 or size > HANDSHAKE_MAX:
        return Handshake(server_hello=hello)
    if leaf + size > len(data):
        return Handshake(server_hello=hello, needed=length and length + leaf + size - len(data))
    return Handshake(server_hello=hello, certificate=read_certificate(data[leaf : leaf + size]))


def _shorts(data: bytes, at: int, size: int) -> tuple[int, ...]:
    """``size`` bytes of two-byte numbers."""
    return unpack_from(f">{size >> 1}H", data, at)


def _client_hello(body: bytes) -> ClientHello:
    version = _SHORT.unpack_from(body)[0]
    at = 35 + body[34]
    session_id = body[35:at]
    size = _SHORT.unpack_from(body, at)[0]
    ciphers = _shorts(body, at + 2, size)
    at += 2 + size
    at += 1 + body[at]
    extensions, found = _extensions(body, at)
    return ClientHello(
        version,
        session_id,
        ciphers,
        extensions,
        _name(found.get(_SERVER_NAME)),
        _protocols(found.get(_ALPN)),
        _listed(found.get(_GROUPS)),
        tuple(_counted(found.get(_POINT_FORMATS), 1)),
        _listed(found.get(_SIGNATURE_ALGORITHMS)),
        _listed(found.get(_SUPPORTED_VERSIONS), 1),
        bool(found.get(_SESSION_TICKET)),
        _PRE_SHARED_KEY in found,
    )


def _server_hello(body: bytes) -> ServerHello:
    version = negotiated = _SHORT.unpack_from(body)[0]
    if version > 0x0303:  # drafts of TLS 1.3 up to 21 have neither session id nor compression here
        extensions, found = _extensions(body, 36)
        cipher = _SHORT.unpack_from(body, 34)[0]
        return ServerHello(version, negotiated, b"", cipher, extensions, None, _PRE_SHARED_KEY in found)
    at = 35 + body[34]
    session_id = body[35:at]
    cipher = _SHORT.unpack_from(body, at)[0]
    extensions, found = _extensions(body, at + 3)
    selected = found.get(_SUPPORTED_VERSIONS)
    if selected is not None and len(selected) == 2:
        negotiated = _SHORT.unpack(selected)[0]
    alpn = _protocols(found.get(_ALPN))
    return ServerHello(
        version, negotiated, session_id, cipher, extensions, alpn[0] if alpn else None, _PRE_SHARED_KEY in found
    )


def _extensions(body: bytes, at: int) -> tuple[tuple[int, ...], dict[int, bytes]]:
    """The types in their order, and the data of each (of the first, if one comes twice)."""
    if at + 2 > len(body):
        return (), {}
    end = min(at + 2 + _SHORT.unpack_from(body, at)[0], len(body))
    at += 2
    types: list[int] = []
    found: dict[int, bytes] = {}
    while at + 4 <= end and len(types) < EXTENSIONS_MAX:
        kind, size = _TWO.unpack_from(body, at)
        at += 4
        types.append(kind)
        found.setdefault(kind, body[at : at + size])
        at += size
    return tuple(types), found


def _counted(data: bytes | None, width: int) -> bytes:
    """The bytes of a vector whose length is stated in ``width`` bytes; empty if it does not fit."""
    if data is None:
        return b""
    size = int.from_bytes(data[:width])
    vector = data[width : width + size]
    return vector if len(vector) == size else b""


def _listed(data: bytes | None, width: int = 2) -> tuple[int, ...]:
    vector = _counted(data, width)
    return _shorts(vector, 0, len(vector))


def _name(data: bytes | None) -> str | None:
    """The first host name of server_name (RFC 6066 3)."""
    entries = _counted(data, 2)
    if entries[:1] != b"\x00":
        return None
    name = _counted(entries[1:], 2)
    return printable(name).lower().rstrip(".") or None


def _protocols(data: bytes | None) -> tuple[bytes, ...]:
    """The protocol names of ALPN (RFC 7301 3.1)."""
    names = _counted(data, 2)
    found: list[bytes] = []
    at = 0
    while at < len(names) and len(found) < EXTENSIONS_MAX:
        end = at + 1 + names[at]
        found.append(names[at + 1 : end])
        at = end
    return tuple(found)


def _sslv2_hello(stream: bytes) -> Handshake | None:
    """A ClientHello in SSLv2's record form (RFC 5246 E.2): ciphers of three bytes, no extensions."""
    head = stream[:5]
    if head[2:3] not in (b"", b"\x01") or head[3:4] not in (b"", b"\x00", b"\x03"):
        return None
    if len(stream) < 11:
        return Handshake(needed=11)
    length = (stream[0] & 0x7F) << 8 | stream[1]
    version, ciphers, session, challenge = unpack_from(">4H", stream, 3)
    if ciphers % 3 or not ciphers or not 16 <= challenge <= 32 or length != 9 + ciphers + session + challenge:
        return None
    if len(stream) < 2 + length:
        return Handshake(needed=2 + length)
    specs = stream[11 : 11 + ciphers]
    offered = tuple(specs[i + 1] << 8 | specs[i + 2] for i in range(0, ciphers, 3) if not specs[i])
    session_id = stream[11 + ciphers : 11 + ciphers + session]
    return Handshake(client_hello=ClientHello(version, session_id, offered, sslv2=True))

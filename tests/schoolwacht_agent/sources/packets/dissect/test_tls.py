from __future__ import annotations

import subprocess
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schoolwacht_agent.sources.packets.dissect.tls import HANDSHAKE_MAX, ClientHello, Handshake, dissect_handshake
from tests.parts import program
from tests.schoolwacht_agent.sources.packets.dissect.recorded import PROGRAMS, conversations, to_port

TLS_PORTS = range(4431, 4438)
STREAMS = [stream for one in conversations() if one.server[1] in TLS_PORTS for stream in (one.up, one.down)]


def client(stream: bytes) -> ClientHello:
    found = dissect_handshake(stream)
    assert found is not None
    assert found.client_hello is not None
    return found.client_hello


def server(port: int, connection: int = 0) -> Handshake:
    found = dissect_handshake(to_port(port)[connection].down)
    assert found is not None
    assert found.server_hello is not None
    assert found.needed == 0
    return found


def hello(extensions: bytes = b"", *, version: int = 0x0303, session: bytes = b"") -> bytes:
    """A handshake message, without its record."""
    body = pack(">H", version) + bytes(32) + bytes([len(session)]) + session + pack(">HHH", 4, 0x1301, 0xC02F) + b"\1\0"
    if extensions:
        body += pack(">H", len(extensions)) + extensions
    return b"\x01" + len(body).to_bytes(3) + body


def records(message: bytes, size: int = 16_384) -> bytes:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + pack(">H", len(part)) + part for part in parts)


def test_a_real_client_hello_is_read() -> None:
    found = client(to_port(4433)[0].up)
    assert found.version == 0x0303
    assert found.versions == (0x0304, 0x0303, 0x0302, 0x0301)
    assert found.server_name == "www.school.example"
    assert found.alpn == (b"h2", b"http/1.1")
    assert found.point_formats == (0, 1, 2)
    assert 0x1301 in found.ciphers
    assert 29 in found.groups
    assert not found.psk
    assert client(to_port(4433)[1].up).psk


def test_tls_1_2_gives_hello_and_certificate() -> None:
    found = server(4431)
    assert found.server_hello is not None
    assert found.server_hello.negotiated == 0x0303
    assert found.server_hello.alpn == b"http/1.1"
    assert found.certificate is not None
    assert found.certificate.subject.endswith("CN=www.school.example, Email=a@school.example")


@pytest.mark.parametrize("port", [4431, 4432])
def test_a_resumed_session_has_its_id_again_and_no_certificate(port: int) -> None:
    found = server(port, 1)
    assert found.certificate is None
    assert found.encrypted
    assert found.server_hello is not None
    assert found.server_hello.session_id == client(to_port(port)[1].up).session_id != b""


def test_tls_1_3_ends_with_the_server_hello() -> None:
    found = server(4433)
    assert found.server_hello is not None
    assert (found.server_hello.version, found.server_hello.negotiated) == (0x0303, 0x0304)
    assert found.encrypted
    assert found.certificate is None


def test_after_a_retry_request_the_second_hello_counts() -> None:
    found = server(4434)
    assert found.server_hello is not None
    assert to_port(4434)[0].down.count(b"\xcf\x21\xad\x74\xe5\x9a\x61\x11") == 1
    assert 51 in found.server_hello.extensions
    assert found.server_hello.negotiated == 0x0304


def test_a_certificate_over_many_records_is_put_together() -> None:
    assert to_port(4435)[0].down.count(b"\x16\x03\x03\x02\x00") >= 2
    assert server(4435).certificate == server(4431).certificate


def test_tls_1_0_is_read() -> None:
    found = server(4436)
    assert found.server_hello is not None
    assert found.server_hello.negotiated == 0x0301
    assert found.certificate is not None


def test_a_server_without_certificate_ends_at_once() -> None:
    assert server(4437).certificate is None


def test_hellos_agree_with_tshark() -> None:
    fields = ("tls.handshake.type", "tls.handshake.ciphersuite", "tls.handshake.extension.type")
    more = ("tls.handshake.extensions_server_name", "tls.handshake.session_id")
    options = [part for field in (*fields, *more) for part in ("-e", field)]
    options += ["-d", "tcp.port==4431-4437,tls"]
    done = subprocess.run(
        [program("tshark", "tshark"), "-r", PROGRAMS, "-Y", "tls.handshake.type==1", "-T", "fields", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    theirs = [line.split("\t") for line in done.stdout.splitlines()]
    retried = 0
    for one in [one for one in conversations() if one.server[1] in TLS_PORTS]:
        _, ciphers, extensions, name, session = theirs.pop(0)
        ours = client(one.up)
        assert tuple(int(value, 16) for value in ciphers.split(",")) == ours.ciphers
        assert tuple(int(value) for value in extensions.split(",")) == ours.extensions
        assert name.lower() == ours.server_name
        assert session == ours.session_id.hex()
        if one.server[1] == 4434:
            theirs.pop(0)  # its second hello
            retried += 1
    assert not theirs
    assert retried == 1


@pytest.mark.parametrize("stream", STREAMS)
def test_what_is_needed_is_never_too_much(stream: bytes) -> None:
    """Whoever waits for ``needed`` bytes gets every answer at the first byte at which it can be given, or sooner."""
    final = dissect_handshake(stream)
    wanted = 0
    previous: Handshake | None = Handshake()
    for length in range(min(len(stream), 4096) + 1):
        found = dissect_handshake(stream[:length])
        assert found is not None
        if length < wanted:
            assert previous is not None
            assert (found.client_hello, found.server_hello, found.certificate) == (
                previous.client_hello,
                previous.server_hello,
                previous.certificate,
            )
        elif found.needed:
            assert found.needed > length
            wanted = found.needed
        else:
            assert found == final
            return
        previous = found
    pytest.fail("the stream never gave its answer")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_hello_in_small_records_is_put_together(size: int) -> None:
    message = hello(b"\x00\x10\x00\x05\x00\x03\x02h2")
    stream = records(message, size)
    if len(message) / size > 64:
        assert dissect_handshake(stream) == Handshake()
    else:
        assert client(stream).alpn == (b"h2",)


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x17\x03\x03\x00\x10" + bytes(16),
        b"\x16\x02\x00\x00\x10",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x09",
        b"\x16\x00",
        b"\x16\x03\x01\x00\x10\x0b",
        b"\x00",
        b"SSH-2.0-x",
    ],
)
def test_what_is_not_tls_is_refused_at_once(stream: bytes) -> None:
    assert dissect_handshake(stream) is None


def test_an_alert_alone_is_tls_that_says_nothing() -> None:
    assert dissect_handshake(b"\x15\x03\x01\x00\x02\x02\x28") == Handshake()


def test_a_message_beyond_the_limit_is_refused() -> None:
    message = b"\x01" + (HANDSHAKE_MAX + 1).to_bytes(3) + bytes(100)
    assert dissect_handshake(records(message)) is None


def test_a_hello_in_the_old_record_form_is_read() -> None:
    body = b"\x01\x03\x01" + pack(">HHH", 9, 0, 16) + b"\x00\x00\x2f\x07\x00\xc0\x00\x00\x35" + bytes(16)
    stream = pack(">H", 0x8000 | len(body)) + body
    found = client(stream)
    assert found.sslv2
    assert (found.version, found.ciphers) == (0x0301, (0x2F, 0x35))
    for end in range(1, len(stream)):
        part = dissect_handshake(stream[:end])
        assert part is not None
        assert end < part.needed <= len(stream)


@pytest.mark.parametrize(
    ("extension", "name"),
    [
        (b"\x00\x06\x00\x00\x03A.b", "a.b"),
        (b"\x00\x07\x00\x00\x04a.b.", "a.b"),
        (b"\x00\x04\x00\x00\x01\xff", "\\xff"),
        (b"\x00\x06\x01\x00\x03a.b", None),  # not a host name
        (b"\x00\x06\x00\x00\x09a.b", None),  # longer than its list
        (b"", None),
    ],
)
def test_the_server_name_is_lower_case_or_absent(extension: bytes, name: str | None) -> None:
    found = client(records(hello(b"\x00\x00" + pack(">H", len(extension)) + extension)))
    assert found.server_name == name
    assert found.extensions == (0,)


def test_an_empty_ticket_is_no_offer_to_resume() -> None:
    assert not client(records(hello(b"\x00\x23\x00\x00"))).ticket
    assert client(records(hello(b"\x00\x23\x00\x01x"))).ticket


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(stream: bytes) -> None:
    found = dissect_handshake(stream)
    assert found is None or found.needed == 0 or found.needed > len(stream)


@given(st.integers(1, 2), st.binary(max_size=300))
def test_any_body_of_a_hello_is_read_or_refused(kind: int, body: bytes) -> None:
    dissect_handshake(records(bytes([kind]) + len(body).to_bytes(3) + body))


@given(st.binary(max_size=200))
def test_any_extensions_leave_the_rest_readable(extensions: bytes) -> None:
    assert client(records(hello(extensions))).ciphers == (0x1301, 0xC02F)

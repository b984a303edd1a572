from __future__ import annotations

import subprocess
from hashlib import md5

import pytest

from schoolwacht_agent.sources.packets.dissect.fingerprint import GREASE, ja3, ja3s, ja4
from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello, dissect_handshake
from tests.parts import program
from tests.schoolwacht_agent.sources.packets.dissect.recorded import PROGRAMS, conversations

# FoxIO's own example (JA4 technical details): Chrome with its extensions in any order.
CIPHERS = (
    0x1301,
    0x1302,
    0x1303,
    0xC02B,
    0xC02F,
    0xC02C,
    0xC030,
    0xCCA9,
    0xCCA8,
    0xC013,
    0xC014,
    0x9C,
    0x9D,
    0x2F,
    0x35,
)
EXTENSIONS = (0x1B, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2D, 0x0D, 0x05, 0x23, 0x12, 0x2B, 0xFF01, 0x0B, 0x0A, 0x15)
ALGORITHMS = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
CHROME = ClientHello(
    0x0303,
    b"",
    (0x0A0A, *CIPHERS),
    (0xFAFA, *EXTENSIONS, 0x1A1A),
    server_name="example.nl",
    alpn=(b"h2", b"http/1.1"),
    signature_algorithms=ALGORITHMS,
    versions=(0x2A2A, 0x0304, 0x0303),
)


def hello(**fields: object) -> ClientHello:
    return ClientHello(0x0303, b"", (0x1301,), **fields)  # type: ignore[arg-type]  # the fields of one test


def head(**fields: object) -> str:
    found = ja4(hello(**fields))
    assert found is not None
    return found.split("_")[0]


def test_ja4_of_its_authors_example() -> None:
    assert ja4(CHROME) == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_ja4_of_quic_differs_in_its_first_letter() -> None:
    found = ja4(CHROME, quic=True)
    assert found is not None
    assert found.startswith("q13d1516h2_")


def test_ja3_of_its_authors_example() -> None:
    ciphers = (47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4)
    found = ja3(ClientHello(769, b"", ciphers, (0, 10, 11), groups=(23, 24, 25), point_formats=(0,)))
    assert found is not None
    assert found.text == "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0"
    assert found.digest == "ada70206e40642a3e4461f35503241d5"


def test_ja3_without_extensions() -> None:
    found = ja3(ClientHello(769, b"", (4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99)))
    assert found is not None
    assert found == ("769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6")


def test_ja3s_is_of_version_cipher_and_extensions() -> None:
    found = ja3s(ServerHello(769, 769, b"", 47, (65281, 0, 11, 35, 5, 16)))
    assert found.text == "769,47,65281-0-11-35-5-16"
    assert found.digest == md5(b"769,47,65281-0-11-35-5-16").hexdigest()


def test_grease_counts_nowhere() -> None:
    assert len(GREASE) == 16
    plain = ClientHello(0x0303, b"", (1, 2), (3, 4), groups=(5,), signature_algorithms=(6,))
    for value in GREASE:
        greased = ClientHello(
            0x0303,
            b"",
            (value, 1, 2),
            (3, value, 4),
            groups=(5, value),
            signature_algorithms=(value, 6),
            versions=(value,),
        )
        assert (ja3(greased), ja4(greased)) == (ja3(plain), ja4(plain))


@pytest.mark.parametrize(
    ("protocol", "code"),
    [(b"h2", "h2"), (b"http/1.1", "h1"), (b"h", "00"), (b"", "00"), (b"\x0a\x0a", "00"), (b"dot", "dt")],
)
def test_the_protocol_code_is_first_and_last_character(protocol: bytes, code: str) -> None:
    assert head(alpn=(protocol,))[-2:] == code


@pytest.mark.parametrize(
    ("versions", "code"),
    [
        ((), "12"),
        ((0x0304, 0x0303), "13"),
        ((0x0304, 0xFB1A), "13"),  # Facebook's own does not count
        ((0x7F13, 0x0303), "00"),  # a draft does, and has no code
        ((0x7F0E, 0x0303), "12"),  # too old a draft to be known
        ((0x0A0A,), "12"),
    ],
)
def test_the_version_is_the_highest_that_counts(versions: tuple[int, ...], code: str) -> None:
    assert head(versions=versions)[1:3] == code


def test_counts_stop_at_99() -> None:
    found = ja4(ClientHello(0x0303, b"", tuple(range(200)), tuple(range(1, 200))))
    assert found is not None
    assert found.startswith("t12i9999")


def test_a_hello_in_the_old_form_has_no_fingerprint() -> None:
    old = ClientHello(0x0301, b"", (47,), sslv2=True)
    assert ja3(old) is None
    assert ja4(old) is None


def test_ja3_and_ja3s_agree_with_tshark() -> None:
    fields = ("tcp.port", "tls.handshake.type", "tls.handshake.ja3", "tls.handshake.ja3s")
    options = [part for field in fields for part in ("-e", field)]
    options += ["-d", "tcp.port==4431-4437,tls"]
    wanted = "tls.handshake.ja3 or tls.handshake.ja3s"
    done = subprocess.run(
        [program("tshark", "tshark"), "-r", PROGRAMS, "-Y", wanted, "-T", "fields", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # The last hello of each side, by the port that the client had for this one connection.
    theirs: dict[tuple[frozenset[int], bool], str] = {}
    for line in done.stdout.splitlines():
        ports, _, client_digest, server_digest = line.split("\t")
        pair = frozenset(int(port) for port in ports.split(","))
        theirs[pair, bool(client_digest)] = client_digest or server_digest
    compared = 0
    for one in conversations():
        if one.server[1] not in range(4431, 4438):
            continue
        pair = frozenset((one.client[1], one.server[1]))
        up, down = dissect_handshake(one.up), dissect_handshake(one.down)
        assert up is not None
        assert up.client_hello is not None
        assert down is not None
        assert down.server_hello is not None
        assert ja3s(down.server_hello).digest == theirs[pair, False]
        fingerprint = ja3(up.client_hello)
        assert fingerprint is not None
        if one.server[1] != 4434:  # after a retry request tshark's last hello is the second
            assert fingerprint.digest == theirs[pair, True]
        compared += 1
    assert compared == 10

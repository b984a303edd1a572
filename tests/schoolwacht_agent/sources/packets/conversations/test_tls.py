"""TLS over the engine: recorded handshakes in every cut and order, STARTTLS, CONNECT, what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from tests.schoolwacht_agent.sources.packets.dissect.recorded import conversations
from tests.schoolwacht_agent.sources.packets.made import ACK, SYN, down
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import Line, connection

RECORDED = next(one for one in conversations() if one.server[1] == 4431)
TLS: list[Line] = [(True, RECORDED.up), (False, RECORDED.down)]


def handshakes(frames: list[bytes]) -> list[Event]:
    return Played(*frames).of(Dataset.TLS)


def facts(event: Event) -> tuple[object, ...]:
    return (
        event.tls_client_server_name, event.tls_client_ja3, event.tls_server_ja3s, event.nsm_tls_ja4,
        event.tls_server_hash_sha1, event.tls_version,
    )  # fmt: skip


WHOLE = facts(handshakes(connection(*TLS, port=443))[0])


def test_a_handshake_is_one_event_as_soon_as_it_is_known() -> None:
    played = Played(*connection(*TLS, port=443, closed=False))
    assert len(played.of(Dataset.TLS)) == 1
    assert Dataset.TLS in {event.event_dataset for event in played.early}
    assert None not in WHOLE[:4]


@settings(max_examples=30)
@given(size=st.integers(1, 400))
def test_a_handshake_may_be_cut_anywhere(size: int) -> None:
    assert [facts(event) for event in handshakes(connection(*TLS, size=size))] == [WHOLE]


def test_of_one_direction_the_other_half_is_missing() -> None:
    (client,) = handshakes(connection(TLS[0]))
    assert facts(client)[:2] == WHOLE[:2]
    assert client.tls_server_ja3s is None
    (server,) = handshakes(connection(TLS[1]))
    assert (server.tls_client_ja3, server.tls_server_ja3s) == (None, WHOLE[2])


def test_the_hello_tells_who_the_client_is() -> None:
    played = Played(*connection(TLS[1], TLS[0], port=31_337)[3:])
    assert played.flow.destination_port == 31_337
    assert [event.destination_port for event in played.of(Dataset.TLS)] == [31_337]


@pytest.mark.parametrize(
    ("port", "lines", "name"),
    [
        (25, [(False, b"220 mail ESMTP\r\n"), (True, b"EHLO me\r\n"), (False, b"250 STARTTLS\r\n"),
              (True, b"STARTTLS\r\n"), (False, b"220 go\r\n")], "smtp"),
        (143, [(False, b"* OK ready\r\n"), (True, b"a STARTTLS\r\n"), (False, b"a OK\r\n")], "imap"),
        (110, [(False, b"+OK ready\r\n"), (True, b"STLS\r\n"), (False, b"+OK\r\n")], "pop3"),
        (5432, [(True, bytes.fromhex("0000000804d2162f")), (False, b"S")], "pgsql"),
    ],
)  # fmt: skip
def test_a_connection_that_turns_into_tls_is_followed(port: int, lines: list[Line], name: str) -> None:
    played = Played(*connection(*lines, *TLS, port=port))
    assert [facts(event) for event in played.of(Dataset.TLS)] == [WHOLE]
    assert played.flow.network_protocol == name


def test_behind_a_proxy_tls_is_found() -> None:
    ask: list[Line] = [
        (True, b"CONNECT school.example:443 HTTP/1.1\r\nHost: school.example:443\r\n\r\n"),
        (False, b"HTTP/1.1 200 Connection established\r\n\r\n"),
    ]
    played = Played(*connection(*ask, *TLS, port=3128))
    assert [event.http_request_method for event in played.of(Dataset.HTTP)] == ["CONNECT"]
    assert [facts(event) for event in played.of(Dataset.TLS)] == [WHOLE]


def test_a_stream_that_never_turns_is_left_alone() -> None:
    lines: list[Line] = [(False, b"220 mail ESMTP\r\n"), *([(True, b"NOOP\r\n"), (False, b"250 OK\r\n")] * 200)]
    played = Played(*connection(*lines, *TLS, port=25))
    assert not played.of(Dataset.TLS)


def test_a_hello_that_is_not_finished_ends_with_the_connection() -> None:
    played = Played(*connection((True, RECORDED.up[:60]), port=443))
    assert not played.of(Dataset.TLS)
    assert played.flow.network_protocol == "tls"


def test_of_two_servers_that_answer_a_syn_the_one_that_goes_on_is_followed() -> None:
    """Seen with anycast: whose SYN-ACK the client took shows only in what follows."""
    frames = connection(*TLS, port=443)
    other = down(flags=SYN | ACK, sequence=2_000_000_000, destination=443)
    for made in ([frames[0], other, *frames[1:]], [*frames[:2], other, *frames[2:]]):
        assert [facts(event) for event in handshakes(made)] == [WHOLE]

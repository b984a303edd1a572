"""DNS over the engine: UDP and TCP, any port, who asks, what is not DNS."""

from __future__ import annotations

from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st

from schoolwacht.event import Dataset, Event
from tests.schoolwacht_agent.sources.packets.made import CLIENT, SERVER
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import connection, datagrams

QUESTION = b"\x07Example\x03com\x00\x00\x01\x00\x01"
QUERY = bytes.fromhex("abcd01000001000000000000") + QUESTION
ANSWER = bytes.fromhex("abcd81800001000100000000") + QUESTION + bytes.fromhex("c00c000100010000003c0004c0000201")


def events(*frames: bytes) -> list[Event]:
    return Played(*frames).of(Dataset.DNS)


def over_tcp(message: bytes) -> bytes:
    return pack(">H", len(message)) + message


def kinds(found: list[Event]) -> list[tuple[str | None, str | None, str | None]]:
    return [(event.dns_type, event.dns_question_name, event.source_ip) for event in found]


BOTH = [("query", "example.com", CLIENT), ("answer", "example.com", CLIENT)]


def test_query_and_answer_are_two_events_of_the_client() -> None:
    found = events(*datagrams((True, QUERY), (False, ANSWER)))
    assert kinds(found) == BOTH
    assert found[1].dns_resolved_ip == ["192.0.2.1"]


def test_an_answer_that_comes_first_turns_the_flow() -> None:
    found = Played(*datagrams((False, ANSWER), (True, QUERY), port=5_300))
    assert kinds(found.of(Dataset.DNS)) == BOTH[::-1]
    assert found.flow.source_ip == CLIENT


def test_any_port_will_do() -> None:
    assert kinds(events(*datagrams((True, QUERY), (False, ANSWER), port=31_337))) == BOTH


def test_multicast_dns_is_named_and_not_told() -> None:
    played = Played(*datagrams((True, QUERY), port=5_353))
    assert not played.of(Dataset.DNS)
    assert played.flow.network_protocol == "mdns"


@settings(max_examples=30)
@given(size=st.integers(1, 60))
def test_messages_over_tcp_may_be_cut_anywhere(size: int) -> None:
    found = events(*connection((True, over_tcp(QUERY) * 3), (False, over_tcp(ANSWER) * 3), port=53, size=size))
    assert kinds(found) == [BOTH[0]] * 3 + [BOTH[1]] * 3


def test_a_message_too_long_to_hold_is_stepped_over() -> None:
    long = over_tcp(ANSWER + bytes(60_000))
    found = events(*connection((True, over_tcp(QUERY)), (False, over_tcp(ANSWER) + long + over_tcp(ANSWER)), port=53))
    assert [kind for kind, _, _ in kinds(found)] == ["query", "answer", "answer"]


def test_what_is_not_dns_on_its_port_is_counted_and_the_next_one_read() -> None:
    played = Played(*datagrams((True, b"\xff" * 40), (True, QUERY)))
    assert kinds(played.of(Dataset.DNS)) == BOTH[:1]
    assert played.counters.invalid == {"dns: cannot be read": 1}


def test_random_bytes_elsewhere_are_no_dns() -> None:
    assert not events(*datagrams((True, b"\xff" * 40), (False, QUERY[:11]), port=9_999))


def test_both_ends_are_where_they_belong() -> None:
    (event,) = events(*datagrams((False, ANSWER)))
    assert (event.source_ip, event.destination_ip, event.destination_port) == (CLIENT, SERVER, 53)


def test_of_a_query_with_several_questions_each_is_told() -> None:
    other = b"\x05other\x00\x00\x10\x00\x01"
    query = bytes.fromhex("abcd01000002000000000000") + QUESTION + other
    found = events(*datagrams((True, query)))
    assert [(event.dns_question_name, event.dns_question_type) for event in found] == [
        ("example.com", "A"),
        ("other", "TXT"),
    ]

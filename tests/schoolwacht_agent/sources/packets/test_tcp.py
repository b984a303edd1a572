"""The states of a connection as Suricata tells them."""

from __future__ import annotations

import pytest

from schoolwacht_agent.sources.packets.tcp import ACK, FIN, FLOW_STATES, RST, SYN, FlowState, Tcp, advance

UP, DOWN = True, False
SHAKE = [(UP, SYN), (DOWN, SYN | ACK), (UP, ACK)]


def after(*segments: tuple[bool, int]) -> Tcp:
    state = Tcp.NONE
    for by_client, flags in segments:
        state = advance(state, by_client, flags)
    return state


@pytest.mark.parametrize(
    ("segments", "state"),
    [
        ([], FlowState.NEW),
        (SHAKE[:1], FlowState.NEW),
        (SHAKE[:2], FlowState.NEW),
        (SHAKE, FlowState.ESTABLISHED),
        ([(UP, ACK)], FlowState.ESTABLISHED),
        ([(DOWN, ACK)], FlowState.ESTABLISHED),
        ([(UP, SYN), (DOWN, RST | ACK)], FlowState.CLOSED),
        ([*SHAKE, (UP, RST)], FlowState.CLOSED),
        ([*SHAKE, (UP, FIN | ACK)], FlowState.ESTABLISHED),
        ([*SHAKE, (UP, FIN | ACK), (DOWN, ACK)], FlowState.ESTABLISHED),
        ([*SHAKE, (UP, FIN | ACK), (DOWN, FIN | ACK)], FlowState.CLOSED),
        ([*SHAKE, (DOWN, FIN | ACK), (UP, FIN | ACK)], FlowState.CLOSED),
        ([*SHAKE, (DOWN, FIN | ACK), (UP, ACK), (UP, FIN | ACK), (DOWN, ACK)], FlowState.CLOSED),
    ],
)
def test_a_conversation_has_the_state_that_its_segments_make(
    segments: list[tuple[bool, int]], state: FlowState
) -> None:
    assert FLOW_STATES[after(*segments)] is state


def test_a_closed_connection_stays_closed() -> None:
    closed = after(*SHAKE, (UP, RST))
    for by_client in (UP, DOWN):
        for flags in range(256):
            assert advance(closed, by_client, flags) is Tcp.CLOSED


def test_other_flags_change_nothing() -> None:
    for state in Tcp:
        for by_client in (UP, DOWN):
            assert advance(state, by_client, 0xE8) is state

"""The states of a TCP connection as one who looks on sees them (RFC 9293 3.3.2, in the terms of Suricata's EVE).

Sequence numbers are not checked here: a forged reset ends the state, not the flow, which goes on counting.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from types import MappingProxyType

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Tcp(IntEnum):
    """States in the order in which a connection goes through them; from LAST_ACK on it is over."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECEIVED = 2
    ESTABLISHED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    CLOSE_WAIT = 6
    CLOSING = 7
    LAST_ACK = 8
    TIME_WAIT = 9
    CLOSED = 10


class FlowState(StrEnum):
    """What a flow's time-out depends on."""

    NEW = "new"
    ESTABLISHED = "established"
    CLOSED = "closed"


# Bound, because before Python 3.12 each look at a member of an enum is a call.
NONE, ESTABLISHED, LAST_ACK = Tcp.NONE, Tcp.ESTABLISHED, Tcp.LAST_ACK

#: Connection state → flow state.
FLOW_STATES: tuple[FlowState, ...] = (
    FlowState.NEW,
    FlowState.NEW,
    FlowState.NEW,
    FlowState.ESTABLISHED,
    FlowState.ESTABLISHED,
    FlowState.ESTABLISHED,
    FlowState.ESTABLISHED,
    FlowState.ESTABLISHED,
    FlowState.CLOSED,
    FlowState.CLOSED,
    FlowState.CLOSED,
)


class _Seen(IntEnum):
    """What a segment means for the state: the first of its flags that counts."""

    RST = 0
    SYN = 1
    SYN_ACK = 2
    FIN = 3
    ACK = 4


_CLIENT, _SERVER = True, False

#: (state, sent by the client, what) → next state. What is not here changes nothing.
_MOVES: MappingProxyType[tuple[Tcp, bool, _Seen], Tcp] = MappingProxyType(
    {
        (Tcp.NONE, _CLIENT, _Seen.SYN): Tcp.SYN_SENT,
        (Tcp.NONE, _SERVER, _Seen.SYN): Tcp.SYN_SENT,
        (Tcp.NONE, _SERVER, _Seen.SYN_ACK): Tcp.SYN_RECEIVED,
        (Tcp.NONE, _CLIENT, _Seen.SYN_ACK): Tcp.SYN_RECEIVED,
        # Picked up in the middle, or only one side is seen.
        (Tcp.NONE, _CLIENT, _Seen.ACK): Tcp.ESTABLISHED,
        (Tcp.NONE, _SERVER, _Seen.ACK): Tcp.ESTABLISHED,
        (Tcp.SYN_SENT, _SERVER, _Seen.SYN_ACK): Tcp.SYN_RECEIVED,
        (Tcp.SYN_SENT, _SERVER, _Seen.SYN): Tcp.SYN_RECEIVED,
        (Tcp.SYN_SENT, _CLIENT, _Seen.ACK): Tcp.ESTABLISHED,
        (Tcp.SYN_RECEIVED, _CLIENT, _Seen.ACK): Tcp.ESTABLISHED,
        (Tcp.SYN_RECEIVED, _CLIENT, _Seen.FIN): Tcp.CLOSE_WAIT,
        (Tcp.SYN_RECEIVED, _SERVER, _Seen.FIN): Tcp.FIN_WAIT_1,
        (Tcp.ESTABLISHED, _CLIENT, _Seen.FIN): Tcp.CLOSE_WAIT,
        (Tcp.ESTABLISHED, _SERVER, _Seen.FIN): Tcp.FIN_WAIT_1,
        (Tcp.FIN_WAIT_1, _CLIENT, _Seen.ACK): Tcp.FIN_WAIT_2,
        (Tcp.FIN_WAIT_1, _CLIENT, _Seen.FIN): Tcp.TIME_WAIT,
        (Tcp.FIN_WAIT_2, _CLIENT, _Seen.FIN): Tcp.TIME_WAIT,
        (Tcp.CLOSE_WAIT, _SERVER, _Seen.FIN): Tcp.LAST_ACK,
        (Tcp.LAST_ACK, _CLIENT, _Seen.ACK): Tcp.CLOSED,
        (Tcp.TIME_WAIT, _SERVER, _Seen.ACK): Tcp.CLOSED,
        **{(state, side, _Seen.RST): Tcp.CLOSED for state in Tcp if state > Tcp.NONE for side in (_CLIENT, _SERVER)},
    }
)


def _meaning(flags: int) -> _Seen | None:
    if flags & RST:
        return _Seen.RST
    if flags & SYN:
        return _Seen.SYN_ACK if flags & ACK else _Seen.SYN
    if flags & FIN:
        return _Seen.FIN
    return _Seen.ACK if flags & ACK else None


# The same as one look-up: [state][client][flags & 0x17].
_TABLE = tuple(
    tuple(
        tuple(_MOVES.get((state, side, seen), state) if (seen := _meaning(flags)) is not None else state
              for flags in range(32))
        for side in (_SERVER, _CLIENT)
    )
    for state in Tcp
)  # fmt: skip


def advance(state: Tcp, by_client: bool, flags: int) -> Tcp:
    """The state after a segment with these flags."""
    return _TABLE[state][by_client][flags & 31]

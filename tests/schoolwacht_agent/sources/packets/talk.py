"""Whole conversations made for tests: a TCP connection from handshake to end, and UDP both ways."""

from __future__ import annotations

from collections.abc import Iterable

from tests.schoolwacht_agent.sources.packets.made import (
    ACK,
    CLIENT,
    FIN,
    PSH,
    SERVER,
    SYN,
    down,
    ethernet,
    ipv4,
    udp,
    up,
)

#: (sent by the client, bytes)
Line = tuple[bool, bytes]


def connection(*lines: Line, port: int = 80, size: int = 1_400, closed: bool = True) -> list[bytes]:
    """Frames of a connection in which both sides say ``lines`` in segments of at most ``size`` bytes."""
    sequences = {True: 1_000, False: 5_000}
    frames = [up(flags=SYN, sequence=999, destination=port), down(flags=SYN | ACK, sequence=4_999, destination=port)]
    frames.append(up(sequence=1_000, destination=port))
    for by_client, text in lines:
        for at in range(0, len(text), size):
            payload = text[at : at + size]
            side = up if by_client else down
            frames.append(side(payload, flags=PSH | ACK, sequence=sequences[by_client], destination=port))
            sequences[by_client] += len(payload)
    if closed:
        frames.append(up(flags=FIN | ACK, sequence=sequences[True], destination=port))
        frames.append(down(flags=FIN | ACK, sequence=sequences[False], destination=port))
    return frames


def datagrams(*lines: Line, port: int = 53, source: int = 40_000) -> list[bytes]:
    """Frames of datagrams both ways."""
    return [
        ethernet(ipv4(udp(payload, source=source, destination=port)))
        if by_client
        else ethernet(
            ipv4(udp(payload, source=port, destination=source), source=SERVER, destination=CLIENT), turned=True
        )
        for by_client, payload in lines
    ]


def both(lines: Iterable[bytes]) -> list[Line]:
    """Lines said in turn, the client first."""
    return [(number % 2 == 0, line) for number, line in enumerate(lines)]

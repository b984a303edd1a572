"""Reassembly of IP fragments (RFC 791, RFC 8200 4.5), bounded in bytes and in time.

Of overlapping fragments the first to come wins, byte by byte, as Suricata's default policy (BSD) has it for the cases
that occur; hosts differ here. A packet of more than 65,535 bytes, or one whose pieces contradict each other, is
given up.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

_TOTAL_MAX = 65_535
_PIECES_MAX = 1_024


@dataclass(slots=True)
class _Packet:
    since: float
    header: bytes
    #: Offset → bytes, as they came.
    pieces: dict[int, bytes] = field(default_factory=dict)
    #: Length of the whole payload, known from the last fragment.
    total: int = -1
    held: int = 0


class Fragments:
    """Fragments that wait for the rest of their packet.

    Args:
        limit: bytes held at once; beyond it the packet that waits longest is given up.
        seconds: how long a packet may wait.
    """

    def __init__(self, limit: int, seconds: float = 60) -> None:
        self._limit = limit
        self._seconds = seconds
        self._waiting: dict[Hashable, _Packet] = {}
        self._held = 0
        self.evicted = 0

    def add(
        self, key: Hashable, offset: int, last: bool, header: bytes, payload: bytes, now: float
    ) -> tuple[bytes, bytes] | None:
        """Take one fragment in.

        Args:
            key: what the fragments of one packet share (addresses, identification, protocol, VLAN).
            offset: of this payload in the whole, bytes.
            last: no fragment follows behind it.
            header: of the IP packet (kept of the fragment with offset 0).
            payload: what this fragment carries.
            now: time of the packet.

        Returns:
            Header and payload of the packet if it is whole now.
        """
        packet = self._waiting.get(key)
        if packet is None:
            packet = self._waiting[key] = _Packet(now, header)
        if offset == 0:
            packet.header = header
        if offset + len(payload) > _TOTAL_MAX or len(packet.pieces) >= _PIECES_MAX or not payload:
            self._give_up(key)
            return None
        if last:
            packet.total = offset + len(payload)
        if offset not in packet.pieces:
            packet.pieces[offset] = payload
            packet.held += len(payload)
            self._held += len(payload)
        if 0 <= packet.total <= packet.held and (whole := _join(packet)) is not None:
            self._forget(key)
            return packet.header, whole
        while self._held > self._limit:
            self._give_up(next(iter(self._waiting)))
        return None

    def advance(self, now: float) -> None:
        """Give up what waits too long."""
        while self._waiting:
            key, packet = next(iter(self._waiting.items()))
            if now - packet.since < self._seconds:
                return
            self._give_up(key)

    def _give_up(self, key: Hashable) -> None:
        self.evicted += 1
        self._forget(key)

    def _forget(self, key: Hashable) -> None:
        self._held -= self._waiting.pop(key).held


def _join(packet: _Packet) -> bytes | None:
    whole = bytearray()
    for offset in sorted(packet.pieces):
        if offset > len(whole):
            return None
        whole += packet.pieces[offset][len(whole) - offset :]
    return bytes(whole[: packet.total]) if len(whole) >= packet.total else None

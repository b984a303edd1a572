"""Live capture: a TPACKET_V3 receive ring on AF_PACKET, in pure Python. Linux; needs CAP_NET_RAW.

The kernel fills blocks of packets in memory that both share; a block is copied once and handed back at once. So the
kernel drops only when the engine falls behind by the whole ring, and counts what it drops.

The outermost VLAN tag, which the kernel takes out of the frame, comes back as ``Record.tci``. With segmentation offload
on (ethtool -k), what is seen are the kernel's super-packets, not those of the wire: flows and bytes stay right, packet
counts do not. An interface that is deleted and made anew under its name is opened again: the old socket would stay
silent for ever without an error. Source: Linux, Documentation/networking/packet_mmap.rst.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import select
import socket
import struct
import time
from types import TracebackType
from typing import Self

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.packets.records import PAD, TAGGED, Batch, Link

# linux/if_packet.h and linux/if_arp.h; Python's socket module does not name these.
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 1, 5, 6, 10, 23
_TPACKET_V3 = 2
_PROMISCUOUS = 1
_ETH_P_ALL = 3
_STATUS_USER = 1
_VLAN_VALID = 1 << 4
_LINK_TYPES = {1: Link.ETHERNET, 772: Link.ETHERNET, 512: Link.PPP, 65534: Link.RAW, 519: Link.RAW, 769: Link.RAW}

# tpacket3_hdr: next, seconds, nanoseconds, captured, wire length, status, offset of the frame, (net), (hash), tag.
_HEADER = struct.Struct("<6IH6xI").unpack_from
_BLOCK = 1 << 20
#: Only a granularity in version 3.
_FRAME = 2048
#: A block that is not full is handed over after so many milliseconds.
_RETIRE_MS = 50
#: How often to look whether the interface is still the one that was opened.
_WATCH_SECONDS = 1.0


class Ring:
    """The packets of one interface as batches.

    Args:
        interface: its name.
        size: bytes of the ring, rounded to whole mebibytes.
        promiscuous: take frames for other stations, too.
        own_packets: take what this machine sends, too.

    Raises:
        SourceError: there is no such interface, no leave, or no memory for the ring.
    """

    def __init__(self, interface: str, size: int, *, promiscuous: bool = True, own_packets: bool = True) -> None:
        self.interface = interface
        self.blocks = max(2, size // _BLOCK)
        self._promiscuous = promiscuous
        self._own_packets = own_packets
        self._socket: socket.socket | None = None
        self._lost = 0
        self._watched = time.monotonic()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def next(self, seconds: float) -> Batch | None:
        """The next block of packets; None if there is none within ``seconds``."""
        if self._socket is None and not self._reopen(seconds):
            return None
        now = time.monotonic()
        if now - self._watched >= _WATCH_SECONDS:
            self._watched = now
            if self._is_gone():
                # What is left in the old ring still counts.
                batch = self._take() if self._ready() else None
                if batch is None:
                    self.close()
                return batch
        if not self._ready() and not self._wait(seconds):
            return None
        return self._take() if self._ready() else None

    def dropped(self) -> int:
        """Packets that the kernel dropped since the last call."""
        self._count_lost()
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Give the ring back. The mapping holds the socket open as well: both go."""
        if self._socket is None:
            return
        self._count_lost()
        self._words.release()
        self._map.close()
        self._socket.close()
        self._socket = None

    def _open(self) -> None:
        try:
            self._index = socket.if_nametoindex(self.interface)
        except OSError as error:
            raise SourceError(f"there is no network interface {self.interface!r} (see: ip link)") from error
        try:
            # Protocol 0 receives nothing until the socket is bound, so that no packet comes before the ring is there.
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise SourceError(
                f"no leave to capture on {self.interface}: run as root or with the capability CAP_NET_RAW"
            ) from error
        try:
            self._set_up(opened)
        except OSError as error:
            opened.close()
            raise SourceError(f"cannot capture on {self.interface}: {error.strerror or error}") from error
        self._socket = opened

    def _set_up(self, opened: socket.socket) -> None:
        opened.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        if not self._own_packets:
            opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        frames = _BLOCK // _FRAME * self.blocks
        opened.setsockopt(
            _SOL_PACKET, _RX_RING, struct.pack("7I", _BLOCK, self.blocks, _FRAME, frames, _RETIRE_MS, 0, 0)
        )
        self._map = mmap.mmap(opened.fileno(), _BLOCK * self.blocks, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # Words, because a block's status must be read and written in one access.
        self._words = memoryview(self._map).cast("I")
        opened.bind((self.interface, _ETH_P_ALL))
        hardware = opened.getsockname()[3]
        self._link = _LINK_TYPES.get(hardware, Link.RAW)
        if self._promiscuous:
            # The kernel counts references and undoes it when the socket closes.
            opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8s", self._index, _PROMISCUOUS, 0, b""))
        self._poll = select.poll()
        self._poll.register(opened.fileno(), select.POLLIN | select.POLLERR)
        self._current = 0

    def _reopen(self, seconds: float) -> bool:
        """Open an interface that went away, if it is back."""
        with contextlib.suppress(SourceError):
            self._open()
            return True
        time.sleep(min(seconds, _WATCH_SECONDS))
        return False

    def _is_gone(self) -> bool:
        try:
            return socket.if_nametoindex(self.interface) != self._index
        except OSError:
            return True

    def _ready(self) -> bool:
        return bool(self._words[self._current * (_BLOCK >> 2) + 2] & _STATUS_USER)

    def _wait(self, seconds: float) -> bool:
        assert self._socket is not None
        found = self._poll.poll(int(seconds * 1000))
        if found and found[0][1] & select.POLLERR:
            fault = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if fault and fault not in (errno.ENETDOWN, errno.ENODEV, errno.ENXIO):
                raise SourceError(f"capture on {self.interface} failed: {os.strerror(fault)}")
            # Down: it says so again and again until it is up, so do not spin.
            time.sleep(min(seconds, _RETIRE_MS / 1000))
            return False
        return bool(found)

    def _take(self) -> Batch:
        """Copy the current block and hand it back."""
        word = self._current * (_BLOCK >> 2)
        count, first, length = self._words[word + 3], self._words[word + 4], self._words[word + 5]
        start = self._current * _BLOCK
        buffer = self._map[start : start + length] + PAD
        self._words[word + 2] = 0
        self._current = (self._current + 1) % self.blocks
        records: list[tuple[float, int, int, int, int]] = []
        append = records.append
        at = first
        for _ in range(count):
            step, seconds, nanoseconds, captured, wire, status, offset, tag = _HEADER(buffer, at)
            tag = (tag & 0xFFFF) | TAGGED if status & _VLAN_VALID else 0
            append((seconds + nanoseconds * 1e-9, wire, at + offset, captured, tag))
            at += step
        return Batch(buffer, self._link, records)

    def _count_lost(self) -> None:
        if self._socket is not None:
            # Packets, drops, times the ring was full. Reading resets them.
            self._lost += struct.unpack("3I", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))[1]

"""Live capture: a TPACKET_V3 receive ring on AF_PACKET, in pure Python. Linux; needs CAP_NET_RAW.

The kernel fills blocks of packets in memory that both share; a block is copied once and handed back at once. So the
kernel drops only when the engine falls behind by the whole ring, and counts what it drops.

The outermost VLAN tag, which the kernel takes out of the frame, comes back as ``Record.tci``. With segmentation offload
on (ethtool -k), what is seen are the kernel's super-packets, not those of the wire: flows and bytes stay right, packet
counts do not. An interface that is deleted and made anew under its name is opened again: the old socket would stay
silent for ever without an error. One that is down or away is waited for. Source: Linux,
Documentation/networking/packet_mmap.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import mmap
import os
import select
import socket
import struct
import time
from types import MappingProxyType, TracebackType
from typing import Self

from schoolwacht.errors import SourceError
from schoolwacht_agent.sources.bpf import INSTRUCTION, compile_filter
from schoolwacht_agent.sources.packets.records import PAD, TAGGED, Batch, Link

log = logging.getLogger(__name__)

# linux/if_packet.h and linux/if_arp.h; Python's socket module does not name these.
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _IGNORE_OUTGOING = 1, 5, 6, 10, 23
_TPACKET_V3 = 2
_PROMISCUOUS = 1
_ETH_P_ALL = 3
_STATUS_USER = 1
_VLAN_VALID = 1 << 4
_LOOPBACK = 772
# asm-generic/socket.h, and libpcap's DLT_RAW.
_ATTACH_FILTER = 26
_BARE_IP = 12
#: Kind of hardware (linux/if_arp.h) → link type of what a raw socket gets from it. Tunnels and PPP give bare IP.
_LINK_TYPES: MappingProxyType[int, int] = MappingProxyType(
    {
        1: Link.ETHERNET,
        _LOOPBACK: Link.ETHERNET,
        **dict.fromkeys((512, 519, 768, 769, 776, 778, 65534), Link.RAW),
        801: 105,  # 802.11, a link type that the engine leaves to scapy
        803: 127,  # 802.11 with radiotap header, the same
    }
)

# tpacket3_hdr: next, seconds, nanoseconds, captured, wire length, status, offset of the frame, (net), (hash), tag.
_HEADER = struct.Struct("=6IH6xI").unpack_from
_BLOCK = 1 << 18
#: Only a granularity in version 3.
_FRAME = 2048
#: A block that is not full is handed over after so many milliseconds.
_RETIRE_MS = 50
#: A packet is handed over no later than this after it came, if the engine keeps up.
LAG_SECONDS = 2 * _RETIRE_MS / 1000
#: How often to look whether the interface is still the one that was opened.
_WATCH_SECONDS = 1.0


def hindrance() -> str | None:
    """Why this process may not capture from an interface, in plain words; None if it may."""
    if not hasattr(socket, "AF_PACKET"):
        return "reading from an interface needs Linux; capture files can be read"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return "this process may not capture from an interface: run it as root or with the capability CAP_NET_RAW"
    except OSError as error:
        return f"this machine gives no packet sockets: {error.strerror}"
    return None


class Ring:
    """The packets of one interface as batches.

    Args:
        interface: its name.
        size: bytes of the ring. Even where few packets come, its blocks must hold them for a while.
        promiscuous: take frames for other stations, too.
        own_packets: take what this machine sends, too.
        expression: capture filter, see ``bpf.py``; empty takes everything.

    Raises:
        SourceError: there is no such interface, no leave, no memory for the ring, or the filter is none.
    """

    def __init__(
        self,
        interface: str,
        size: int,
        *,
        promiscuous: bool = True,
        own_packets: bool = True,
        expression: str = "",
    ) -> None:
        if (reason := hindrance()) is not None:
            raise SourceError(reason)
        self.interface = interface
        self.blocks = max(4, size // _BLOCK)
        self._promiscuous = promiscuous
        self._own_packets = own_packets
        self._expression = expression
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
                    log.warning("the network interface %s is gone; waiting for it", self.interface)
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

    def fullness(self) -> float:
        """How much of the ring waits, in quarters: 0, 0.25, 0.5 or 0.75."""
        if self._socket is None:
            return 0.0
        waiting = 0.0
        for quarter in (1, 2, 3):
            block = (self._current + self.blocks * quarter // 4) % self.blocks
            if not self._words[block * (_BLOCK >> 2) + 2] & _STATUS_USER:
                break
            waiting = quarter / 4
        return waiting

    def close(self) -> None:
        """Give the ring back."""
        if self._socket is not None:
            self._count_lost()
            self._socket = None
            self._held.close()

    def _open(self) -> None:
        try:
            self._index = socket.if_nametoindex(self.interface)
        except OSError as error:
            raise SourceError(f"there is no network interface {self.interface!r} (see: ip link)") from error
        try:
            with contextlib.ExitStack() as held:
                # Protocol 0 receives nothing until it is bound to another, so that no packet comes before the ring.
                opened = held.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                self._set_up(opened, held)
                # The mapping holds the socket open as well: both go.
                self._held = held.pop_all()
        except OSError as error:
            remedy = " (lower source.packets.ring_mib)" if error.errno == errno.ENOMEM else ""
            raise SourceError(f"cannot capture on {self.interface}: {error.strerror or error}{remedy}") from error
        self._socket = opened

    def _set_up(self, opened: socket.socket, held: contextlib.ExitStack) -> None:
        opened.bind((self.interface, 0))
        hardware = opened.getsockname()[3]
        if hardware not in _LINK_TYPES:
            raise SourceError(f"cannot capture on {self.interface}: hardware of kind {hardware} is not known here")
        self._link = _LINK_TYPES[hardware]
        if self._expression:
            self._filter(opened)
        opened.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        if not self._own_packets or hardware == _LOOPBACK:
            # What goes out through the loopback comes in again.
            opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        frames = _BLOCK // _FRAME * self.blocks
        opened.setsockopt(
            _SOL_PACKET, _RX_RING, struct.pack("7I", _BLOCK, self.blocks, _FRAME, frames, _RETIRE_MS, 0, 0)
        )
        size = _BLOCK * self.blocks
        self._map = held.enter_context(
            mmap.mmap(opened.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        )
        # Words, because a block's status must be read and written in one access.
        self._words = held.enter_context(memoryview(self._map).cast("I"))
        opened.bind((self.interface, _ETH_P_ALL))
        if self._promiscuous:
            # The kernel counts references and undoes it when the socket closes.
            opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8s", self._index, _PROMISCUOUS, 0, b""))
        self._poll = select.poll()
        self._poll.register(opened.fileno(), select.POLLIN | select.POLLERR)
        self._current = 0

    def _filter(self, opened: socket.socket) -> None:
        """Let the kernel drop what nobody wants, before it comes into the ring."""
        instructions = compile_filter(self._expression, link=1 if self._link == Link.ETHERNET else _BARE_IP)
        held = ctypes.create_string_buffer(instructions, len(instructions))
        count = len(instructions) // INSTRUCTION
        # struct sock_fprog: the kernel copies what it points to.
        opened.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", count, ctypes.addressof(held)))

    def _reopen(self, seconds: float) -> bool:
        """Open an interface that went away, if it is back."""
        with contextlib.suppress(SourceError):
            self._open()
            log.info("the network interface %s is back", self.interface)
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

"""What is too rare for code of our own is taken apart by scapy: L2TP, 802.11 and other odd framings.

scapy is slow (a millisecond a packet), large, and some of its layers can be made to loop. It runs in
a process of its own (:mod:`scapy_worker`), started when the first such packet comes, and on a short lead: only
so many packets a second of the packets' time, only short ones, and whoever takes longer than half a second is ended
and started anew. What is over the limits is counted, not taken apart. Capture goes on whatever happens there.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgspec

#: Longest packet that scapy gets, bytes.
_SIZE_MAX = 9_216
_ANSWER_MAX = 65_536
_ANSWER_SECONDS = 0.5
_START_SECONDS = 20.0
#: A worker that had to be ended so often is not started again.
_FAILURES_MAX = 5

#: Link types (tcpdump.org/linktypes.html) and ethertypes that scapy takes the frame off.
_LINKS: MappingProxyType[int, str] = MappingProxyType({105: "802.11", 127: "radiotap", 192: "ppi"})
_KINDS: MappingProxyType[int, str] = MappingProxyType({0x88E7: "802.1ah"})


class Rare:
    """scapy, bounded.

    Args:
        per_second: packets taken apart in one second of the packets' time; 0 leaves scapy out.
        wait: wait until scapy is loaded (a file can wait; packets from an interface cannot, and are counted).
        note: told the reason of everything that is left.
    """

    def __init__(self, per_second: int, note: Callable[[str], None], *, wait: bool) -> None:
        self._per_second = per_second
        self._note = note
        self._wait = wait
        self._second = -1
        self._left = per_second
        self._failures = 0
        self._worker: _Worker | None = None

    def unwrap(self, seconds: float, link: int, kind: int, packet: bytes) -> tuple[int, bytes] | None:
        """What a link type or ethertype carries: ethertype and bytes of an IP packet. None if it carries none.

        Args:
            seconds: time of the packet.
            link: link type, or -1 if ``kind`` is meant.
            kind: ethertype.
            packet: the frame, or what comes behind the ethertype.
        """
        task = _LINKS.get(link) if link >= 0 else _KINDS.get(kind)
        return None if task is None else self._packet(self._ask(seconds, task, packet))

    def l2tp(self, seconds: float, payload: bytes) -> tuple[int, bytes] | None:
        """The IP packet in the PPP frame of an L2TP data message (RFC 2661). None if there is none."""
        # A control message has the T bit; version 3 (RFC 3931) has no PPP.
        if len(payload) < 8 or payload[0] & 0x80 or payload[1] & 15 != 2:
            return None
        return self._packet(self._ask(seconds, "l2tp", payload))

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    @staticmethod
    def _packet(answer: Any) -> tuple[int, bytes] | None:
        return (answer[0], answer[1]) if isinstance(answer, list) and len(answer) == 2 else None

    def _ask(self, seconds: float, task: str, packet: bytes) -> Any:
        reason = self._refusal(seconds, packet)
        if reason is not None:
            self._note(f"{task}: {reason}")
            return None
        try:
            if self._worker is None:
                self._worker = _Worker()
            if not self._worker.ready(_START_SECONDS if self._wait else 0):
                self._note(f"{task}: scapy is not loaded yet")
                return None
            return self._worker.ask(task, packet)
        except (OSError, msgspec.DecodeError):
            self._failures += 1
            self.close()
            self._note(f"{task}: scapy failed or took too long")
            return None

    def _refusal(self, seconds: float, packet: bytes) -> str | None:
        if self._per_second == 0:
            return "left out (rare_per_second = 0)"
        if self._failures >= _FAILURES_MAX:
            return "scapy failed too often"
        if len(packet) > _SIZE_MAX:
            return "too long for scapy"
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._left = self._per_second
        if self._left <= 0:
            return "more in a second than scapy may take (rare_per_second)"
        self._left -= 1
        return None


class _Worker:
    """The process and the two pipes to it. Raises OSError (TimeoutError) if it does not answer."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "schoolwacht_agent.sources.packets.scapy_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        self._ready = False

    def ready(self, seconds: float) -> bool:
        """Whether it has loaded scapy; waits for it up to ``seconds``."""
        if not self._ready and self._readable(seconds):
            self._receive(time.monotonic() + _ANSWER_SECONDS)
            self._ready = True
        if not self._ready and (seconds or self._process.poll() is not None):
            raise TimeoutError
        return self._ready

    def ask(self, task: str, packet: bytes) -> Any:
        """One request, one answer."""
        request = msgspec.msgpack.encode((task, packet))
        assert self._process.stdin is not None
        self._process.stdin.write(len(request).to_bytes(4) + request)
        return self._receive(time.monotonic() + _ANSWER_SECONDS)

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def _readable(self, seconds: float) -> bool:
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], max(0.0, seconds))[0])

    def _receive(self, until: float) -> Any:
        size = int.from_bytes(self._read(4, until))
        if size > _ANSWER_MAX:
            raise OSError
        return msgspec.msgpack.decode(self._read(size, until))

    def _read(self, count: int, until: float) -> bytes:
        assert self._process.stdout is not None
        data = b""
        while len(data) < count:
            if not self._readable(until - time.monotonic()):
                raise TimeoutError
            piece = os.read(self._process.stdout.fileno(), count - len(data))
            if not piece:
                raise BrokenPipeError
            data += piece
        return data
